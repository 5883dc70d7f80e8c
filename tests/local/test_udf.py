import asyncio
import enum
import functools
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict

import dagster as dg
import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
from pydantic import BaseModel, Field, computed_field

from pxt_assets import ColumnStore, OpenAIResource, Table, udf
from pxt_assets.errors import DefinitionError
from pxt_assets.values.types import Array, Audio, Bool, Float, Image, Int, Json, String
from tests.conformance.samples import picture, recording
from tests.runs import ask, failure, materialize, metadata, rows_asset, stored, values
from tests.scripted_server import ScriptedServer


class Unit(enum.Enum):
    CELSIUS = "C"


class Place(BaseModel):
    city: str = Field(alias="town", default="Bonn")

    @computed_field
    @property
    def length(self) -> int:
        return len(self.city)


class Point(TypedDict):
    x: int


@udf
def shout(text: str) -> str:
    return text.upper()


@udf
async def later(text: str) -> str:
    await asyncio.sleep(0)
    return text.upper()


@udf
def shown(value: Any) -> str:
    return repr(value)


Make = Callable[[Table], Any]


class Tickets:
    """A table `tickets` with a column `c`, run after run."""

    def __init__(self, store: ColumnStore) -> None:
        self.store = store

    def run(
        self,
        make: Make,
        openai: OpenAIResource | None = None,
        config: dict[str, Any] | None = None,
        fails: bool = False,
        schema: Any = None,
        on_error: Any = "ignore",
        **rows: Any,
    ) -> dg.ExecuteInProcessResult:
        """Materializes both for these columns, `body` unless there are any."""
        rows = rows or {"body": ["a", "b"]}
        rows = {"id": range(len(next(iter(rows.values())))), **rows}
        upstream = rows_asset({name: pa.array(column) for name, column in rows.items()})
        table = Table(upstream, key="id", schema=schema)
        table.add_computed_column(c=make(table), on_error=on_error)
        configs = {"tickets/c": config} if config else None
        return materialize([upstream, *table.assets], self.store, openai, config=configs, fails=fails)

    def cells(self, make: Make, **options: Any) -> list[Any]:
        """The values of `c`, Json as Python objects, and of rows that failed `(errortype, message)`."""
        self.run(make, **options)
        column = stored(self.store, "tickets/c")
        is_json = column.schema.field("c").type == Json.arrow()
        failed = zip(column["c_errortype"].to_pylist(), column["c_errormsg"].to_pylist(), strict=True)
        return [
            error if error[0] else json.loads(value) if is_json and value is not None else value
            for value, error in zip(column["c"].to_pylist(), failed, strict=True)
        ]


@pytest.fixture
def tickets(store: ColumnStore) -> Tickets:
    return Tickets(store)


def returning(value: Any, hint: Any) -> Any:
    """A udf that gives `value` for every text, hinted `hint`."""

    def f(text: str) -> Any:
        return value

    f.__annotations__["return"] = hint
    return udf(f)


def raising(error: BaseException) -> Any:
    @udf
    def f(text: str) -> str:
        raise error

    return f


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


