"""Runs with a budget: what they send, what they keep, how they say that it is spent, and how they go on."""

import threading
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import embeddings, image_generations
from tests.runs import ask, failure, message
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, refusal, resource_of, vectors
from tests.tickets import Partitions, Tickets, observations, said_of

PAID = 10 * 0.15e-6 + 5 * 0.60e-6
"""What an answer of `chat` costs: gpt-4o-mini takes $0.15 and $0.60 a million tokens."""
A_PAGE = 500 * 0.60e-6
"""What an answer of 500 tokens costs."""
ROWS = {i: f"row {i}" for i in range(30)}
SOLD_BY_NOBODY = "a-model-nobody-sells"


@pytest.fixture
def tickets(store: ColumnStore, server: ScriptedServer) -> Tickets:
    return Tickets(store, resource_of(server, max_in_flight=1))


def embed(table: Table) -> Any:
    return embeddings(table.body, model="text-embedding-3-small")


def budget(max_cost_usd: float) -> dict[str, float]:
    return {"max_cost_usd": max_cost_usd}


def test_a_run_within_its_budget_succeeds(tickets: Tickets) -> None:
    """A budget that suffices changes nothing."""
    result = tickets.run(ROWS, config=budget(1))
    assert said_of(result)["pxt/rows_computed"] == 30
    assert said_of(result)["pxt/cost_usd"] == pytest.approx(30 * PAID)


def test_a_run_that_reaches_its_budget_fails_with_the_figures(
    tickets: Tickets, server: ScriptedServer
) -> None:
    """The failure names asset, budget, what is spent, how many rows are finished, and how to go on."""
    result = tickets.run(ROWS, config=budget(9.5 * PAID), fails=True)
    assert len(server.asked) == 10
    assert failure(result).description == (
        "tickets/c: The budget of $0.00004275 is spent ($0.000045: the last request may go over it). 10 of 30 rows are "
        "finished. They are kept and will not be computed again: materialize again with a higher max_cost_usd, or "
        "without one, to go on with the others. The stored column is as it was."
    )
    assert not tickets.path.exists()


def test_what_the_budget_paid_for_is_not_paid_again(tickets: Tickets, server: ScriptedServer) -> None:
    """A run with a higher budget asks for the other rows only, and stores all of them."""
    tickets.run(ROWS, config=budget(9.5 * PAID), fails=True)
    asked = set(server.texts)
    server.forget()
    said = said_of(tickets.run(ROWS, config=budget(1)))
    assert set(server.texts) == set(ROWS.values()) - asked
    assert (said["pxt/rows_computed"], said["pxt/rows_reused"]) == (20, 10)
    assert tickets.table["c"].null_count == 0


def test_a_budget_is_of_one_run(tickets: Tickets, server: ScriptedServer) -> None:
    """The same budget again pays for as much again: it is no account of the column's."""
    for finished in (10, 20):
        said = failure(tickets.run(ROWS, config=budget(9.5 * PAID), fails=True)).description
        assert f" {finished} of 30 rows are finished" in said
    tickets.run(ROWS, config=budget(10.5 * PAID))
    assert len(server.asked) == 30


def test_one_finished_row_is_told_as_one(tickets: Tickets) -> None:
    """In the singular."""
    said = failure(tickets.run(ROWS, config=budget(0.5 * PAID), fails=True)).description
    assert said.startswith(
        "tickets/c: The budget of $0.00000225 is spent ($0.0000045: the last request may go over it). "
    )
    assert ". 1 of 30 rows is finished. It is kept and will not be computed again: materialize again" in said


def test_the_page_says_what_a_spent_budget_stopped(tickets: Tickets) -> None:
    """The newest event has a summary of what this run did."""
    with dg.DagsterInstance.ephemeral() as instance:
        tickets.run({1: "a"}, instance=instance)
        tickets.run(ROWS, config=budget(9.5 * PAID), instance=instance, fails=True)
        (seen,) = instance.fetch_observations(dg.AssetKey(["tickets", "c"]), limit=10).records
    said = seen.asset_observation.metadata["pxt/summary"].value
    assert said == "**stopped by its budget**: 10 of 30 rows finished, $0.000045 spent; nothing stored"


def test_a_spent_budget_leaves_the_stored_column(tickets: Tickets) -> None:
    """What was stored before stays as it is."""
    tickets.run({1: "a"})
    before = tickets.path.read_bytes()
    tickets.run(ROWS, config=budget(PAID), fails=True)
    assert tickets.path.read_bytes() == before


def test_reused_rows_cost_no_budget(tickets: Tickets, server: ScriptedServer) -> None:
    """A run that asks for nothing fits in any budget."""
    tickets.run(ROWS)
    server.forget()
    tickets.run(ROWS, config=budget(1e-12))
    assert not server.asked


