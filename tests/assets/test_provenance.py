"""Where the cells of a column come from: the record beside it, run after run, and how it is read."""

import datetime
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table, udf
from pxt_assets.errors import SourceError
from pxt_assets.functions import embeddings
from tests.runs import ask, materialize, message, stored
from tests.scripted_server import Asked, Reply, ScriptedServer, at_first, chat, refusal, resource_of, vectors
from tests.tickets import KEY, Partitions, Tickets, said_of

SNAPSHOT = "gpt-4o-mini-2024-07-18"
PAID = 10 * 0.15e-6 + 5 * 0.60e-6
SOON = {"retry-after-ms": "1"}


def named(asked: Asked) -> Reply:
    """A chat answer whose request id tells what was asked, by a snapshot."""
    body = chat(asked, model=SNAPSHOT).body
    return Reply(body, headers={"x-request-id": f"req-{asked.text}"})


@pytest.fixture
def server(serve: Any) -> ScriptedServer:
    started: ScriptedServer = serve(named)
    return started


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


def embed(table: Table) -> Any:
    return embeddings(table.body, model="text-embedding-3-small")


def of(tickets: Tickets) -> dict[Any, dict[str, Any]]:
    """The record of each row's cell, by the row's key: joined by the digest."""
    known = {one["digest"]: one for one in tickets.provenance}
    assert len(known) == len(tickets.provenance)
    return {row["id"]: known.get(row["_digest"]) for row in tickets.table.to_pylist()}  # type: ignore[misc]


def test_every_cell_has_a_record(tickets: Tickets) -> None:
    """A record has the request's id, the snapshot, tokens, cost, latency, attempts, run and time, by digest."""
    before = datetime.datetime.now(datetime.UTC)
    result = tickets.run({1: "a", 2: "b"})
    after = datetime.datetime.now(datetime.UTC)
    for row, text in {1: "a", 2: "b"}.items():
        one = of(tickets)[row]
        assert one["request_id"] == f"req-{text}"
        assert one["model"] == SNAPSHOT
        assert (one["input_tokens"], one["output_tokens"], one["cached_tokens"]) == (10, 5, 0)
        assert one["cost_usd"] == pytest.approx(PAID)
        assert 0 < one["latency_s"] < 60
        assert one["attempts"] == 1
        assert one["run_id"] == result.run_id
        assert before <= one["finished_at"] <= after


def test_the_records_add_up_to_the_runs_figures(tickets: Tickets) -> None:
    """Tokens and cost of the cells are those that the materialization states."""
    said = said_of(tickets.run({i: f"row {i}" for i in range(20)}))
    for name in ("input_tokens", "output_tokens", "cost_usd"):
        assert sum(one[name] for one in tickets.provenance) == pytest.approx(said[f"pxt/{name}"])


def test_equal_rows_share_a_record(tickets: Tickets) -> None:
    """Rows whose requests are equal have one cell, paid once, and one record."""
    tickets.run({1: "a", 2: "b", 3: "a"})
    assert len(tickets.provenance) == 2
    assert of(tickets)[1] == of(tickets)[3]


def test_rows_without_a_request_have_none(tickets: Tickets) -> None:
    """A null that makes no request comes from nowhere."""
    tickets.run({1: "a", 2: None})
    assert of(tickets)[2] is None
    assert len(tickets.provenance) == 1


def test_cached_tokens_are_told(tickets: Tickets, server: ScriptedServer) -> None:
    """What was read from the API's cache stands in the record."""
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 64}}
    server.script = lambda asked: chat(asked, usage=usage)
    tickets.run({1: "a"})
    assert of(tickets)[1]["cached_tokens"] == 64


def test_attempts_are_all_times_that_it_was_sent(tickets: Tickets, server: ScriptedServer) -> None:
    """Retries after faults and rejections for the rate count."""
    limited = refusal(429, "slow", code="rate_limit_exceeded", headers=SOON)
    server.script = at_first([refusal(500, "oops", headers=SOON), limited], named)
    tickets.run({1: "a"})
    assert of(tickets)[1]["attempts"] == 3
    assert of(tickets)[1]["request_id"] == "req-a"