class TestHints:
    @pytest.mark.parametrize(
        ("hint", "column_type"),
        [
            (str, String),
            (int, Int),
            (float, Float),
            (bool, Bool),
            (dict, Json),
            (list[str], Json),
            (dict[str, int], Json),
            (tuple[int, ...], Json),
            (Any, Json),
            (int | str, Json),
            (Point, Json),
            (Place, Json),
            (np.ndarray, Array),
            (Array[(3,), "float32"], Array[(3,), "float32"]),
            (PIL.Image.Image, Image),
            (Image, Image),
            (bytes, Audio),
            (Unit, String),
            (Literal[1, 2], Int),
            (Literal["a", 1], Json),
            (str | None, String),
            (Optional[int], Int),  # noqa: UP045
            (Annotated[float, "unit"], Float),
            (Annotated[str | None, "text"], String),
            (NewType("Name", str), String),
            ("str", String),
            ("int | None", Int),
        ],
        ids=str,
    )
    def test_the_return_hint_is_the_columns_type(self, hint, column_type):
        """Also as text, optional or annotated."""
        assert returning(None, hint).returns is column_type

    def test_a_models_fields_are_typed(self):
        """As they are stored: by their names, with those that are computed."""
        call = returning(None, Place)(Table("t").body)
        assert (call.city._type, call.length._type) == (String, Int)
        with pytest.raises(DefinitionError, match="String, which has nothing inside"):
            call.city.x  # noqa: B018

    @pytest.mark.parametrize(
        ("value", "hint", "cell"),
        [
            (np.int64(3), int, 3),
            (np.bool_(True), bool, True),
            (np.float32(0.5), float, 0.5),
            (3, float, 3.0),
            (np.array([1, 2]), np.ndarray, [1.0, 2.0]),
            ([1, 2], Array, [1.0, 2.0]),
            (Unit.CELSIUS, Unit, "C"),
            (Place(town="Oslo"), Place, {"city": "Oslo", "length": 4}),
            ([Place()], list[Place], [{"city": "Bonn", "length": 4}]),
            ((1, "a"), tuple, [1, "a"]),
            ({"a": np.arange(2)}, dict, {"a": [0, 1]}),
            ("a\ud800", str, "a\ufffd"),
            (None, str, None),
            (None, Place, None),
        ],
        ids=str,
    )
    def test_a_value_is_stored_as_the_column_holds_it(self, value, hint, cell, tickets):
        """Numpy's scalars, models, enums; None is null."""
        f = returning(value, hint)
        assert tickets.cells(lambda t: f(t.body)) == [cell, cell]

    def test_a_float_may_be_nan(self, tickets):
        """It is a float, no null."""
        f = returning(float("nan"), float)
        tickets.run(lambda t: f(t.body))
        column = stored(tickets.store, "tickets/c")["c"]
        assert column.null_count == 0
        assert np.isnan(column.to_numpy()).all()

    def test_an_image_is_stored_as_a_file(self, tickets):
        """PNG."""
        f = returning(PIL.Image.new("RGB", (2, 3)), PIL.Image.Image)
        assert [cell["bytes"][:4] for cell in tickets.cells(lambda t: f(t.body))] == [b"\x89PNG"] * 2

    @pytest.mark.parametrize(
        ("value", "hint", "error"),
        [
            ("x", int, ("TypeError", "f: got str 'x', allowed: Int or null")),
            (2**70, int, ("OverflowError", f"f: got the integer {2**70}, allowed: 64 bits; keep it as text")),
            (float("nan"), dict, ("ValueError", "f: Out of range float values are not JSON compliant")),
            (object, dict, ("TypeError", "f: it returned type, which is no JSON")),
            (
                [[1.0], [2.0]],
                Array,
                ("TypeError", "f: got list '[[1.0], [2.0]]', allowed: Array[(None,), float32] or null"),
            ),
        ],
        ids=str,
    )
    def test_a_value_of_another_type_is_the_rows_error(self, value, hint, error, tickets):
        """The message says what was got and what is allowed."""
        f = returning(value, hint)
        assert tickets.cells(lambda t: f(t.body)) == [error, error]

    def test_images_sounds_and_models_arrive_as_hinted(self, tickets):
        """An image as a PIL image or as bytes, a sound as bytes, an object as a model, a vector as an array."""
        seen: list[Any] = []

        @udf
        def f(
            image: PIL.Image.Image, raw: bytes, sound: bytes, place: Place, vector: np.ndarray
        ) -> bool | None:
            seen.extend([image.size, raw[:4], sound == recording(), place.city, vector.dtype])

        tickets.run(
            lambda t: f(t.image, t.image, t.sound, {"town": t.town}, t.vector),
            schema={"image": Image, "sound": Audio},
            image=[picture()],
            sound=[recording()],
            town=["Oslo"],
            vector=[[1.0, 2.0]],
        )
        assert seen == [(32, 32), b"\x89PNG", True, "Oslo", np.float32]

    def test_an_object_that_is_no_such_model_is_the_rows_error(self, tickets):
        """It names the parameter and the field, and does not quote the value."""

        @udf
        def f(place: Place) -> str:
            return place.city

        assert tickets.cells(lambda t: f({"town": t.n}), n=[4711]) == [
            ("ValidationError", "f: place: town: Input should be a valid string")
        ]

    def batched_without_lists(text: str) -> str:  # noqa: N805
        return text

    def yielding(text: str) -> Iterator[str]:  # noqa: N805
        yield text

    def variadic(*texts: str) -> str:
        return ""

    def unresolved(text: "Nowhere") -> str:  # type: ignore[name-defined]  # noqa: F821, N805
        return ""

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: udf(lambda x: x), "udf <lambda>: it has no return hint, which is the column's type"),
            (
                lambda: returning(1, object),
                "the return hint <class 'object'> names no column type; allowed: str",
            ),
            (lambda: udf(TestHints.yielding), "udf yielding: it yields its values one by one; return a list"),
            (lambda: udf(TestHints.variadic), "udf variadic: *texts: str is not supported"),
            (
                lambda: udf(TestHints.unresolved),
                "udf unresolved: its hints cannot be resolved (name 'Nowhere'",
            ),
            (
                lambda: udf(batch_size=2)(TestHints.batched_without_lists),
                "it takes and returns lists of rows'",
            ),
            (lambda: udf(batch_size=0), "udf: got batch_size=0, allowed: a number of rows >= 1"),
            (lambda: udf(functools.partial(len)), "allowed: a Python function, sync or async"),
            (lambda: udf(shout), "udf: got shout, allowed: a Python function"),
            (lambda: udf(Place), "allowed: a Python function, sync or async"),
        ],
    )
    def test_what_is_no_such_function_is_refused_at_once(self, make, message):
        """The message says what to write."""
        with pytest.raises(DefinitionError, match=re.escape(message)):
            make()


