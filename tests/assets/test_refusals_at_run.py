"""Refusals with the statuses of a wrong key or an unknown model: of all requests, or of one row's prompt."""

from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore
from pxt_assets.functions import chat_completions, embeddings
from tests.assets.test_errors_at_run import errors, run
from tests.runs import ask, materialize, rows_asset, stored
from tests.scripted_server import Asked, Reply, chat, refusal, resource_of, vectors

BLOCKED = Reply(b"<html><title>403 Forbidden</title>Blocked</html>", 403, {"content-type": "text/html"})
REFUSALS = {
    402: refusal(402, "This request requires more credits, or fewer max_tokens.", code=None),
    403: BLOCKED,
    404: refusal(404, "No endpoints found that support image input", code=None),
}


def firewall(asked: Asked, reply: Reply = BLOCKED) -> Reply:
    return reply if "bad" in asked.text else chat(asked)


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("bad", [0, 7, 19])
@pytest.mark.parametrize("in_flight", [1, 50])
def test_a_refusal_of_one_prompt_is_its_rows(
    status: int, bad: int, in_flight: int, store: ColumnStore, serve: Any
) -> None:
    """Wherever the row stands, the first one of the run included, the others are answered."""
    server = serve(lambda asked: firewall(asked, REFUSALS[status]))
    rows = {i: f"row {i}" + (" bad" if i == bad else "") for i in range(20)}
    run(store, resource_of(server, max_in_flight=in_flight), rows, on_error="ignore")
    assert [i for i, (errortype, _) in enumerate(errors(store)) if errortype] == [bad]
    assert len(server.asked) == 20


def test_rows_that_are_left_with_refusals_are_asked_again_for_ever(store: ColumnStore, serve: Any) -> None:
    """However many there are, a run in which they alone are asked for ends well."""
    server = serve(firewall)
    rows = {i: f"row {i}" + (" bad" if i % 2 else "") for i in range(80)}
    openai = resource_of(server, max_in_flight=4)
    run(store, openai, rows, on_error="ignore")
    for _ in range(2):
        server.forget()
        run(store, openai, rows, on_error="ignore")
        assert len(server.asked) == 40
        assert all("bad" in asked.text for asked in server.asked)


def test_a_new_row_that_is_refused_alone_is_its_own(store: ColumnStore, serve: Any) -> None:
    """What is stored shows that the model answers."""
    server = serve(firewall)
    run(store, resource_of(server), {1: "a", 2: "b"}, on_error="ignore")
    run(store, resource_of(server), {0: "bad", 1: "a", 2: "b"}, on_error="ignore")
    assert [errortype for errortype, _ in errors(store)] == ["PermissionDeniedError", None, None]


@pytest.mark.parametrize("rows", [1, 3, 200])
def test_a_refusal_of_all_requests_stops_the_run(rows: int, store: ColumnStore, serve: Any) -> None:
    """Where nothing of that model is answered."""
    server = serve(lambda _: BLOCKED)
    openai = resource_of(server, max_in_flight=4)
    with pytest.raises(dg.Failure) as caught:
        run(store, openai, {i: f"row {i}" for i in range(rows)}, on_error="ignore")
    assert "refuses all requests of this kind: PermissionDeniedError 403" in str(caught.value.description)
    assert len(server.asked) <= min(rows, 8)


def test_refusals_of_everything_in_mid_run_stop_it(store: ColumnStore, serve: Any) -> None:
    """After twenty in a row; what was answered is kept, and the next run goes on."""
    left = iter(range(10))
    server = serve(lambda asked: BLOCKED if next(left, None) is None else chat(asked))
    rows = {i: f"row {i}" for i in range(500)}
    run(store, resource_of(server, max_in_flight=4), rows, on_error="ignore", fails=True)
    assert 30 <= len(server.asked) <= 40
    server.script = chat
    server.forget()
    run(store, resource_of(server), rows, on_error="ignore")
    assert len(server.asked) == 490


