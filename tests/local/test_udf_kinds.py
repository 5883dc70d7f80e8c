"""Which functions can be applied to rows, and how they are called: at once, awaited, in batches."""

import asyncio
import functools
import threading
from typing import Any

import pytest

from pxt_assets import udf
from tests.local.tickets import Tickets
from tests.local.udfs import returning, shout
from tests.runs import metadata
from tests.scripted_server import ScriptedServer


@udf
async def later(text: str) -> str:
    await asyncio.sleep(0)
    return text.upper()


class TestKinds:
    @pytest.mark.parametrize("function", [shout, later], ids=["sync", "async"])
    def test_a_function_is_applied_to_each_row(self, function, tickets):
        """Sync or async."""
        assert tickets.cells(lambda t: function(t.body)) == ["A", "B"]

    def test_it_makes_no_request(self, tickets):
        """So it needs no resource of the API."""
        result = tickets.run(lambda t: shout(t.body))
        assert metadata(result, "tickets/c")["pxt/requests"] == 0

    def test_a_batched_function_takes_rows_together(self, tickets):
        """At most so many, with a last batch of what is left."""
        calls: list[list[str]] = []

        @udf(batch_size=2)
        def f(texts: list[str]) -> list[int]:
            calls.append(texts)
            return [len(text) for text in texts]

        assert tickets.cells(lambda t: f(t.body), body=["a", "bb", "ccc"]) == [1, 2, 3]
        assert sorted(calls) == [["a", "bb"], ["ccc"]]

    def test_a_batched_function_takes_the_rows_together_that_share_the_other_arguments(self, tickets):
        """Which are the same for a whole call."""
        calls: list[tuple[list[str], int]] = []

        @udf(batch_size=10)
        async def f(texts: list[str], *, times: int = 2) -> list[str]:
            calls.append((texts, times))
            return [text * times for text in texts]

        got = tickets.cells(lambda t: f(t.body, times=t.n), body=["a", "b", "c"], n=[1, 2, 1])
        assert got == ["a", "bb", "c"]
        assert sorted(calls) == [(["a", "c"], 1), (["b"], 2)]

    def test_batched_functions_of_equal_source_stay_apart(self, tickets):
        """Each is called with its own rows: they may close over different objects."""

        def adding(suffix: Any) -> Any:
            @udf(batch_size=10)
            def f(texts: list[str]) -> list[str]:
                return [text + suffix() for text in texts]

            return f

        one, other = adding(lambda: "1"), adding(lambda: "2")
        got = tickets.cells(lambda t: {"one": one(t.body), "other": other(t.body)})
        assert got == [{"one": "a1", "other": "a2"}, {"one": "b1", "other": "b2"}]

    def test_methods_and_decorated_functions(self, tickets):
        """Whatever has the function's hints."""

        class Repeat:
            times = 2

            def __call__(self, text: str) -> str:
                return text * self.times

        @udf
        @functools.cache
        def cached(text: str) -> str:
            return text * 2

        method = udf(Repeat().__call__)
        assert (
            tickets.cells(lambda t: method(t.body)) == tickets.cells(lambda t: cached(t.body)) == ["aa", "bb"]
        )

    def test_a_wrapped_async_function_is_awaited(self, tickets):
        """Though what wraps it is a plain one."""

        def logged(function: Any) -> Any:
            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return function(*args, **kwargs)

            return wrapper

        f = udf(logged(later.function))
        assert tickets.cells(lambda t: f(t.body)) == ["A", "B"]

    def test_sync_functions_run_at_once(self, tickets):
        """Each of two waits for the other, off the event loop."""
        barrier = threading.Barrier(2)

        @udf
        def f(text: str) -> bool:
            return barrier.wait(timeout=10) >= 0

        assert tickets.cells(lambda t: f(t.body)) == [True, True]


def test_many_rows(tickets: Tickets, server: ScriptedServer) -> None:
    """Ten thousand are no different from two."""
    assert sum(tickets.cells(lambda t: returning(1, int)(t.n), n=list(range(10_000)))) == 10_000