def test_what_is_in_flight_when_the_budget_is_reached_is_kept(store: ColumnStore, serve: Any) -> None:
    """With many requests at once all that were sent are answered, journaled and never asked for again."""
    server = serve()
    tickets = Tickets(store, resource_of(server))
    rows = {i: f"row {i}" for i in range(300)}
    tickets.run(rows, config=budget(100 * PAID), fails=True)
    sent = server.texts
    assert 100 <= len(sent) <= 102
    assert len(set(sent)) == len(sent)
    server.forget()
    tickets.run(rows)
    assert set(server.texts) == set(rows.values()) - set(sent)


def test_before_the_first_answer_as_many_are_sent_as_the_budget_pays_at_most(
    store: ColumnStore, serve: Any
) -> None:
    """A budget of three answers of `max_tokens` sends three requests side by side, however many it could."""
    together = threading.Barrier(3, timeout=30)

    def script(asked: Asked) -> Reply:
        together.wait()
        return chat(asked, usage={"prompt_tokens": 8, "completion_tokens": 500})

    server = serve(script)
    column = lambda t: ask(t.body, max_tokens=500)  # noqa: E731
    Tickets(store, resource_of(server)).run(ROWS, column, config=budget(3.3 * A_PAGE), fails=True)
    assert len(server.asked) in (3, 4)


def test_a_budget_holds_over_all_partitions(store: ColumnStore, server: ScriptedServer) -> None:
    """Partitions of one run share it: finished ones are stored and recorded, the one at which it ends is named."""
    rows = {key: {i: f"{key} {i}" for i in range(5)} for key in "abc"}
    partitions = Partitions(store, resource_of(server, max_in_flight=1), rows)  # type: ignore[arg-type]
    with dg.DagsterInstance.ephemeral() as instance:
        result = partitions.run(config=budget(6.5 * PAID), instance=instance, fails=True)
        assert instance.get_materialized_partitions(dg.AssetKey(["tickets", "c"])) == {"a"}
    assert len(server.asked) == 7
    said = failure(result).description
    assert said.startswith(
        "tickets/c[b]: The budget of $0.00002925 is spent ($0.0000315: the last request may go over it). 2 of 5 rows "
    )
    server.forget()
    partitions.run(config=budget(8.5 * PAID))
    assert len(server.asked) == 8


def test_a_budget_ends_batched_requests(store: ColumnStore, serve: Any, monkeypatch: Any) -> None:
    """Of embeddings, whole requests are paid for; the rows of those that were sent are kept."""
    from pxt_assets.functions.embeddings import _ENDPOINT

    monkeypatch.setitem(vars(_ENDPOINT), "max_cells", 10)
    server = serve(vectors)
    tickets = Tickets(store, resource_of(server, max_in_flight=1))
    rows = {i: f"row {i}" for i in range(50)}
    result = tickets.run(rows, embed, config=budget(31 * 3 * 0.02e-6), fails=True)
    sent = [text for asked in server.asked for text in asked.body["input"]]
    assert len(server.asked) == 4
    assert "40 of 50 rows are finished" in failure(result).description
    server.forget()
    tickets.run(rows, embed, config=budget(1))
    assert [set(asked.body["input"]) for asked in server.asked] == [set(rows.values()) - set(sent)]
    assert tickets.table["c"].null_count == 0


def test_a_trial_has_a_budget_too(tickets: Tickets, server: ScriptedServer) -> None:
    """`limit` and `max_cost_usd` hold together, and what the trial paid for is kept."""
    tickets.run(ROWS, config={"limit": 10, **budget(4.5 * PAID)}, fails=True)
    assert len(server.asked) == 5
    server.forget()
    tickets.run(ROWS)
    assert len(server.asked) == 25


def test_without_a_price_nothing_is_sent(tickets: Tickets, server: ScriptedServer) -> None:
    """A budget for a model of unknown price fails the run before the first request, and says what to do."""
    result = tickets.run(ROWS, lambda t: ask(t.body, model=SOLD_BY_NOBODY), config=budget(1), fails=True)
    assert not server.asked
    assert failure(result).description == (
        "tickets/c: max_cost_usd=1 cannot be kept: no price is known of what 'a-model-nobody-sells' answered; leave "
        "max_cost_usd out and bound the run with limit, or choose a model that has a price"
    )


def test_images_without_a_price_are_not_sent(store: ColumnStore, serve: Any) -> None:
    """The same holds for images of a model that is charged by the image, of which the table has no price."""
    server = serve(lambda _: Reply({"created": 1, "data": [{"b64_json": ""}]}))
    tickets = Tickets(store, resource_of(server))
    result = tickets.run(
        {1: "a"}, lambda t: image_generations(t.body, model="dall-e-3"), config=budget(1), fails=True
    )
    assert not server.asked
    assert "no price is known" in failure(result).description