def test_cells_of_one_request_share_its_bill(tickets: Tickets, server: ScriptedServer) -> None:
    """Tokens and cost of a batch are shared out by the length of the texts, and add up to the request's."""
    server.script = lambda asked: Reply(
        {**vectors(asked).body, "usage": {"prompt_tokens": 101, "total_tokens": 101}},
        headers={"x-request-id": "req-batch"},
    )
    said = said_of(tickets.run({1: "a" * 4_000, 2: "b" * 40, 3: "c" * 4_000}, embed))
    records = of(tickets)
    assert len(server.asked) == 1
    assert {one["request_id"] for one in records.values()} == {"req-batch"}
    tokens = [records[i]["input_tokens"] for i in (1, 2, 3)]
    assert sum(tokens) == said["pxt/input_tokens"] == 101
    assert tokens[1] < 3
    assert abs(tokens[0] - tokens[2]) <= 1
    assert sum(one["cost_usd"] for one in records.values()) == pytest.approx(said["pxt/cost_usd"])
    assert len({one["latency_s"] for one in records.values()}) == 1


def test_reused_cells_keep_their_first_record(tickets: Tickets) -> None:
    """A later run that reuses a cell leaves its record as it was, and adds those of new cells."""
    first = tickets.run({1: "a", 2: "b"})
    before = of(tickets)
    second = tickets.run({1: "a", 2: "b", 3: "c"})
    assert {i: of(tickets)[i] for i in (1, 2)} == before
    assert [of(tickets)[i]["run_id"] for i in (1, 2, 3)] == [first.run_id, first.run_id, second.run_id]


def test_reordered_rows_keep_their_records(tickets: Tickets) -> None:
    """Records belong to requests, not to places."""
    tickets.run({1: "a", 2: "b", 3: "c"})
    before = of(tickets)
    tickets.run({3: "c", 1: "a", 2: "b"})
    assert of(tickets) == before


def test_records_of_removed_rows_go(tickets: Tickets) -> None:
    """There is a record for each cell of the column and for no other."""
    tickets.run({1: "a", 2: "b"})
    tickets.run({2: "b"})
    assert [one["request_id"] for one in tickets.provenance] == ["req-b"]
    tickets.run({})
    assert tickets.provenance == []


def test_a_changed_row_has_the_record_of_its_new_answer(tickets: Tickets) -> None:
    """What was asked instead has its own request, run and time."""
    tickets.run({1: "a"})
    result = tickets.run({1: "new"})
    assert of(tickets)[1]["request_id"] == "req-new"
    assert of(tickets)[1]["run_id"] == result.run_id


def test_a_refresh_has_records_of_its_own(tickets: Tickets, server: ScriptedServer) -> None:
    """Computed anew, a cell comes from the request that was made last."""
    tickets.run({1: "a"})
    server.script = lambda asked: Reply(named(asked).body, headers={"x-request-id": "req-again"})
    tickets.run({1: "a"}, config={"refresh": True})
    assert [one["request_id"] for one in tickets.provenance] == ["req-again"]


def test_a_failed_cell_has_its_requests_id(tickets: Tickets, server: ScriptedServer) -> None:
    """An error that the API made has a record too, by which it can be asked about."""
    server.script = lambda asked: refusal(400, "too rude") if asked.text == "bad" else named(asked)
    result = tickets.run({1: "a", 2: "bad"}, on_error="ignore")
    one = of(tickets)[2]
    assert one["request_id"] == "req-7"
    assert one["run_id"] == result.run_id
    assert (one["cost_usd"], one["input_tokens"]) == (None, None)


