"""Dry runs and trials: what they say of a run's tokens and costs, and all that they leave alone."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table, udf
from pxt_assets.api.meter import cost_text
from pxt_assets.api.request import PAGE_TOKENS
from pxt_assets.functions import embeddings
from pxt_assets.throttle import request_size
from tests.runs import ask, failure, materialize, rows_asset
from tests.scripted_server import ScriptedServer, chat, refusal, resource_of, vectors
from tests.tickets import KEY, Partitions, Tickets, observations, said_of, with_column

DRY = {"dry_run": True}
TEXT = "x" * 400
INPUT = round(request_size(400, messages=1).least_tokens)
"""Tokens of a chat about `TEXT`, as they are estimated."""
SOLD_BY_NOBODY = "a-model-nobody-sells"


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


def texts(count: int, first: int = 0) -> dict[int, str]:
    """Rows whose texts differ and are as long as `TEXT`."""
    return {i: f"{i:04}{TEXT[4:]}" for i in range(first, first + count)}


def embed(table: Table) -> Any:
    return embeddings(table.body, model="text-embedding-3-small")


def files(store: ColumnStore) -> dict[Path, bytes]:
    """All that is stored."""
    return {path: path.read_bytes() for path in Path(store.base_path).rglob("*") if path.is_file()}


def estimated(result: dg.ExecuteInProcessResult, partition: str | None = None) -> dict[str, Any]:
    """What the dry run says of the column."""
    return observations(result)[partition]


def figures(said: dict[str, Any]) -> tuple[int, int, int, int]:
    """Rows to compute, requests, input tokens and output tokens."""
    names = ("rows_to_compute", "estimated_requests", "estimated_input_tokens", "estimated_output_tokens")
    rows, requests, read, written = (said[f"pxt/{name}"] for name in names)
    return rows, requests, read, written


def test_nothing_is_sent_or_stored(tickets: Tickets, server: ScriptedServer) -> None:
    """A dry run makes no request of any kind, stores no file and materializes nothing."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = tickets.run(texts(3), config=DRY, instance=instance)
        assert instance.get_latest_materialization_event(KEY) is None
    assert not server.asked
    assert not server.fetched
    assert not tickets.path.parent.exists()
    assert estimated(result)["pxt/dry_run"] is True


def test_nothing_changes_beside_a_stored_column(tickets: Tickets, server: ScriptedServer) -> None:
    """What is stored and journaled is only read."""
    tickets.run(texts(3))
    tickets.run(texts(5), config={"limit": 4})
    before = files(tickets.store)
    assert any(".journal" in str(path) for path in before)
    server.forget()
    assert figures(estimated(tickets.run(texts(5), config=DRY)))[0] == 1
    assert files(tickets.store) == before
    assert not server.asked


def test_the_estimate_is_by_characters(tickets: Tickets) -> None:
    """Without any earlier run tokens are characters / 4 and a page of text an answer, at the model's price."""
    said = estimated(tickets.run(texts(3), config=DRY))
    assert figures(said) == (3, 3, 3 * INPUT, 3 * PAGE_TOKENS)
    assert said["pxt/estimated_cost_usd"] == pytest.approx(3 * (INPUT * 0.15e-6 + PAGE_TOKENS * 0.60e-6))
    assert said["pxt/rows"] == 3


