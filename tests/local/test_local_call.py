import asyncio
import contextvars
import datetime
import decimal
import enum
import math
import pathlib
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from pydantic import BaseModel

from pxt_assets.errors import CellError
from pxt_assets.local.local_call import LocalCall, as_json, call_function, error_message
from pxt_assets.values.media import Media


class Fixed:
    """A function that runs in this process, as far as what names its calls goes."""

    name = "f"
    batch_size = 3

    def __init__(self, version: str = "f:1") -> None:
        self.version = version

    def shared_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return {k: v for k, v in arguments.items() if k != "x"}

    async def run(self, rows: Sequence[Mapping[str, Any]], threads: object) -> Sequence[Any]:
        raise NotImplementedError


F = Fixed()
CET = datetime.timezone(datetime.timedelta(hours=1))


class Named(enum.StrEnum):
    A = "a"


def digest(**arguments: Any) -> bytes:
    return LocalCall(F, arguments).digest


class TestDigest:
    def test_it_is_frozen(self):
        """Results are found again by later releases, on other machines."""
        got = digest(x="ä😀", n=[1, 2.5, None, True], d={"b": 1, "a": {}}).hex()
        assert got == "706d216c0ed69648b6bf863a0a0a9a4a"
        assert digest(x=uuid.UUID(int=7)).hex() == "faff96fbc915a73bdb5cd8bfc5ca0fc8"

    def test_the_order_of_keys_plays_no_part(self):
        """Equal dicts are equal arguments."""
        assert digest(x={"a": 1, "b": 2}, y=1) == digest(y=1, x={"b": 2, "a": 1})

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (1, "1"),
            (1, 1.0),
            (1, True),
            (None, "null"),
            ([], {}),
            ([1, [2]], [[1], 2]),
            (b"a", "a"),
            (b"a", b"b"),
            (math.nan, math.inf),
            (datetime.timedelta(1), datetime.timedelta(2)),
            (Media(b"a"), Media(b"b")),
            (Media(b"a"), b"a"),
            ("\ud800", "\ud801"),
            (decimal.Decimal("1.5"), "1.5"),
            (datetime.date(2026, 1, 1), "2026-01-01"),
            (datetime.datetime(2026, 1, 1), "2026-01-01T00:00:00"),  # noqa: DTZ001
            (
                datetime.datetime(2026, 1, 1, tzinfo=ZoneInfo("Africa/Lagos")),
                datetime.datetime(2026, 1, 1, tzinfo=CET),
            ),
            (datetime.time(1), "01:00:00"),
            ([{"a": decimal.Decimal(1)}], [{"a": "1"}]),
            ([{"a": decimal.Decimal(1)}, "1"], ["1", {"a": decimal.Decimal(1)}]),
            ([("a", 1)], [["a", 1]]),
            ({1: "a"}, {"1": "a"}),
            (Named.A, "a"),
            (np.float32(0.5), 0.5),
            (np.arange(2), [0, 1]),
            (pathlib.PurePosixPath("a"), "a"),
        ],
        ids=repr,
    )
    def test_different_arguments_have_different_names(self, one, other):
        """What JSON cannot hold included."""
        assert digest(x=one) != digest(x=other)
        assert digest(x=one) == digest(x=one)

    def test_it_changes_with_the_version(self):
        """Another function gives another result."""
        assert LocalCall(Fixed("f:2"), {"x": 1}).digest != digest(x=1)


class TestCall:
    def test_rows_whose_shared_arguments_are_equal_go_together(self):
        """The others are calls of their own."""
        one, same, other = (LocalCall(F, {"x": x, "n": n}) for x, n in ((1, 1), (2, 1), (3, 2)))
        assert one.pack_key == same.pack_key != other.pack_key

    def test_two_functions_never_go_together(self):
        """Though their version be the same: they may close over different objects."""
        assert LocalCall(Fixed(), {"x": 1}).pack_key != LocalCall(Fixed(), {"x": 1}).pack_key

    def test_texts_images_and_sounds_count_as_held(self):
        """Their bytes, of all arguments."""
        assert LocalCall(F, {"x": Media(b"abc"), "y": Media(b"de"), "z": "text", "n": 7}).memory_bytes == 9

    def test_an_error_among_the_values_is_raised(self):
        """For its row alone."""
        call = LocalCall(F, {})
        assert call.cell_value(3) == 3
        with pytest.raises(CellError, match="no"):
            call.cell_value(CellError("ValueError", "no"))


VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


class TestCalled:
    def test_a_sync_function_runs_in_another_thread(self):
        """The event loop goes on meanwhile, with the context variables of who called."""

        async def scenario() -> tuple[int, str]:
            VARIABLE.set("set")
            return await call_function(lambda: (threading.get_ident(), VARIABLE.get()), {})

        thread, variable = asyncio.run(scenario())
        assert thread != threading.get_ident()
        assert variable == "set"

    def test_an_async_function_runs_in_the_loop(self):
        """So do those that a plain function hands over."""

        async def where(x: int) -> int:
            return threading.get_ident() + x

        assert asyncio.run(call_function(where, {"x": 1})) == threading.get_ident() + 1
        assert asyncio.run(call_function(lambda: where(1), {})) == threading.get_ident() + 1

    @pytest.mark.parametrize(
        "error",
        [
            SystemExit(3),
            KeyboardInterrupt(),
            asyncio.CancelledError(),
            BaseExceptionGroup("g", [SystemExit()]),
        ],
    )
    def test_what_would_end_a_program_is_an_error(self, error):
        """Raised by a function of the user's it is a fault of that function."""

        def f() -> None:
            raise error

        async def g() -> None:
            raise error

        for function in (f, g):
            with pytest.raises(RuntimeError, match=f"^it raised {type(error).__name__}"):
                asyncio.run(call_function(function, {}))

    def test_what_no_thread_can_hand_over_is_an_error(self):
        """StopIteration cannot leave a thread, GeneratorExit not a coroutine."""
        for error in (StopIteration, GeneratorExit):

            def f(error: type[BaseException] = error) -> None:
                raise error

            with pytest.raises(RuntimeError, match=f"^it raised {error.__name__}$"):
                asyncio.run(call_function(f, {}))

    def test_a_cancellation_passes_through(self):
        """It is no fault of the function that waits."""

        async def scenario() -> None:
            started = asyncio.Event()

            async def f() -> None:
                started.set()
                await asyncio.Event().wait()

            task = asyncio.create_task(call_function(f, {}))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(scenario())


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError


class TestSaid:
    @pytest.mark.parametrize(
        ("error", "text"),
        [(ValueError("no"), "no"), (KeyError("k"), "'k'"), (ValueError(), ""), (MuteError(), "")],
    )
    def test_it_is_the_exceptions_text(self, error, text):
        """Also where that cannot be had."""
        assert error_message(error) == text

    def test_it_is_cut(self):
        """A message may be megabytes."""
        assert error_message(ValueError("x" * 1000), 10) == "x" * 9 + "…"


class Unit(enum.Enum):
    CELSIUS = "C"


class Place(BaseModel):
    city: str


class TestAsJson:
    @pytest.mark.parametrize(
        ("value", "json"),
        [
            ((1, "a"), [1, "a"]),
            ({1: "a"}, {"1": "a"}),
            ([Place(city="Bonn")], [{"city": "Bonn"}]),
            ({"unit": Unit.CELSIUS}, {"unit": "C"}),
            (datetime.date(2026, 1, 2), "2026-01-02"),
            (np.float32(0.5), 0.5),
            ({"a": np.arange(2)}, {"a": [0, 1]}),
            ({"a\ud800": "b\udfff"}, {"a\ufffd": "b\ufffd"}),
            (None, None),
        ],
        ids=repr,
    )
    def test_values_are_as_json_gives_them_back(self, value, json):
        """So a function that takes another's value sees what is stored of it."""
        assert as_json(value) == json

    def test_it_is_a_copy(self):
        """What the function does to its value later changes no result."""
        value = {"a": [1]}
        got = as_json(value)
        value["a"].append(2)
        assert got == {"a": [1]}

    @pytest.mark.parametrize("value", [object, math.nan, {"a": math.inf}, b"\xff"], ids=repr)
    def test_what_json_cannot_hold_is_refused(self, value):
        """Rather than changed."""
        with pytest.raises((TypeError, ValueError)):
            as_json(value)