def test_an_unreadable_answer_has_its_requests_id(tickets: Tickets, server: ScriptedServer) -> None:
    """So has an answer that was paid for and could not be read; what it cost is not known."""
    odd = Reply(b'{"choices": 7}', headers={"x-request-id": "req-odd"})
    server.script = lambda asked: odd if asked.text == "a" else named(asked)
    tickets.run({1: "a", 2: "b"}, on_error="ignore")
    assert of(tickets)[1]["request_id"] == "req-odd"
    assert of(tickets)[1]["cost_usd"] is None


def test_a_retried_error_has_the_record_of_its_answer(tickets: Tickets, server: ScriptedServer) -> None:
    """When a failed row is answered in a later run, its record is the answer's."""
    server.script = lambda _: refusal(400, "no")
    tickets.run({1: "a"}, on_error="ignore")
    server.script = named
    tickets.run({1: "a"}, on_error="ignore")
    assert [one["request_id"] for one in tickets.provenance] == ["req-a"]


def test_what_an_aborted_run_paid_for_keeps_its_record(tickets: Tickets, server: ScriptedServer) -> None:
    """Cells that a failed run journaled are recorded as of that run when a later one stores them."""
    server.script = lambda asked: refusal(400, "no") if asked.text == "bad" else named(asked)
    openai = resource_of(server, max_in_flight=1)
    failed = tickets.run({1: "a", 2: "bad"}, openai=openai, fails=True)
    with pytest.raises(SourceError, match="no record of where its cells come from"):
        tickets.store.provenance_of(KEY)
    server.script = named
    later = tickets.run({1: "a", 2: "bad"})
    assert [of(tickets)[i]["run_id"] for i in (1, 2)] == [failed.run_id, later.run_id]


def test_a_cell_of_several_requests_sums_them_up(tickets: Tickets) -> None:
    """A cell that took two answers has both ids, and their tokens, cost and attempts together."""
    said = said_of(tickets.run({1: "a"}, lambda t: ask(ask(t.body).choices[0].message.content)))
    one = of(tickets)[1]
    assert one["request_id"] == "req-a req-re: a"
    assert (one["input_tokens"], one["output_tokens"], one["attempts"]) == (20, 10, 2)
    assert one["cost_usd"] == pytest.approx(said["pxt/cost_usd"]) == pytest.approx(2 * PAID)


def test_an_own_function_takes_no_tokens_of_a_cell(tickets: Tickets) -> None:
    """Where a function of the user's works on an answer, tokens and cost are the answer's."""

    @udf
    def shouted(text: str) -> str:
        return text.upper()

    tickets.run({1: "a"}, lambda t: shouted(ask(t.body).choices[0].message.content))
    one = of(tickets)[1]
    assert (one["request_id"], one["input_tokens"], one["output_tokens"]) == ("req-a", 10, 5)
    assert one["cost_usd"] == pytest.approx(PAID)


def test_a_simulators_cells_are_recorded_under_their_own_names(
    tickets: Tickets, simulated: OpenAIResource
) -> None:
    """A simulator's cells have records that the column's digests find; the API's answers replace them."""
    tickets.run({1: "a"}, openai=simulated)
    assert of(tickets)[1]["attempts"] == 1
    tickets.run({1: "a", 2: "b"}, openai=simulated)
    assert [one["attempts"] for one in of(tickets).values()] == [1, 1]
    tickets.run({1: "a", 2: "b"})
    assert [one["request_id"] for one in of(tickets).values()] == ["req-a", "req-b"]


def test_a_rehearsal_keeps_the_records_of_what_was_paid_for(
    tickets: Tickets, simulated: OpenAIResource
) -> None:
    """Beside a simulator's cells, those of the API keep their requests."""
    tickets.run({1: "a"})
    tickets.run({1: "a", 2: "b"}, openai=simulated)
    assert of(tickets)[1]["request_id"] == "req-a"
    assert of(tickets)[2] is not None