def test_it_says_that_it_is_an_estimate_and_by_what(tickets: Tickets) -> None:
    """The sentence in the log says what was counted, that it is an estimate, and what it rests on."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = tickets.run(texts(3), config=DRY, instance=instance)
        logged = [record.user_message for record in instance.all_logs(result.run_id)]
    sentence = estimated(result)["pxt/estimate"]
    assert f"tickets/c: {sentence}" in logged
    assert sentence == (
        f"dry run, nothing was sent: 3 of 3 rows to compute, about 3 requests, {3 * INPUT} input and 1,500 output "
        f"tokens, {cost_text(3 * (INPUT * 0.15e-6 + PAGE_TOKENS * 0.60e-6))}, about 0.3 s at 600 requests/minute (default_rpm, as "
        "long as the server's limits are not known) for gpt-4o-mini (an estimate, by characters / 4 and a page of text an "
        "answer: no earlier run of this column is known)"
    )


def test_the_columns_earlier_answers_correct_it(tickets: Tickets, server: ScriptedServer) -> None:
    """Answers that used half the tokens estimated, and seven of output, are expected of the rest too."""
    usage = {"prompt_tokens": INPUT // 2, "completion_tokens": 7}
    server.script = lambda asked: chat(asked, usage=usage)
    tickets.run(texts(10))
    said = estimated(tickets.run(texts(30), config=DRY))
    assert figures(said) == (20, 20, 20 * (INPUT // 2), 20 * 7)
    assert "corrected by what earlier runs of this column used" in said["pxt/estimate"]


def test_the_journal_corrects_it_too(tickets: Tickets, server: ScriptedServer) -> None:
    """A trial is enough to learn from, though nothing is stored yet."""
    server.script = lambda asked: chat(asked, usage={"prompt_tokens": INPUT, "completion_tokens": 7})
    tickets.run(texts(10), config={"limit": 2})
    assert not tickets.path.exists()
    said = estimated(tickets.run(texts(10), config=DRY))
    assert figures(said) == (8, 8, 8 * INPUT, 8 * 7)


def test_other_partitions_correct_it(store: ColumnStore, server: ScriptedServer) -> None:
    """What one partition used is expected of another, which is observed by itself."""
    usage = {"prompt_tokens": 2 * INPUT, "completion_tokens": 7}
    server.script = lambda asked: chat(asked, usage=usage)
    partitions = Partitions(store, resource_of(server), {"a": texts(3), "b": texts(4, 10), "c": texts(5, 20)})
    partitions.run("a")
    partitions.run("b", "c", only=["tickets"])
    server.forget()
    result = partitions.run(config=DRY)
    assert {key: figures(said) for key, said in observations(result).items() if key} == {
        "a": (0, 0, 0, 0),
        "b": (4, 4, 8 * INPUT, 28),
        "c": (5, 5, 10 * INPUT, 35),
    }
    assert not server.asked


def test_finished_rows_do_not_count(tickets: Tickets) -> None:
    """Rows that would be reused take nothing; of a column that is complete, nothing at all."""
    tickets.run(texts(3))
    assert estimated(tickets.run(texts(3), config=DRY))["pxt/estimated_cost_usd"] == 0
    assert figures(estimated(tickets.run(texts(4), config=DRY)))[:2] == (1, 1)


def test_a_refresh_counts_every_row(tickets: Tickets) -> None:
    """`refresh` pays for finished rows as well, and its dry run says so."""
    tickets.run(texts(3))
    assert figures(estimated(tickets.run(texts(3), config={**DRY, "refresh": True})))[:2] == (3, 3)


def test_failed_rows_count_as_they_would_be_tried(tickets: Tickets, server: ScriptedServer) -> None:
    """Rows that failed are to compute, unless `retry_errors` is off."""
    server.script = lambda asked: refusal(400, "no") if asked.text[0:4] == "0000" else chat(asked)
    tickets.run(texts(3), on_error="ignore")
    again = tickets.run(texts(3), config=DRY, on_error="ignore")
    left = tickets.run(texts(3), config={**DRY, "retry_errors": False}, on_error="ignore")
    assert [figures(estimated(result))[0] for result in (again, left)] == [1, 0]


def test_equal_rows_count_once(tickets: Tickets) -> None:
    """Of rows whose requests are equal one request is counted, though all are to compute."""
    said = estimated(tickets.run({1: TEXT, 2: TEXT, 3: TEXT}, config=DRY))
    assert figures(said) == (3, 1, INPUT, PAGE_TOKENS)


def test_rows_without_a_request_do_not_count(tickets: Tickets) -> None:
    """A null is no request; a row that the function cannot take is said to fail without one."""
    rows = {1: "a", 2: None, 3: "", 4: "b"}
    said = estimated(tickets.run(rows, embed, config=DRY))
    assert figures(said)[:2] == (2, 1)
    assert said["pxt/rows"] == 4
    assert "; 1 row would fail without a request" in said["pxt/estimate"]


def test_a_limit_bounds_it(tickets: Tickets) -> None:
    """With `limit` the first rows alone are estimated."""
    said = estimated(tickets.run(texts(10), config={**DRY, "limit": 4}))
    assert said["pxt/rows"] == 4
    assert figures(said)[:2] == (4, 4)


def test_rows_of_one_request_are_counted_as_one(tickets: Tickets) -> None:
    """Embeddings travel 2,048 to a request, or fewer where the texts are long."""
    short = tickets.run({i: f"row {i}" for i in range(5_000)}, embed, config=DRY)
    assert figures(estimated(short))[:2] == (5_000, 3)
    long = tickets.run({i: f"{i}{TEXT * 250}" for i in range(30)}, embed, config=DRY)
    assert figures(estimated(long))[:2] == (30, 4)


def test_requests_of_other_models_are_counted_apart(tickets: Tickets) -> None:
    """Rows whose model differs cannot share a request."""

    def column(table: Table) -> Any:
        models = ("text-embedding-3-small", "text-embedding-3-large")
        return {name: embeddings(table.body, model=name) for name in models}

    said = estimated(tickets.run({1: "a", 2: "b"}, column, config=DRY))
    assert figures(said)[:2] == (2, 2)


def test_the_estimate_is_what_the_run_then_sends(tickets: Tickets, server: ScriptedServer) -> None:
    """As many requests are made as were said."""
    server.script = vectors
    rows = {i: f"row {i % 3_000}" for i in range(4_500)}
    said = estimated(tickets.run(rows, embed, config=DRY))
    result = tickets.run(rows, embed)
    assert len(server.asked) == said["pxt/estimated_requests"] == said_of(result)["pxt/requests"] == 2


def test_calls_made_of_answers_are_only_counted(tickets: Tickets) -> None:
    """Of a request that is made of another's answer only the number is known, and the sentence says so."""
    said = estimated(tickets.run(texts(3), lambda t: ask(ask(t.body).choices[0].message.content), config=DRY))
    assert figures(said) == (3, 6, 3 * INPUT, 3 * PAGE_TOKENS)
    assert "; 3 requests are made of other answers, and not in these tokens and costs" in said["pxt/estimate"]