@pytest.mark.parametrize(
    "more",
    [{"usage": None}, {"model": SOLD_BY_NOBODY}],
    ids=["no usage", "another model's answer"],
)
def test_an_answer_of_unknown_price_ends_the_run_and_is_kept(
    more: dict[str, Any], tickets: Tickets, server: ScriptedServer
) -> None:
    """Once nobody knows what was spent nothing more is sent; what was answered by then is not asked for again."""
    server.script = lambda asked: chat(asked, **more)
    result = tickets.run(ROWS, config=budget(1), fails=True)
    assert "no price is known" in failure(result).description
    sent = server.texts
    assert len(sent) < 4
    server.script = chat
    server.forget()
    tickets.run(ROWS)
    assert set(server.texts) == set(ROWS.values()) - set(sent)


def test_an_invalid_answer_is_counted_as_paid(tickets: Tickets, server: ScriptedServer) -> None:
    """An answer that cannot be read was charged for: a budget of two pages ends a run of nothing but these."""
    server.script = lambda _: Reply({"id": "x"})
    column = lambda t: ask(t.body, max_tokens=500)  # noqa: E731
    result = tickets.run(ROWS, column, config=budget(1.5 * A_PAGE), on_error="ignore", fails=True)
    assert len(server.asked) == 2
    said = failure(result).description
    assert "is spent ($0.0006" in said
    assert "; $0.0006" in said
    assert "answers that were lost or unreadable" in said


def test_refused_requests_cost_nothing(tickets: Tickets, server: ScriptedServer) -> None:
    """Rows that the API refuses leave the budget to the others."""
    server.script = lambda asked: chat(asked) if asked.text == "row 29" else refusal(400, "no")
    said = said_of(tickets.run(ROWS, config=budget(2 * A_PAGE), on_error="ignore"))
    assert (said["pxt/rows_computed"], said["pxt/rows_failed"]) == (1, 29)
    assert said["pxt/cost_usd"] == pytest.approx(PAID)


def test_calls_inside_calls_are_paid_from_one_budget(tickets: Tickets, server: ScriptedServer) -> None:
    """A row that needs two answers spends both; the one that it got is lost with the row, but not its price."""
    rows = {i: f"row {i}" for i in range(5)}
    result = tickets.run(
        rows,
        lambda t: ask(ask(t.body).choices[0].message.content),
        config=budget(3.5 * PAID),
        fails=True,
    )
    assert len(server.asked) == 4
    assert "is spent ($0.000018: " in failure(result).description


def test_a_run_without_a_budget_says_that_its_cost_is_unknown(tickets: Tickets) -> None:
    """Without a budget a model of unknown price is asked, and what it cost is unknown, in the record of cells too."""
    said = said_of(tickets.run({1: "a"}, lambda t: ask(t.body, model=SOLD_BY_NOBODY)))
    assert said["pxt/cost_usd"] == "unknown"
    assert [cell["cost_usd"] for cell in tickets.provenance] == [None]


def test_less_than_nothing_is_refused(tickets: Tickets, server: ScriptedServer) -> None:
    """A budget below 0 is an error of the run config."""
    result = tickets.run({1: "a"}, config=budget(-1), fails=True)
    assert "max_cost_usd: got -1, allowed: US dollars, or 0" in message(result)
    assert not server.asked


def test_a_budget_of_0_is_none(tickets: Tickets, server: ScriptedServer) -> None:
    """As the launchpad shows an option that is not used."""
    tickets.run({1: "a", 2: "b"}, config=budget(0))
    assert len(server.asked) == 2


def test_the_simulator_keeps_to_a_budget(store: ColumnStore, simulated: OpenAIResource) -> None:
    """A rehearsal shows what the budget would do: it ends at the price that the API would take."""
    result = Tickets(store, simulated).run(ROWS, config=budget(1e-9), fails=True)
    assert "The budget of $0.000000001 is spent" in message(result)
    assert not observations(result)


def test_the_journal_of_a_spent_budget_tells_what_it_cost(tickets: Tickets) -> None:
    """The cells of both runs have their own cost and run in the column's record."""
    first = tickets.run(ROWS, config=budget(9.5 * PAID), fails=True)
    second = tickets.run(ROWS)
    runs = [cell["run_id"] for cell in tickets.provenance]
    assert {run: runs.count(run) for run in runs} == {first.run_id: 10, second.run_id: 20}
    assert sum(cell["cost_usd"] for cell in tickets.provenance) == pytest.approx(30 * PAID)