def test_it_can_be_left_out(store: ColumnStore, openai: OpenAIResource) -> None:
    """With provenance=False the column is stored as ever, with no file beside it, and asking for one says why."""
    tickets = Tickets(ColumnStore(base_path=store.base_path, provenance=False), openai)
    tickets.run({1: "a"})
    assert [path.name for path in tickets.path.parent.iterdir()] == ["c.parquet"]
    with pytest.raises(SourceError, match="provenance=False"):
        tickets.store.provenance_of(KEY)


def test_turned_on_later_it_tells_of_what_is_new(store: ColumnStore, openai: OpenAIResource) -> None:
    """Cells that were computed without a record have none; those that come later do."""
    Tickets(ColumnStore(base_path=store.base_path, provenance=False), openai).run({1: "a"})
    tickets = Tickets(store, openai)
    tickets.run({1: "a", 2: "b"})
    assert of(tickets)[1] is None
    assert of(tickets)[2]["request_id"] == "req-b"


def test_readers_of_the_folder_do_not_see_it(tickets: Tickets) -> None:
    """Whoever reads all files of a column's folder gets the column alone."""
    tickets.run({1: "a"})
    assert list(pd.read_parquet(tickets.path.parent).columns)[:2] == ["id", "c"]


def test_a_column_without_calls_has_no_record(store: ColumnStore, openai: OpenAIResource) -> None:
    """A column that only picks from another comes from no request."""
    tickets = Tickets(store, openai)
    tickets.run({1: "a"}, lambda t: t.body)
    with pytest.raises(SourceError, match="computed columns that call functions have one"):
        store.provenance_of(KEY)


@pytest.mark.parametrize("wanted", [pa.Table, pd.DataFrame, list], ids=lambda t: t.__name__)
def test_an_asset_reads_it_as_an_input(wanted: Any, tickets: Tickets, store: ColumnStore) -> None:
    """Metadata of an input asks for the records in place of the column, in the type of the parameter."""
    seen: list[Any] = []

    @dg.asset(ins={"answers": dg.AssetIn(KEY, metadata={"pxt/provenance": True})})
    def spending(answers: wanted) -> None:  # type: ignore[valid-type]
        seen.append(answers)

    tickets.run({1: "a", 2: "b"})
    materialize([*tickets.assets({1: "a", 2: "b"}), spending], store, only=["spending"])
    costs = [one["cost_usd"] for one in seen[0]] if wanted is list else list(seen[0]["cost_usd"])
    assert [float(str(cost)) for cost in costs] == pytest.approx([PAID, PAID])


def test_an_asset_reads_that_of_several_partitions(store: ColumnStore, openai: OpenAIResource) -> None:
    """Records of all partitions that an input spans come as one table, and each partition has its own."""
    seen: list[Any] = []

    @dg.asset(ins={"answers": dg.AssetIn(KEY, metadata={"pxt/provenance": True})})
    def spending(answers: pa.Table) -> None:
        seen.append(answers)

    partitions = Partitions(store, openai, {"x": {1: "a"}, "y": {1: "b", 2: "c"}})
    partitions.run()
    materialize([*partitions.assets, spending], store, only=["spending"])
    assert sorted(seen[0]["request_id"].to_pylist()) == ["req-a", "req-b", "req-c"]
    assert store.provenance_of(KEY, "x")["request_id"].to_pylist() == ["req-a"]
    digests = stored(store, "tickets/c", "y")["_digest"].to_pylist()
    assert sorted(store.provenance_of(KEY, "y")["digest"].to_pylist()) == sorted(digests)


def test_an_input_without_a_record_says_so(store: ColumnStore, openai: OpenAIResource) -> None:
    """A column that was never materialized is named, with where its record should be."""

    @dg.asset(ins={"answers": dg.AssetIn(KEY, metadata={"pxt/provenance": True})})
    def spending(answers: pa.Table) -> None: ...

    assets = [*Tickets(store, openai).assets({1: "a"}), spending]
    said = message(materialize(assets, store, only=["spending"], fails=True))
    assert "tickets/c: no record of where its cells come from is stored at" in said