def test_own_functions_cost_nothing(tickets: Tickets) -> None:
    """A column of the user's own functions has no requests to count."""

    @udf
    def shouted(body: str) -> str:
        return body.upper()

    said = estimated(tickets.run(texts(3), lambda t: shouted(t.body), config=DRY))
    assert figures(said) == (3, 0, 0, 0)
    assert said["pxt/estimated_cost_usd"] == 0
    assert said["pxt/estimate"] == "dry run, nothing was sent: 3 of 3 rows to compute, without any request"


def test_a_cost_that_nobody_knows_is_said_to_be_unknown(tickets: Tickets) -> None:
    """Of a model without a known price the estimate has tokens and no cost."""
    said = estimated(tickets.run(texts(3), lambda t: ask(t.body, model=SOLD_BY_NOBODY), config=DRY))
    assert said["pxt/estimated_cost_usd"] == "unknown"
    assert said["pxt/estimated_input_tokens"] == 3 * INPUT
    assert "cost unknown, about 0.3 s at " in said["pxt/estimate"]


def test_columns_after_it_are_skipped(store: ColumnStore, openai: OpenAIResource) -> None:
    """What reads a column of which only an estimate was made has nothing new to read, and the run succeeds."""
    tickets = Tickets(store, openai)
    result = tickets.run(texts(1), config=DRY)
    assert result.success
    assert not [event for event in result.get_asset_materialization_events() if event.asset_key == KEY]
    assert not result.get_asset_check_evaluations()


def test_a_key_that_repeats_fails_it(store: ColumnStore, openai: OpenAIResource) -> None:
    """What would stop the run before its first request stops its dry run."""
    assets = with_column(rows_asset({"id": [1, 1], "body": ["a", "b"]}))
    result = materialize(assets, store, openai, config={"tickets/c": DRY}, fails=True)
    assert failure(result).description.startswith("tickets/c: tickets: the key id is not unique")


def test_no_key_is_needed(store: ColumnStore) -> None:
    """An estimate can be made before there is any access to the API."""
    result = Tickets(store, OpenAIResource(api_key="")).run(texts(2), config=DRY)
    assert figures(estimated(result))[:2] == (2, 2)


def test_a_rehearsal_does_not_make_it_cheaper(tickets: Tickets, simulated: OpenAIResource) -> None:
    """What a simulator answered would be asked of the API all the same."""
    tickets.run(texts(3), openai=simulated)
    assert figures(estimated(tickets.run(texts(3), config=DRY)))[:2] == (3, 3)


def test_a_simulator_reuses_its_own_answers(store: ColumnStore) -> None:
    """With the embedded simulator, what it answered before does not count, and it is not started to find out."""
    openai = OpenAIResource.simulated()
    tickets = Tickets(store, openai)
    tickets.run(texts(3))
    assert figures(estimated(tickets.run(texts(4), config=DRY)))[:2] == (1, 1)
    assert openai._server is None


def test_a_trial_leaves_the_column_and_pays_for_the_run(tickets: Tickets, server: ScriptedServer) -> None:
    """`limit` computes a sample for an observation; the stored column stays, and the run reuses the sample."""
    tickets.run(texts(2))
    before = tickets.path.read_bytes()
    server.forget()
    result = tickets.run(texts(6, 10), config={"limit": 4})
    assert len(server.asked) == 4
    assert tickets.path.read_bytes() == before
    assert observations(result)[None]["pxt/requests"] == 4
    assert said_of(tickets.run(texts(6, 10)))["pxt/rows_reused"] == 4
    assert len(server.asked) == 6


def test_a_trial_of_a_range_is_one_of_each_partition(store: ColumnStore, server: ScriptedServer) -> None:
    """`limit` is of each partition's rows; each has an observation, and none is materialized."""
    partitions = Partitions(store, resource_of(server), {"a": texts(3), "b": texts(1, 10)})
    result = partitions.run(config={"limit": 2})
    assert {key: said["pxt/requests"] for key, said in observations(result).items()} == {"a": 2, "b": 1}
    assert not store.file(KEY, "a").exists()
