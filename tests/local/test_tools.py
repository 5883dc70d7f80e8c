import asyncio
import datetime
import enum
import json
import os
import re
import subprocess
import sys
import threading
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel

from pxt_assets.errors import DefinitionError
from pxt_assets.local.tools import ToolCall, calls_of, tool, tools


class Unit(enum.Enum):
    CELSIUS = "C"
    FAHRENHEIT = "F"


class Place(BaseModel):
    city: str


def get_weather(city: str, unit: Literal["C", "F"]) -> str:
    """The current weather.

    Args:
        city: its English name.
        unit: of the temperature.
    """
    return f"20 {unit} in {city}"


async def get_time(zone: str = "UTC") -> dict[str, Any]:
    return {"zone": zone, "at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)}


def fail(message: str) -> str:
    raise ValueError(message)


PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "its English name."},
        "unit": {"enum": ["C", "F"], "type": "string", "description": "of the temperature."},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}


class UserFunction:
    """What a decorator makes of a function."""

    name = "weather"
    version = "v1"

    def __init__(self, function: Any) -> None:
        self.function = function


def chat_answer(*calls: tuple[str, str]) -> dict[str, Any]:
    """An answer of chat completions, as the API gives it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-6-luna",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": f"call_{i}",
                            "type": "function",
                            "function": {"name": name, "arguments": arguments},
                        }
                        for i, (name, arguments) in enumerate(calls)
                    ],
                    "refusal": None,
                },
                "finish_reason": "tool_calls",
            }
        ],
    }


def responses_answer(*calls: tuple[str, str]) -> dict[str, Any]:
    """An answer of the Responses API, as the API gives it."""
    items = [
        {
            "id": f"fc_{i}",
            "type": "function_call",
            "status": "completed",
            "name": name,
            "arguments": arguments,
            "call_id": f"call_{i}",
        }
        for i, (name, arguments) in enumerate(calls)
    ]
    return {
        "id": "resp_1",
        "object": "response",
        "output": [{"id": "rs_1", "type": "reasoning", "summary": []}, *items],
    }


def invoke(functions: list[Any], *calls: tuple[str, str]) -> Any:
    return asyncio.run(tools(*functions).invoke(chat_answer(*calls)))


class TestDefinition:
    def test_chat_completions_are_told_in_the_nested_form(self):
        """Name, description, parameters, strict."""
        assert tools(get_weather).chat == [
            {
                "type": "function",
                "function": {
                    "name": "get_weather",
                    "description": "The current weather.",
                    "parameters": PARAMETERS,
                    "strict": True,
                },
            }
        ]

    def test_responses_are_told_in_the_flat_form(self):
        """The same beside `type`."""
        assert tools(get_weather).responses == [
            {"type": "function", **tools(get_weather).chat[0]["function"]},
        ]

    def test_a_parameter_with_a_default_may_be_left_out(self):
        """So it is not strict, which requires all; the Responses API must be told, since its default is strict."""
        (told,) = tools(get_time).responses
        assert told["parameters"]["required"] == []
        assert told["strict"] is False

    def test_a_description_is_left_out_where_there_is_none(self):
        """No docstring, no description."""
        assert "description" not in tools(get_time).responses[0]

    def test_name_and_description_may_be_given(self):
        """They go before those of the function, also of one that is a tool already."""
        told = tool(tool(get_weather, name="a"), name="weather", description="Weather.").definition
        assert (told["name"], told["description"]) == ("weather", "Weather.")
        assert told["parameters"] == PARAMETERS

    def test_a_user_defined_function_is_its_plain_function(self):
        """By its own name."""
        told = tool(UserFunction(get_weather)).definition
        assert (told["name"], told["parameters"]) == ("weather", PARAMETERS)

    def test_a_change_of_what_is_told_changes_no_tool(self):
        """Each time it is a copy."""
        told = tools(get_weather)
        told.chat[0]["function"]["parameters"]["properties"].clear()
        assert told.chat[0]["function"]["parameters"] == PARAMETERS

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (tools, "tools: got none; give at least one function"),
            (lambda: tools(get_weather, get_weather), "got several of the name get_weather"),
            (lambda: tool(get_weather, name="get weather"), "got the name 'get weather', allowed: 1 to 64"),
            (lambda: tool(get_weather, name="x" * 65), "allowed: 1 to 64"),
            (
                lambda: tool(lambda: 1),
                "got the name '<lambda>', allowed: 1 to 64 of a-z, A-Z, 0-9, _ and -; give name",
            ),
            (lambda: tool("get_weather"), "got 'get_weather', allowed: a Python function"),
            (lambda: tool(Place), "allowed: a Python function, sync or async, or a @udf"),
            (lambda: tool(lambda x: 1, name="f"), "tool f: the parameter x has no type hint"),
        ],
    )
    def test_what_is_no_tool_is_refused_at_once(self, make, message):
        """The message says what to give."""
        with pytest.raises(DefinitionError, match=re.escape(message)):
            make()

    def test_a_lambda_with_a_name_is_a_tool(self):
        """It has no parameters then."""
        assert tool(lambda: 1, name="one").definition["parameters"]["properties"] == {}

    def test_tools_are_a_collection(self):
        """Sized, iterable, shown by their names."""
        both = tools(get_weather, get_time)
        assert len(both) == 2
        assert [t.name for t in both] == ["get_weather", "get_time"]
        assert repr(both) == "tools(get_weather, get_time)"


def made(source: str) -> Any:
    """A function without a file."""
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace["f"]


def closing_over(value: Any) -> Any:
    def f() -> Any:
        return value

    return f


class TestVersion:
    def test_it_stays_while_nothing_changes(self):
        """Computed anew it is the same."""
        assert tools(get_weather, get_time).version == tools(get_weather, get_time).version

    @pytest.mark.parametrize(
        "other",
        [
            lambda: tools(get_time),
            lambda: tools(tool(get_weather, name="weather")),
            lambda: tools(tool(get_weather, description="Weather.")),
            lambda: tools(get_weather, get_time),
        ],
    )
    def test_it_changes_with_what_is_told(self, other):
        """Names, descriptions, the tools themselves."""
        assert other().version != tools(get_weather).version

    def test_it_changes_with_what_a_function_does(self):
        """With no other change."""
        versions = {tools(made(f"def f(a: int) -> int: return a {op} 2")).version for op in ("+", "-")}
        assert len(versions) == 2

    def test_it_changes_with_what_a_function_closes_over(self):
        """The same text computes something else."""
        assert tools(closing_over(1)).version == tools(closing_over(1)).version
        assert tools(closing_over(1)).version != tools(closing_over(2)).version

    def test_it_changes_with_the_version_of_a_user_defined_function(self):
        """Which its author raises."""
        one, other = UserFunction(get_weather), UserFunction(get_weather)
        other.version = "v2"
        assert tools(one).version != tools(other).version

    def test_it_is_the_same_in_every_process(self):
        """For functions without a file too, whose constants hold sets."""
        program = (
            "from pxt_assets.local.tools import tools\n"
            "def f(a: str, b: str = 'x') -> bool:\n"
            "    return a in {'x', 'y', 'z'} or any(c in {'p', 'q'} for c in b)\n"
            "print(tools(f).version)"
        )
        got = {
            subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(got) == 1


class TestChoice:
    BOTH = tools(get_weather, get_time)

    @pytest.mark.parametrize("mode", ["auto", "required"])
    def test_a_mode_is_a_word(self, mode):
        """The same in both forms."""
        choice = self.BOTH.choice(**{mode: True})
        assert choice.chat == choice.responses == mode
        assert choice.parallel_tool_calls is True

    @pytest.mark.parametrize("wanted", ["get_time", get_time, list(BOTH)[1]])
    def test_one_tool_is_named(self, wanted):
        """By its name, its function, or itself."""
        choice = self.BOTH.choice(tool=wanted, parallel_tool_calls=False)
        assert choice.chat == {"type": "function", "function": {"name": "get_time"}}
        assert choice.responses == {"type": "function", "name": "get_time"}
        assert choice.parallel_tool_calls is False

    def test_a_user_defined_function_is_found(self):
        """By its object."""
        own = UserFunction(get_weather)
        assert tools(own).choice(tool=own).responses == {"type": "function", "name": "weather"}

    @pytest.mark.parametrize(
        "given", [{}, {"auto": True, "required": True}, {"auto": True, "tool": "get_time"}, {"auto": False}]
    )
    def test_exactly_one_is_given(self, given):
        """Which of two counts would be a guess."""
        with pytest.raises(DefinitionError, match="give exactly one of auto=True, required=True and tool"):
            self.BOTH.choice(**given)

    @pytest.mark.parametrize("wanted", ["weather", fail, 3])
    def test_a_tool_that_is_not_among_them_is_refused(self, wanted):
        """The message lists those that are."""
        with pytest.raises(DefinitionError, match="allowed: one of get_weather, get_time"):
            self.BOTH.choice(tool=wanted)


class TestCalls:
    def test_calls_of_chat_completions(self):
        """Of the first choice: the others are alternatives to it."""
        answer = chat_answer(("f", "{}"))
        answer["choices"].append(chat_answer(("g", "{}"))["choices"][0])
        assert calls_of(answer) == [ToolCall("f", "{}", "call_0")]

    def test_calls_of_responses(self):
        """Among items of other types."""
        assert calls_of(responses_answer(("f", "{}"), ("g", "[]"))) == [
            ToolCall("f", "{}", "call_0"),
            ToolCall("g", "[]", "call_1"),
        ]

    @pytest.mark.parametrize(
        "answer",
        [
            {"choices": []},
            {"choices": None},
            {"choices": [{"message": None}]},
            {"choices": [{"message": {"tool_calls": None}}]},
            {"choices": [{"message": {"tool_calls": [None, {"type": "custom", "custom": {"name": "x"}}]}}]},
            {"output": None},
            {"output": [None, {"type": "message", "content": []}]},
        ],
    )
    def test_an_answer_may_have_none(self, answer):
        """What is missing is no call."""
        assert calls_of(answer) == []

    @pytest.mark.parametrize(
        ("arguments", "text"), [(None, "{}"), ("", ""), ({"a": "b"}, '{"a":"b"}'), ('{"a": 1}', '{"a": 1}')]
    )
    def test_arguments_are_text(self, arguments, text):
        """Some servers send none, or send them parsed."""
        (call,) = calls_of(responses_answer(("f", arguments)))
        assert call.arguments_text == text

    @pytest.mark.parametrize(
        ("answer", "got"),
        [({"id": 1, "data": []}, "a dict with id, data"), ("text", "str"), (None, "NoneType")],
    )
    def test_what_is_no_answer_is_named(self, answer, got):
        """And what would be one."""
        with pytest.raises(
            ValueError, match=f"^got {got}, allowed: an answer of chat_completions, with choices"
        ):
            calls_of(answer)


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