class TestNulls:
    def test_a_null_that_the_hint_does_not_allow_makes_the_cell_null(self, tickets):
        """The function is not called."""
        assert tickets.cells(lambda t: shout(t.body), body=["a", None]) == ["A", None]

    @pytest.mark.parametrize("body", [["a", None], [None, None]])
    def test_vectors_of_a_fixed_length_may_be_null(self, body, tickets):
        """Some of them, or all."""
        vector = returning([1.0, 2.0], Array[(2,), "float32"])
        want = [None if text is None else [1.0, 2.0] for text in body]
        assert tickets.cells(lambda t: vector(t.body), body=pa.array(body, pa.string())) == want

    def test_a_null_that_the_hint_allows_is_passed(self, tickets):
        """Also by a default of None, or without a hint."""

        @udf
        def f(a: str | None, b: str = None, c=1) -> str:  # type: ignore[assignment, no-untyped-def]  # noqa: RUF013
            return f"{a} {b} {c}"

        assert tickets.cells(lambda t: f(t.x, b=t.x, c=t.x), id=[0], x=pa.array([None], pa.string())) == [
            "None None None"
        ]

    def test_a_null_in_an_argument_with_a_default_is_no_missing_argument(self, tickets):
        """The hint says what becomes of it, not the default."""

        @udf
        def f(text: str, times: int = 2) -> str:
            return text * times

        assert tickets.cells(lambda t: f(t.body), body=["a"]) == ["aa"]
        assert tickets.cells(lambda t: f(t.body, times=t.n), body=["a", "a"], n=[None, 3]) == [None, "aaa"]

    def test_nulls_among_the_rows_of_a_batch(self, tickets):
        """Left out or passed, as the hint of the list's elements says."""

        @udf(batch_size=5)
        def without(texts: list[str]) -> list[int]:
            return [len(texts)] * len(texts)

        @udf(batch_size=5)
        def with_nulls(texts: list[str | None]) -> list[str]:
            return [repr(text) for text in texts]

        assert tickets.cells(lambda t: without(t.body), body=["a", None, "b"]) == [2, None, 2]
        assert tickets.cells(lambda t: with_nulls(t.body), body=["a", None]) == ["'a'", "None"]

    def test_a_null_result_is_null(self, tickets):
        """And no error; the next function does not get it."""
        nothing = returning(None, str)
        assert tickets.cells(lambda t: shout(nothing(t.body))) == [None, None]


