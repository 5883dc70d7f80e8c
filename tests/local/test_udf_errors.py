"""What goes wrong in a user-defined function is the error of its row."""

import asyncio
import threading
from typing import Any

import dagster as dg
import numpy as np
import pytest

from pxt_assets import udf
from tests.runs import ask, failure, values


def raising(error: BaseException) -> Any:
    @udf
    def f(text: str) -> str:
        raise error

    return f


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "cell"),
        [
            (ValueError("no such text"), ("ValueError", "f: no such text")),
            (KeyError("k"), ("KeyError", "f: 'k'")),
            (ValueError(), ("ValueError", "f: ValueError")),
            (ValueError("a\ud800"), ("ValueError", "f: a\ufffd")),
            (RecursionError("deep"), ("RecursionError", "f: deep")),
            (StopIteration(), ("RuntimeError", "f: it raised StopIteration")),
            (SystemExit(3), ("RuntimeError", "f: it raised SystemExit: 3")),
            (KeyboardInterrupt(), ("RuntimeError", "f: it raised KeyboardInterrupt")),
            (asyncio.CancelledError(), ("RuntimeError", "f: it raised CancelledError")),
        ],
        ids=repr,
    )
    def test_what_it_raises_is_the_rows_error(self, error, cell, tickets):
        """It names the function; whatever it is, the run goes on."""
        assert tickets.cells(lambda t: {"a": raising(error)(t.body), "b": t.body}, body=["x"]) == [cell]

    def test_an_exception_that_cannot_say_anything(self, tickets):
        """Nor be copied to another process."""

        class OddError(Exception):
            def __init__(self) -> None:
                self.hold = threading.Lock()

            def __str__(self) -> str:
                raise ValueError

        assert tickets.cells(lambda t: raising(OddError())(t.body), body=["x"]) == [
            ("OddError", "f: OddError")
        ]

    def test_a_long_message_is_cut(self, tickets):
        """It is stored with every row."""
        ((_, message),) = tickets.cells(lambda t: raising(ValueError("x" * 10**6))(t.body), body=["x"])
        assert len(message) < 2_100

    def test_an_error_fails_a_run_that_is_to_abort(self, tickets):
        """The failure names the row, the function and the fault; nothing is stored."""
        result = tickets.run(
            lambda t: raising(ValueError("no such text"))(t.body), on_error="abort", fails=True
        )
        said = failure(result).description
        assert said.startswith("tickets/c: 2 of 2 rows failed: id=0: ValueError: f: no such text")
        assert not tickets.store.file(dg.AssetKey(["tickets", "c"])).exists()

    @pytest.mark.parametrize("on_error", ["abort", "ignore"])
    def test_only_what_failed_is_computed_again(self, on_error, tickets):
        """By the next run, whether the first one stored the column or not."""
        bad, calls = {"b"}, []

        @udf
        def f(text: str) -> str:
            calls.append(text)
            if text in bad:
                raise ValueError
            return text.upper()

        tickets.run(lambda t: f(t.body), on_error=on_error, fails=on_error == "abort", body=["a", "b", "c"])
        kept = set(calls) - bad
        bad.clear()
        calls.clear()
        tickets.run(lambda t: f(t.body), on_error=on_error, body=["a", "b", "c"])
        assert values(tickets.store, "tickets/c") == ["A", "B", "C"]
        assert sorted(calls) == sorted({"a", "b", "c"} - kept)

    def test_errors_stay_if_they_are_not_to_be_retried(self, tickets):
        """`retry_errors: false` calls nothing again."""
        calls: list[str] = []

        @udf
        def f(text: str) -> str:
            calls.append(text)
            raise ValueError

        tickets.run(lambda t: f(t.body), body=["a"])
        tickets.run(lambda t: f(t.body), config={"retry_errors": False}, body=["a"])
        assert calls == ["a"]

    def test_one_bad_row_of_a_batch_fails_alone(self, tickets):
        """The batch is halved until that row stands alone."""
        calls: list[list[str]] = []

        @udf(batch_size=64)
        def f(texts: list[str]) -> list[int]:
            calls.append(texts)
            if "bad" in texts:
                raise ValueError("bad text")
            return [len(text) for text in texts]

        cells = tickets.cells(lambda t: f(t.body), body=[*(f"text {i}" for i in range(63)), "bad"])
        assert cells[:-1] == [len(f"text {i}") for i in range(63)]
        assert cells[-1] == ("ValueError", "f: bad text")
        assert len(calls) == 13

    def test_one_bad_value_of_a_batch_fails_alone(self, tickets):
        """Nothing is called again for it."""
        calls: list[list[str]] = []

        @udf(batch_size=64)
        def f(texts: list[str]) -> list[int]:
            calls.append(texts)
            return ["?" if text == "bad" else len(text) for text in texts]  # type: ignore[misc]

        cells = tickets.cells(lambda t: f(t.body), body=["a", "bad", "ccc"])
        assert cells == [1, ("TypeError", "f: got str '?', allowed: Int or null"), 3]
        assert len(calls) == 1

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            (lambda texts: None, "f: got NoneType, allowed: a list with a value for each row"),
            (lambda texts: dict.fromkeys(texts, 1), "f: got dict, allowed: a list with a value for each row"),
            (lambda texts: "12", "f: got str, allowed: a list with a value for each row"),
            (lambda texts: (1 for _ in texts), "f: got generator, allowed: a list with a value for each row"),
            (lambda texts: np.int64(1), "f: got int64, allowed: a list with a value for each row"),
            (lambda texts: [], "f: got 0 values for 1 rows"),
        ],
    )
    def test_what_is_no_list_of_values_is_the_rows_error(self, returned, message, tickets):
        """Rather than shared out by chance."""

        @udf(batch_size=2)
        def f(texts: list[str]) -> list[int]:
            return returned(texts)  # type: ignore[no-any-return]

        assert {cell[1] for cell in tickets.cells(lambda t: f(t.body))} == {message}

    def test_an_array_is_a_list_of_values(self, tickets):
        """Of one value a row."""

        @udf(batch_size=2)
        def f(texts: list[str]) -> list[float]:
            return np.arange(len(texts)) / 2  # type: ignore[return-value]

        assert tickets.cells(lambda t: f(t.body)) == [0.0, 0.5]

    def test_an_error_of_a_nested_call_is_the_rows(self, tickets, openai, server):
        """Nothing further is asked for."""
        f = raising(ValueError("no"))
        assert tickets.cells(lambda t: ask(f(t.body)), openai=openai, body=["a"]) == [("ValueError", "f: no")]
        assert not server.asked
