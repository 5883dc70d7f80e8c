"""Answers that are paid for, and that a strict reader of JSON would not take: on the wire."""

from typing import Any

import pytest

from pxt_assets import ColumnStore
from tests.runs import stored
from tests.scripted_server import Asked, Reply, ScriptedServer, resource_of
from tests.tickets import Tickets, said_of

PAID = 10 * 0.15e-6 + 5 * 0.60e-6
"""What such an answer costs: gpt-4o-mini takes $0.15 and $0.60 a million tokens."""


def answer(more: str, content: str = '"ok"') -> bytes:
    return (
        '{"id": "x", "model": "gpt-4o-mini", "choices": [{"index": 0, "finish_reason": "stop", "message": '
        f'{{"role": "assistant", "content": {content}}}{more}}}], '
        '"usage": {"prompt_tokens": 10, "completion_tokens": 5}}'
    ).encode()


ODD = {
    "NaN": answer(', "logprobs": {"content": [{"token": "a", "logprob": NaN}, {"logprob": -Infinity}]}'),
    "nan of C": answer(', "logprobs": [nan, -inf]'),
    "infinite": answer(', "logprobs": 1e400'),
    "thousands of digits": answer(f', "logprobs": {"1" * 5_000}'),
    "half a character": answer("", '"a\\ud800b"'),
    "no UTF-8": answer("", '"caf\xe9"').decode().encode("latin-1"),
    "line breaks": answer("", '"a\nb\x01"'),
    "a mark before": b"\xef\xbb\xbf" + answer(""),
    "white space": b"\n\n " + answer("") + b"\r\n\n",
    "zero bytes after": answer("") + b"\0\0",
    "UTF-16": answer("").decode().encode("utf-16"),
    "twice": answer(', "index": 1'),
    "deep": answer(f', "logprobs": {"[" * 500 + "]" * 500}'),
    "very deep": answer(f', "logprobs": {"[" * 50_000 + "]" * 50_000}'),
}


def test_an_odd_answer_is_kept_and_not_paid_again(store: ColumnStore, server: ScriptedServer) -> None:
    """Whatever is odd in it; the cell is JSON for every reader."""
    duckdb = pytest.importorskip("duckdb")
    server.script = lambda asked: Reply(ODD[asked.text])
    tickets = Tickets(store, resource_of(server))
    rows = {name: name for name in ODD}
    said = said_of(tickets.run(rows))
    assert said["pxt/cost_usd"] == pytest.approx(len(ODD) * PAID)
    tickets.run(rows)
    assert len(server.asked) == len(ODD)
    assert set(stored(store, "tickets/c")["c_errortype"].to_pylist()) == {None}
    table = duckdb.sql(f"select json_valid(c::varchar) from '{tickets.path}'").fetchall()
    assert {valid for (valid,) in table} == {True}


@pytest.mark.parametrize("choices", [[], None, [{"finish_reason": "error", "message": {}}]])
def test_an_answer_without_results_is_counted_with_what_it_cost(
    choices: Any, store: ColumnStore, server: ScriptedServer
) -> None:
    """It is its row's error, and it states its usage: the run's cost has it, and a budget."""

    def script(asked: Asked) -> Reply:
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        return Reply({"model": asked.body["model"], "choices": choices, "usage": usage})

    server.script = script
    tickets = Tickets(store, resource_of(server, max_retries=0))
    said = said_of(tickets.run({1: "a", 2: "b"}, config={"max_cost_usd": 1}, on_error="ignore"))
    assert said["pxt/rows_failed"] == 2
    assert said["pxt/cost_usd"] == pytest.approx(len(server.asked) * PAID)


def test_rows_without_results_are_asked_for_again_unless_the_run_says_otherwise(
    store: ColumnStore, server: ScriptedServer
) -> None:
    """`retry_errors: false` keeps what is known of them."""
    server.script = lambda _: Reply({"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}})
    tickets = Tickets(store, resource_of(server))
    tickets.run({1: "a"}, on_error="ignore")
    tickets.run({1: "a"}, config={"retry_errors": False}, on_error="ignore")
    assert len(server.asked) == 1
    tickets.run({1: "a"}, on_error="ignore")
    assert len(server.asked) == 2
