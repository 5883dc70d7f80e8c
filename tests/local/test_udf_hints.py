"""A user-defined function's hints: the column's type, what is stored, and how arguments arrive."""

import enum
import functools
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict

import numpy as np
import PIL.Image
import pytest
from pydantic import BaseModel, Field, computed_field

from pxt_assets import Table, udf
from pxt_assets.errors import DefinitionError
from pxt_assets.values.types import Array, Audio, Bool, Float, Image, Int, Json, String
from tests.conformance.samples import picture, recording
from tests.local.udfs import returning, shout
from tests.runs import stored


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
