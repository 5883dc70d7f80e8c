import dataclasses
import datetime
import enum
import functools
import re
import threading
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from pxt_assets.errors import DefinitionError
from pxt_assets.local.signature import signature_of


class Unit(enum.Enum):
    CELSIUS = "C"
    FAHRENHEIT = "F"


class Address(BaseModel):
    """Where it is."""

    city: str
    zip: str | None = None


class Box(TypedDict):
    height: int


@dataclasses.dataclass
class Point:
    x: int


def schema(function: Callable[..., Any]) -> dict[str, Any]:
    return signature_of(function, "tool f").schema


def schema_of_hint(hint: Any) -> dict[str, Any]:
    def f(a: hint) -> None: ...

    return schema(f)["properties"]["a"]


class TestSchema:
    def test_it_is_that_of_an_object_of_the_arguments(self):
        """Closed, in the order of the parameters, those without a default required."""

        def f(zone: str, amount: int, *, dry: bool = False) -> None: ...

        assert schema(f) == {
            "type": "object",
            "properties": {
                "zone": {"type": "string"},
                "amount": {"type": "integer"},
                "dry": {"type": "boolean", "default": False},
            },
            "required": ["zone", "amount"],
            "additionalProperties": False,
        }
        assert list(schema(f)["properties"]) == ["zone", "amount", "dry"]

    def test_a_function_may_have_no_parameters(self):
        """The object is empty then."""
        assert schema(lambda: 3) == {
            "type": "object",
            "properties": {},
            "required": [],
            "additionalProperties": False,
        }

    @pytest.mark.parametrize(
        ("hint", "node"),
        [
            (float, {"type": "number"}),
            (list[int], {"type": "array", "items": {"type": "integer"}}),
            (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
            (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
            (Literal["a", 1], {"type": ["string", "integer"], "enum": ["a", 1]}),
            (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
            (datetime.date, {"type": "string", "format": "date"}),
            (
                Annotated[int, Field(ge=1, description="d")],
                {"type": "integer", "minimum": 1, "description": "d"},
            ),
            ("int", {"type": "integer"}),
            ("Annotated[int, Field(description='d')]", {"type": "integer", "description": "d"}),
            (Any, {}),
        ],
    )
    def test_a_hint_is_a_schema(self, hint, node):
        """Of what JSON can give for it."""
        assert schema_of_hint(hint) == node

    @pytest.mark.parametrize("hint", [Address, Box, Point])
    def test_an_object_is_closed(self, hint):
        """A model, a TypedDict, a dataclass: it has the properties that it names."""

        def f(a: hint) -> None: ...

        got = schema(f)
        assert got["properties"]["a"] == {"$ref": f"#/$defs/{hint.__name__}"}
        assert got["$defs"][hint.__name__]["additionalProperties"] is False

    @pytest.mark.parametrize(
        ("default", "written"),
        [(None, None), (Unit.CELSIUS, "C"), (datetime.date(2026, 1, 2), "2026-01-02"), ((1, 2), [1, 2])],
    )
    def test_a_default_is_told_as_json(self, default, written):
        """As the model would give it."""

        def f(a: Any = default) -> None: ...

        assert schema(f)["properties"]["a"] == {"default": written}

    @pytest.mark.parametrize("default", [float("nan"), object(), {"a", "b"}, b"\xff"])
    def test_a_default_that_json_cannot_hold_is_not_told(self, default):
        """The parameter may be left out all the same. A set's order would change what is sent."""

        def f(a: Any = default) -> None: ...

        assert schema(f)["properties"]["a"] == {}
        assert schema(f)["required"] == []

    def test_no_titles_are_made_of_names(self):
        """They would be read, and paid for, to no purpose."""

        def f(address: Address, title: str) -> None: ...

        got = schema(f)
        assert got["properties"]["title"] == {"type": "string"}
        assert "title" not in got["$defs"]["Address"]

    @pytest.mark.parametrize("name", ["copy", "model_config", "schema", "_private", "json", "self"])
    def test_a_parameter_may_have_any_name(self, name):
        """What pydantic keeps for itself too."""
        namespace: dict[str, Any] = {}
        exec(f"def f({name}: int) -> None: ...", namespace)
        assert list(schema(namespace["f"])["properties"]) == [name]

    def test_a_wrapped_function_is_as_the_one_inside(self):
        """`functools.wraps` keeps the signature."""

        def f(a: int) -> None: ...

        @functools.wraps(f)
        def wrapper(*args: Any, **kwargs: Any) -> None: ...

        assert schema(wrapper)["required"] == ["a"]


class TestDocstring:
    GOOGLE = """Finds a ticket.

    In the archive too.

    Args:
        number: the ticket's
            number.
        unit: of the price.

    Returns:
        The ticket.
    """
    NUMPY = """Finds a ticket.

    In the archive too.

    Parameters
    ----------
    number : int
        the ticket's number.
    unit : Unit
        of the price.
    """
    REST = """Finds a ticket.

    In the archive too.

    :param number: the ticket's number.
    :param unit: of the price.
    """

    @pytest.mark.parametrize("text", [GOOGLE, NUMPY, REST])
    def test_it_describes_the_function_and_its_parameters(self, text):
        """In the styles of Google, NumPy and reST."""

        def f(number: int, unit: Unit) -> None: ...

        f.__doc__ = text
        got = signature_of(f, "tool f")
        assert got.description == "Finds a ticket.\n\nIn the archive too."
        assert got.schema["properties"] == {
            "number": {"type": "integer", "description": "the ticket's number."},
            "unit": {"enum": ["C", "F"], "type": "string", "description": "of the price."},
        }
        assert "$defs" not in got.schema

    def test_what_a_hint_says_goes_first(self):
        """`Field(description=...)` is written for the model."""

        def f(a: Annotated[int, Field(description="by the hint")]) -> None:
            """F.

            Args:
                a: by the docstring.
            """

        assert schema(f)["properties"]["a"]["description"] == "by the hint"

    def test_there_may_be_none(self):
        """Then there is no description."""

        def f() -> None: ...

        assert signature_of(f, "tool f").description is None


class TestArguments:
    def test_arguments_arrive_as_the_hints_say(self):
        """Models, enums, dates; a parameter that is left out is not among them."""

        def f(a: Address, u: Unit, d: datetime.date, n: int = 3) -> None: ...

        got = signature_of(f, "tool f").arguments.model_validate_json(
            '{"a": {"city": "Bonn"}, "u": "F", "d": "2026-01-02"}'
        )
        assert (got.p0, got.p1, got.p2) == (Address(city="Bonn"), Unit.FAHRENHEIT, datetime.date(2026, 1, 2))
        assert got.model_fields_set == {"p0", "p1", "p2"}


def untyped(a): ...


def positional(a: int, /) -> None: ...


def many(*a: int) -> None: ...


def keywords(**a: int) -> None: ...


def unknown(a: "Nowhere") -> None: ...  # noqa: F821


def unfit(a: int, b: threading.Thread) -> None: ...


def callback(a: Callable[[], int]) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (untyped, "tool f: the parameter a has no type hint; write what it takes, such as a: str"),
        (positional, "which is positional-only; allowed: those given by name"),
        (many, "got the parameter *a: int, which is variadic positional"),
        (keywords, "got the parameter **a: int, which is variadic keyword"),
        (unknown, "its type hints cannot be resolved (name 'Nowhere' is not defined)"),
        (unfit, "the parameter b is hinted <class 'threading.Thread'>, which JSON cannot give"),
        (callback, "the parameter a is hinted collections.abc.Callable[[], int], which JSON cannot give"),
    ],
)
def test_parameters_that_json_cannot_give_are_refused(function, message):
    """While definitions load, naming the parameter."""
    with pytest.raises(DefinitionError, match=re.escape(message)):
        signature_of(function, "tool f")
