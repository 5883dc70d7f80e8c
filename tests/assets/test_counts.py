"""The counts of a page add up to its rows: computed, reused, null and failed, whatever the column is made of."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table, udf
from pxt_assets.assets.page.metadata import outcome_line
from pxt_assets.compute.cells.failed_answers import ANSWERS_CHECKED
from pxt_assets.compute.partition.column import Outcome
from pxt_assets.compute.partition.findings import FINDINGS
from tests.runs import ask
from tests.scripted_server import ScriptedServer, at_first, chat, refusal, resource_of
from tests.tickets import KEY, Partitions, Tickets, observations, said_of

Counts = tuple[int, int, int, int]


def counts(said: dict[str, Any]) -> Counts:
    """Rows computed, reused, null and failed, which are all rows that are stored."""
    found = tuple(said[f"pxt/rows_{kind}"] for kind in ("computed", "reused", "null", "failed"))
    stored = said.get("dagster/row_count", said.get("dagster/partition_row_count"))
    assert stored in (None, sum(found))
    return found


@udf
def picky(text: str) -> str | None:
    """Knows nothing of some texts, and refuses others."""
    if text.startswith("bad"):
        raise ValueError("no")
    return None if text.startswith("nothing") else text


def known(table: Table) -> Any:
    """A column of what the function knows."""
    return picky(table.body)  # type: ignore[arg-type]


ROWS = {1: "a", 2: None, 3: "b", 4: "nothing", 5: "bad x", 6: "nothing", 7: "a"}


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


@pytest.mark.parametrize(
    ("column", "at_first", "again"),
    [
        (known, (3, 0, 3, 1), (0, 3, 3, 1)),
        (lambda t: ask(t.body), (6, 0, 1, 0), (0, 6, 1, 0)),
        (lambda t: t.body, (6, 0, 1, 0), (6, 0, 1, 0)),
    ],
    ids=["function", "API", "path"],
)
def test_nulls_are_a_count_of_their_own(
    tickets: Tickets, column: Callable[[Table], Any], at_first: Counts, again: Counts
) -> None:
    """Rows with a null in what they need, and those that were answered with none; in the next run too."""
    assert counts(said_of(tickets.run(ROWS, column, on_error="ignore"))) == at_first
    assert counts(said_of(tickets.run(ROWS, column, on_error="ignore"))) == again


def test_a_path_over_answers_that_lack_it(tickets: Tickets) -> None:
    """What an answer has not is null, and not computed."""
    said = said_of(tickets.run({1: "a", 2: None}, lambda t: ask(t.body).choices[0].message.no_such))
    assert counts(said) == (0, 0, 2, 0)


def test_a_trial_counts_its_rows(tickets: Tickets) -> None:
    """The first ones alone."""
    said = observations(tickets.run(ROWS, config={"limit": 3}))[None]
    assert counts(said) == (2, 0, 1, 0)


def test_a_refresh_computes_what_has_a_value(tickets: Tickets) -> None:
    """Nulls stay nulls."""
    tickets.run(ROWS, known, on_error="ignore")
    said = said_of(tickets.run(ROWS, known, on_error="ignore", config={"refresh": True}))
    assert counts(said) == (3, 0, 3, 1)


def test_errors_that_are_kept_are_failed(tickets: Tickets) -> None:
    """They are not tried again, and no result."""
    tickets.run(ROWS, known, on_error="ignore")
    more = {**ROWS, 8: "c"}
    said = said_of(tickets.run(more, known, on_error="ignore", config={"retry_errors": False}))
    assert counts(said) == (1, 3, 3, 1)


def test_a_run_that_goes_on_reuses_what_is_journaled(tickets: Tickets, server: ScriptedServer) -> None:
    """What the failed attempt finished is reused, nulls included."""

    server.script = at_first([refusal(400)])
    tickets.run({1: "a", 2: None, 3: "b"}, fails=True)
    assert counts(said_of(tickets.run({1: "a", 2: None, 3: "b"}))) == (1, 1, 1, 0)


def test_nulls_of_a_run_that_goes_on(tickets: Tickets) -> None:
    """A function that knew nothing is not asked again: that row is null, not reused."""
    rows = {1: "a", 2: None, 3: "nothing", 4: "bad"}
    tickets.run(rows, known, fails=True)
    assert counts(said_of(tickets.run({**rows, 4: "b"}, known))) == (1, 1, 2, 0)


def test_a_file_of_an_early_version(tickets: Tickets) -> None:
    """It does not say how many rows were skipped: they are counted."""
    rows = {1: "a", 2: None, 3: "nothing"}
    tickets.run(rows, known)
    file = tickets.store.file(KEY)
    table, metadata = file.rows().table(file.schema.names), dict(file.metadata)
    del metadata[ANSWERS_CHECKED]
    metadata[FINDINGS] = '{"rows": 3, "nulls": 1, "null_keys": ["id=3"]}'
    file.write(table.schema.remove_metadata(), table.to_batches(), metadata)
    assert counts(said_of(tickets.run(rows, known))) == (0, 1, 2, 0)


def test_a_log_line_adds_up(tickets: Tickets, monkeypatch: pytest.MonkeyPatch) -> None:
    """All four counts, with the nouns that they need."""
    seen: list[str] = []

    def line(outcome: Outcome) -> str:
        seen.append(outcome_line(outcome))
        return seen[-1]

    monkeypatch.setattr("pxt_assets.assets.page.metadata.outcome_line", line)
    tickets.run({1: "a", 2: None})
    assert seen[0].startswith("2 rows: 1 computed, 0 reused, 1 null, 0 failed; 1 request, ")


def test_what_is_done_of_a_partition_that_failed(store: ColumnStore, openai: OpenAIResource) -> None:
    """Rows that failed are not done; equal rows are, if the first of them is. Its rows are in its own event."""
    rows: dict[str, Any] = {"a": {1: "bad", 2: "x", 3: "bad", 4: None}, "b": {1: "y"}}
    partitions = Partitions(store, openai, rows, known)
    seen = observations(partitions.run(fails=True))["a"]
    assert [seen[f"pxt/rows{kind}"] for kind in ("", "_done", "_failed")] == [4, 2, 2]
    assert [record.data["row"] for record in seen["pxt/failed_rows"].records] == ["id=1"]
    assert seen["pxt/errors"] == {"ValueError": 2}
    assert "tickets/c[a]: 2 of 4 rows failed" in seen["pxt/error"]


def test_rows_that_wait_for_an_equal_one_are_not_done(store: ColumnStore, server: ScriptedServer) -> None:
    """A run that a refused key ends has finished none of them."""
    server.script = lambda _: refusal(401, "no", code="invalid_api_key")
    with dg.DagsterInstance.ephemeral() as instance:
        Tickets(store, resource_of(server)).run(
            dict.fromkeys(range(9), "same"), instance=instance, fails=True
        )
        (record,) = instance.fetch_observations(KEY, limit=1).records
    assert record.asset_observation is not None
    seen = {name: value.value for name, value in record.asset_observation.metadata.items()}
    assert [seen[f"pxt/rows{kind}"] for kind in ("", "_done", "_failed")] == [9, 0, 0]


def test_a_partial_failure_is_summed_up(store: ColumnStore, serve: Any) -> None:
    """The newest event says how many are stored, and which failed."""
    server = serve(lambda asked: refusal(400, "no") if asked.text == "bad" else chat(asked))
    rows: dict[str, Any] = {key: {1: "x"} for key in "abcd"}
    rows["b"] = {1: "bad", 2: "x"}
    result = Partitions(store, resource_of(server), rows).run(fails=True)
    said = observations(result)[None]["pxt/summary"]
    first = said.splitlines()[0]
    assert first.startswith("3 of 4 partitions stored")
    assert "b (1 row)" in first
    assert [line for line in said.splitlines() if line.startswith("| b |")]