def test_a_key_that_is_revoked_in_mid_run_stops_it_at_once(store: ColumnStore, serve: Any) -> None:
    """A 401 is no row's."""
    left = iter(range(10))
    denied = refusal(401, "revoked", code="invalid_api_key")
    server = serve(lambda asked: denied if next(left, None) is None else chat(asked))
    rows = {i: f"row {i}" for i in range(500)}
    run(store, resource_of(server, max_in_flight=4), rows, on_error="ignore", fails=True)
    assert len(server.asked) <= 15


def test_a_refused_row_aborts_as_any_failed_row_does(store: ColumnStore, serve: Any) -> None:
    """With on_error="abort" the run names it."""
    server = serve(firewall)
    with pytest.raises(dg.Failure) as caught:
        run(store, resource_of(server), {1: "a", 2: "bad", 3: "c"}, on_error="abort")
    assert "refuses all requests" not in str(caught.value.description)
    assert "Blocked" in str(caught.value.description)


def test_another_model_tells_nothing(store: ColumnStore, serve: Any) -> None:
    """Of two models in a column, one that is not there stops the run, whatever the other answers."""
    server = serve(lambda asked: REFUSALS[404] if asked.body["model"] == "gone" else chat(asked))
    upstream = rows_asset({"id": list(range(40)), "body": ["x"] * 40, "model": ["m", "gone"] * 20})
    from pxt_assets import Table

    table = Table(upstream, key="id")
    messages = [{"role": "user", "content": table.body}, {"role": "user", "content": table.model}]
    table.add_computed_column(c=chat_completions(messages, model=table.model), on_error="ignore")
    with pytest.raises(dg.Failure, match="No endpoints found"):
        materialize([upstream, *table.assets], store, resource_of(server))


def test_partitions_of_one_run_tell_of_each_other(store: ColumnStore, serve: Any) -> None:
    """A partition whose only row is refused is stored with that error, if others are answered."""
    days = dg.StaticPartitionsDefinition(["a", "b", "c"])

    @dg.asset(partitions_def=days, io_manager_key="columns", backfill_policy=dg.BackfillPolicy.single_run())
    def tickets(context: dg.AssetExecutionContext) -> Any:
        return {key: [{"id": 1, "body": "bad" if key == "a" else "good"}] for key in context.partition_keys}

    from pxt_assets import Table

    server = serve(firewall)
    table = Table(tickets, key="id")
    table.add_computed_column(c=ask(table.body), on_error="ignore")
    tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
    result = dg.materialize(
        [tickets, *table.assets],
        resources={"openai": resource_of(server), "columns": store},
        tags=tags,
    )
    assert result.success
    assert stored(store, "tickets/c", "a")["c_errortype"].to_pylist() == ["PermissionDeniedError"]


@pytest.mark.parametrize("bad", [{0}, {3, 500, 900, 1400, 1999}, set(range(64))], ids=len)
def test_texts_that_a_firewall_blocks_cost_their_neighbours_nothing(
    bad: set[int], store: ColumnStore, serve: Any
) -> None:
    """Among the many texts of one request, which is divided."""
    server = serve(
        lambda asked: BLOCKED if any("bad" in text for text in asked.body["input"]) else vectors(asked)
    )
    rows = {i: f"row {i}" + (" bad" if i in bad else "") for i in range(2_000)}
    run(store, resource_of(server), rows, lambda t: embeddings(t.body, model="m"), on_error="ignore")
    assert {i for i, (errortype, _) in enumerate(errors(store)) if errortype} == bad
    assert len(server.asked) < 25 + 24 * len(bad)


def test_an_unknown_embedding_model_stops_the_run_soon(store: ColumnStore, serve: Any) -> None:
    """Though every request of many texts is divided."""
    server = serve(lambda _: refusal(404, "no such model", code="model_not_found"))
    rows = {i: f"row {i}" for i in range(2_000)}
    with pytest.raises(dg.Failure, match="no such model"):
        run(store, resource_of(server), rows, lambda t: embeddings(t.body, model="m"), on_error="ignore")
    assert len(server.asked) < 30