class TestArguments:
    def test_any_expression_can_be_an_argument(self, tickets):
        """Columns, paths, templates, constants and other calls."""
        got = tickets.cells(
            lambda t: shown([t.body, {"n": t.data.n}, shout(t.body), 3]), body=["a"], data=[{"n": 1}]
        )
        assert got == ["['a', {'n': 1}, 'A', 3]"]

    def test_a_call_can_stand_in_a_template(self, tickets):
        """Beside columns and constants."""
        assert tickets.cells(lambda t: {"a": shout(t.body), "b": [t.body, 1]}) == [
            {"a": "A", "b": ["a", 1]},
            {"a": "B", "b": ["b", 1]},
        ]

    def test_a_nested_value_is_what_would_be_stored(self, tickets):
        """Lists rather than tuples, text as keys; so paths go the same way."""
        f = returning({1: ("a", "b")}, dict)
        assert tickets.cells(lambda t: shown(f(t.body)), body=["x"]) == ["{'1': ['a', 'b']}"]
        assert tickets.cells(lambda t: f(t.body)["1"][0], body=["x"]) == ["a"]

    def test_a_computed_column_can_be_an_argument(self, store):
        """Json as Python objects."""
        upstream = rows_asset({"id": [1], "body": ["a"]})
        table = Table(upstream, key="id")
        table.add_computed_column(first={"a": table.body})
        table.add_computed_column(second=shown(table.first))
        materialize([upstream, *table.assets], store)
        assert values(store, "tickets/second") == ["{'a': 'a'}"]

    def test_it_can_stand_inside_the_messages_of_a_chat(self, tickets, openai, server):
        """And take what the chat says."""
        got = tickets.cells(
            lambda t: shout(ask(shout(t.body)).choices[0].message.content), openai=openai, body=["a", None]
        )
        assert got == ["RE: A", None]
        assert server.texts == ["A"]

    def test_defaults_are_the_functions(self, tickets):
        """Those that JSON cannot hold too."""

        @udf
        def f(text: str, pattern: Any = re.compile("a"), limit: float = float("inf")) -> str:
            return f"{pattern.pattern} {limit}"

        assert tickets.cells(lambda t: f(t.body), body=["x"]) == ["a inf"]

    def test_arguments_can_be_fixed(self, tickets):
        """`f.using(...)` is another function."""

        @udf
        def f(text: str, times: int) -> str:
            return text * times

        thrice = f.using(times=3)
        assert tickets.cells(lambda t: thrice(t.body)) == ["aaa", "bbb"]

    def test_it_is_a_factory_of_assets(self, store):
        """`f.asset(...)` adds the column, with the options of an asset."""
        upstream = rows_asset({"id": [1], "body": ["a"]})
        table = Table(upstream, key="id")
        asset = shout.asset(name="c", table=table, text=table.body, group_name="texts")
        materialize([upstream, asset], store)
        assert values(store, "tickets/c") == ["A"]
        assert set(asset.group_names_by_key.values()) == {"texts"}


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


