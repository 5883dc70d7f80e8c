"""What running the calls of an answer gives: results, errors, in the order of the calls."""

import asyncio
import datetime
import enum
import json
import threading
from typing import Any

import numpy as np
import pytest

from pxt_assets.local.tools import tool, tools
from tests.local.tool_answers import chat_answer, responses_answer
from tests.local.weather_tools import Place, fail, get_time, get_weather


class Unit(enum.Enum):
    CELSIUS = "C"
    FAHRENHEIT = "F"


def invoke(functions: list[Any], *calls: tuple[str, str]) -> Any:
    return asyncio.run(tools(*functions).invoke(chat_answer(*calls)))


class TestInvoke:
    @pytest.mark.parametrize("answer", [chat_answer, responses_answer])
    def test_a_round_trip(self, answer):
        """Results by tool in the order of the calls, for answers of either API; None for a tool not called."""
        got = asyncio.run(
            tools(get_weather, get_time, fail).invoke(
                answer(
                    ("get_weather", '{"city": "Bonn", "unit": "C"}'),
                    ("get_time", '{"zone": "CET"}'),
                    ("get_weather", '{"city": "Oslo", "unit": "F"}'),
                )
            )
        )
        assert got.results == {
            "get_weather": ["20 C in Bonn", "20 F in Oslo"],
            "get_time": [{"zone": "CET", "at": "2026-01-02T00:00:00Z"}],
            "fail": None,
        }
        assert got.errors == []

    def test_a_default_is_the_functions(self):
        """An argument that is left out is not passed; no arguments at all may be an empty text."""
        assert invoke([get_time], ("get_time", "")).results["get_time"][0]["zone"] == "UTC"

    def test_arguments_arrive_as_their_types(self):
        """Models, enums, dates; text that is a number as a number."""
        seen: list[Any] = []

        def see(place: Place, unit: Unit, day: datetime.date, n: int) -> None:
            seen.extend([place, unit, day, n])

        text = '{"place": {"city": "Bonn"}, "unit": "C", "day": "2026-01-02", "n": "4"}'
        assert invoke([see], ("see", text)).errors == []
        assert seen == [Place(city="Bonn"), Unit.CELSIUS, datetime.date(2026, 1, 2), 4]

    @pytest.mark.parametrize(
        ("value", "stored"),
        [
            (Place(city="Bonn"), {"city": "Bonn"}),
            ((1, Unit.CELSIUS), [1, "C"]),
            (np.int64(3), 3),
            ({"x": np.zeros(2)}, {"x": [0.0, 0.0]}),
            (None, None),
        ],
    )
    def test_a_result_is_json(self, value, stored):
        """Models, enums, dates, arrays are written as JSON has them."""
        assert invoke([tool(lambda: value, name="f")], ("f", "{}")).results == {"f": [stored]}

    @pytest.mark.parametrize(
        ("call", "error"),
        [
            (
                ("get_weather", '{"city": "Bonn"}'),
                "ValueError: the arguments do not fit: unit: Field required",
            ),
            (
                ("get_weather", '{"city": "Bonn", "unit": "K"}'),
                "ValueError: the arguments do not fit: unit: Input should be 'C' or 'F'",
            ),
            (
                ("get_weather", '{"city": "Bonn", "unit": "C", "x": 1}'),
                "ValueError: the arguments do not fit: x: Extra inputs are not permitted",
            ),
            (("get_weather", "[1]"), "ValueError: the arguments do not fit: Input should be an object"),
            (("get_weather", "{'city': 'Bonn'}"), "ValueError: the arguments do not fit: Invalid JSON: "),
            (
                ("get_weather", "__import__('os').abort()"),
                "ValueError: the arguments do not fit: Invalid JSON: ",
            ),
            (("fail", '{"message": "no such city"}'), "ValueError: no such city"),
        ],
    )
    def test_a_call_that_fails_leaves_the_others(self, call, error):
        """Null stands in its place, and the message names the tool and the fault."""
        good = ("get_time", "{}")
        got = invoke([get_weather, fail, get_time], good, call, good)
        assert got.results[call[0]] == [None]
        assert len(got.results["get_time"]) == 2
        (message,) = got.errors
        assert message.startswith(f"{call[0]}: {error}")

    def test_a_failed_call_keeps_its_place_among_those_of_its_tool(self):
        """Results stand as the calls do."""
        good = ("get_weather", '{"city": "Bonn", "unit": "C"}')
        got = invoke([get_weather], good, ("get_weather", "{}"), good)
        assert got.results == {"get_weather": ["20 C in Bonn", None, "20 C in Bonn"]}

    def test_a_call_of_another_tool_is_an_error(self):
        """Models make names up; there is no place for its result."""
        got = invoke([get_time], ("get_tme", "{}"))
        assert got.results == {"get_time": None}
        assert got.errors == ["get_tme: there is no such tool, only get_time"]

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"\xff", {"a": [float("nan")]}])
    def test_a_result_that_json_cannot_hold_is_an_error(self, value):
        """NaN too."""
        got = invoke([tool(lambda: value, name="f")], ("f", "{}"))
        assert got.results == {"f": [None]}
        assert len(got.errors) == 1

    def test_a_message_is_cut(self):
        """At 300 characters."""
        (message,) = invoke([fail], ("fail", json.dumps({"message": "x" * 1000}))).errors
        assert len(message) == 300
        assert message.startswith("fail: ValueError: xxx")

    def test_errors_stand_in_the_order_of_the_calls(self):
        """Whichever came first."""
        slow_ones_turn = asyncio.Event()

        async def slow() -> None:
            await slow_ones_turn.wait()
            raise ValueError

        async def quick() -> None:
            slow_ones_turn.set()
            raise KeyError("k")

        assert invoke([slow, quick], ("slow", ""), ("quick", "")).errors == [
            "slow: ValueError",
            "quick: KeyError: 'k'",
        ]

    @pytest.mark.parametrize(
        "error", [StopIteration, StopAsyncIteration, asyncio.TimeoutError, RecursionError]
    )
    def test_any_exception_of_a_tool_is_an_error(self, error):
        """Also StopIteration, which no thread can hand over."""

        def f() -> None:
            raise error

        got = invoke([f], ("f", "{}"))
        assert got.results == {"f": [None]}
        assert error.__name__ in got.errors[0]

    def test_calls_run_at_once(self):
        """Each of two waits for the other: the async ones on the loop, the others in threads."""
        barrier, meeting = threading.Barrier(2), asyncio.Barrier(2)

        def f() -> int:
            return barrier.wait(timeout=10) >= 0

        async def g() -> int:
            async with asyncio.timeout(10):
                return await meeting.wait() >= 0

        calls = [("f", ""), ("g", ""), ("f", ""), ("g", "")]
        assert invoke([f, g], *calls).results == {"f": [True, True], "g": [True, True]}

    def test_a_plain_function_may_return_an_awaitable(self):
        """As one that wraps an async one does."""

        def f() -> Any:
            return get_time()

        assert invoke([f], ("f", "{}")).results["f"][0]["zone"] == "UTC"

    def test_a_cancellation_passes_through(self):
        """It is no fault of a tool."""
        cancelled = []

        async def scenario() -> None:
            started = asyncio.Event()

            async def f() -> None:
                started.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled.append(True)
                    raise

            task = asyncio.create_task(tools(f).invoke(chat_answer(("f", "{}"))))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(scenario())
        assert cancelled == [True]

    def test_what_is_no_answer_is_refused(self):
        """Rather than taken for one without calls."""
        with pytest.raises(ValueError, match="got a dict with error"):
            asyncio.run(tools(get_time).invoke({"error": {}}))