class TestReuse:
    def test_unchanged_rows_are_not_computed_again(self, tickets):
        """Nor equal rows twice."""
        calls: list[str] = []

        @udf
        def f(text: str) -> str:
            calls.append(text)
            return text

        tickets.run(lambda t: f(t.body), body=["a", "b", "a"])
        result = tickets.run(lambda t: f(t.body), body=["b", "c"])
        assert sorted(calls) == ["a", "b", "c"]
        assert metadata(result, "tickets/c")["pxt/rows_reused"] == 1

    def test_a_refresh_computes_every_row(self, tickets):
        """Whatever is there."""
        calls: list[str] = []

        @udf
        def f(text: str) -> str:
            calls.append(text)
            return text

        tickets.run(lambda t: f(t.body))
        tickets.run(lambda t: f(t.body), config={"refresh": True})
        assert sorted(calls) == ["a", "a", "b", "b"]

    def test_a_trial_computes_the_first_rows(self, tickets):
        """Which the run that follows takes over."""
        calls: list[str] = []

        @udf
        def f(text: str) -> str:
            calls.append(text)
            return text

        tickets.run(lambda t: f(t.body), config={"limit": 1})
        assert calls == ["a"]
        tickets.run(lambda t: f(t.body))
        assert calls == ["a", "b"]

    @pytest.mark.parametrize("changed", ["source", "version", "default", "closure"])
    def test_a_changed_function_computes_every_row(self, changed, tickets):
        """By its source, its version, its defaults or what it closes over."""

        def made(new: bool) -> Any:
            suffix = "2" if new and changed == "closure" else "1"
            if new and changed == "source":

                def f(text: str, times: int = 1) -> str:
                    return text + suffix + "!"
            else:

                def f(text: str, times: int = 2 if new and changed == "default" else 1) -> str:
                    return text + suffix

            return udf(version="2" if new and changed == "version" else "1")(f)

        tickets.run(lambda t: made(False)(t.body))
        assert metadata(tickets.run(lambda t: made(False)(t.body)), "tickets/c")["pxt/rows_computed"] == 0
        assert metadata(tickets.run(lambda t: made(True)(t.body)), "tickets/c")["pxt/rows_computed"] == 2

    def test_each_partition_has_its_own_rows(self, store):
        """Computed by the same function."""
        days = dg.StaticPartitionsDefinition(["mon", "tue"])

        @dg.asset(name="tickets", io_manager_key="columns", partitions_def=days)
        def upstream(context: dg.AssetExecutionContext) -> pa.Table:
            return pa.table({"id": [1], "body": [context.partition_key]})

        table = Table(upstream, key="id")
        table.add_computed_column(c=shout(table.body))
        for day in ("mon", "tue"):
            materialize([upstream, *table.assets], store, partition=day)
            assert values(store, "tickets/c", day) == [day.upper()]


PROGRAM = """
import os, sys, threading
import dagster as dg, pyarrow as pa
from pxt_assets import ColumnStore, Table, udf

folder, hang = sys.argv[1], sys.argv[2] == "hang"

@dg.asset(io_manager_key="columns")
def tickets():
    return pa.table({"id": range(50)})

def calls(id):
    os.write(1, f"call {id}\\n".encode())  # a line at once, whatever other threads write
    if hang and id == 49:
        threading.Event().wait()

@udf
def f(id: int) -> int:
    calls(id)
    return 2 * id

tbl = Table(tickets, key="id")
tbl.add_computed_column(c=f(tbl.id))
dg.materialize([tickets, *tbl.assets], resources={"columns": ColumnStore(base_path=folder)})
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_hangs_can_be_ended_and_gone_on_with(number: signal.Signals, tmp_path: Path) -> None:
    """Its process ends though a function never does; what is on disk by then another process does not compute again."""
    script, folder = tmp_path / "own.py", tmp_path / "columns"
    script.write_text(PROGRAM)
    journal = folder / "tickets" / "c" / ".c.journal"
    command = [sys.executable, str(script), str(folder)]
    with subprocess.Popen(
        [*command, "hang"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as hung:
        assert hung.stdout is not None
        try:
            assert "call 49\n" in iter(hung.stdout.readline, "")
            while number is signal.SIGKILL and hung.poll() is None and not list(journal.glob("[!.]*.arrow")):
                pass  # what is in memory would be lost
            hung.send_signal(number)
            assert hung.wait(timeout=60) != 0
        finally:
            hung.kill()
    kept = sum(pa.ipc.open_file(segment).read_all().num_rows for segment in journal.glob("[!.]*.arrow"))
    assert kept > 0
    resumed = subprocess.run([*command, "go on"], capture_output=True, text=True, timeout=60, check=True)
    assert resumed.stdout.count("call") == 50 - kept
    assert values(ColumnStore(base_path=str(folder)), "tickets/c") == [2 * i for i in range(50)]


def test_many_rows(tickets: Tickets, server: ScriptedServer) -> None:
    """Ten thousand are no different from two."""
    assert sum(tickets.cells(lambda t: returning(1, int)(t.n), n=list(range(10_000)))) == 10_000
