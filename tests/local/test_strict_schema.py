import enum
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from pxt_assets.errors import DefinitionError
from pxt_assets.local.strict_schema import is_strict, resolve_ref, strict_form
from pxt_assets.simulator.prompt.strict_schema import check_strict


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]


class Node(BaseModel):
    value: int
    children: "list[Node]" = []
    parent: "Annotated[Node | None, Field(description='above')]" = None
    others: "list[Annotated[Node, Field(description='beside')]]" = []


class Order(BaseModel):
    """An order."""

    zone: str
    amount: int | None = None
    color: Annotated[Color, Field(description="of the wheels")] = Color.RED
    again: Color
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


def strict(model: type[BaseModel]) -> dict[str, Any]:
    return strict_form(model.model_json_schema())


class TestStrictForm:
    @pytest.mark.parametrize("model", [Order, Node])
    def test_it_is_what_the_api_takes(self, model):
        """By our rules, and by those that the simulator refuses requests by."""
        assert is_strict(strict(model))
        check_strict(strict(model), "response_format 'x'", "response_format")

    def test_all_properties_are_required_in_their_order(self):
        """A model fills in properties in the order in which they stand."""
        got = strict(Order)
        assert list(got["properties"]) == got["required"] == ["zone", "amount", "color", "again", "pet"]

    def test_objects_are_closed(self):
        """Those inside too."""
        got = strict(Order)
        assert got["additionalProperties"] is False
        assert got["$defs"]["Cat"]["additionalProperties"] is False

    def test_defaults_are_left_out(self):
        """The API refuses them; None too."""
        got = strict(Order)
        assert got["properties"]["amount"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
        assert "default" not in str(got)

    def test_what_stands_beside_a_reference_is_merged_with_its_copy(self):
        """The API takes nothing beside a `$ref`; a lone one is kept."""
        got = strict(Order)["properties"]
        assert got["color"] == {
            "description": "of the wheels",
            "enum": ["red", "blue"],
            "title": "Color",
            "type": "string",
        }
        assert got["again"] == {"$ref": "#/$defs/Color"}

    def test_a_definition_that_only_was_copied_is_left_out(self):
        """It would be read, and paid for, to no purpose."""

        class Wheel(BaseModel):
            color: Annotated[Color, Field(description="of the wheels")]

        assert "$defs" not in strict(Wheel)

    def test_a_union_by_its_discriminator_is_a_plain_one(self):
        """The API knows `anyOf` only."""
        got = strict(Order)["properties"]["pet"]
        assert got["anyOf"] == [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]
        assert "discriminator" not in got

    def test_the_root_of_a_recursive_model_is_an_object(self):
        """Not a reference, which the API refuses there."""
        got = strict(Node)
        assert got["type"] == "object"
        assert got["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}

    def test_constraints_that_cannot_be_enforced_are_told(self):
        """The model reads them in the description."""

        class Ticket(BaseModel):
            title: Annotated[str, Field(max_length=40, description="of the ticket")]
            price: Decimal

        got = strict(Ticket)
        assert got["properties"]["title"]["description"] == "of the ticket (maxLength: 40)"
        assert is_strict(got)

    def test_constraints_that_can_be_enforced_are_kept(self):
        """Ranges, lengths of lists, patterns, known formats."""

        class Score(BaseModel):
            value: Annotated[int, Field(ge=0, le=10)]
            code: Annotated[str, Field(pattern="^[A-Z]+$")]

        got = strict(Score)["properties"]
        assert (got["value"]["minimum"], got["value"]["maximum"]) == (0, 10)
        assert got["code"]["pattern"] == "^[A-Z]+$"

    def test_an_enum_of_several_types_names_them(self):
        """The API wants a type everywhere."""

        class Mixed(BaseModel):
            answer: Literal["yes", 1, None]

        assert strict(Mixed)["properties"]["answer"]["type"] == ["string", "integer", "null"]

    @pytest.mark.parametrize("hint", [dict[str, int], dict, Any, tuple[int, str], list])
    def test_what_it_cannot_express_is_not_strict(self, hint):
        """Open objects, anything at all, tuples."""

        class Holder(BaseModel):
            value: hint

        assert not is_strict(strict(Holder))

    def test_an_open_model_stays_open(self):
        """`extra="allow"` asks for more than the fields."""

        class Open(BaseModel):
            model_config = ConfigDict(extra="allow")
            a: int

        assert strict(Open)["additionalProperties"] is True

    def test_the_given_schema_is_left_as_it_was(self):
        """The form is a copy."""
        given = Order.model_json_schema()
        strict_form(given)
        assert given == Order.model_json_schema()


CLOSED = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
CLOSED["additionalProperties"] = False


def holding(node: Any) -> dict[str, Any]:
    return {**CLOSED, "properties": {"a": node}, "$defs": {"x": {"type": "string"}}}


class TestIsStrict:
    @pytest.mark.parametrize(
        "schema",
        [
            CLOSED,
            {"type": "object", "properties": {}, "additionalProperties": False},
            holding({"$ref": "#/$defs/x"}),
            holding({"type": ["array", "null"], "items": CLOSED}),
            holding({"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "description": "d"}),
        ],
    )
    def test_a_schema_that_fulfils_the_rules_is(self, schema):
        """Closed objects with all properties required, a type everywhere."""
        assert is_strict(schema)

    @pytest.mark.parametrize(
        "schema",
        [
            {k: v for k, v in CLOSED.items() if k != "additionalProperties"},
            {k: v for k, v in CLOSED.items() if k != "required"},
            {"type": "array", "items": CLOSED},
            {"$ref": "#/$defs/x", "$defs": {"x": CLOSED}},
            {**CLOSED, "anyOf": [CLOSED]},
            holding({}),
            holding(True),
            holding({"type": "array"}),
            holding({"type": "array", "items": True}),
            holding({"type": "string", "minLength": 1}),
            holding({"type": "string", "format": "uri"}),
            holding({"type": "string", "pattern": "^(?!x)"}),
            holding({"type": "string", "default": "x"}),
            holding({"$ref": "#/$defs/x", "description": "d"}),
            holding({"oneOf": [{"type": "string"}]}),
            holding({"type": "object", "additionalProperties": {"type": "string"}}),
        ],
    )
    def test_any_other_is_not(self, schema):
        """The API would refuse it, and with it every row."""
        assert not is_strict(schema)


class TestReferences:
    def test_a_reference_is_followed_by_its_steps(self):
        """Escapes and indexes as in JSON pointers."""
        schema = {"$defs": {"a/b c": {"anyOf": [{}, {"type": "string"}]}}}
        assert resolve_ref(schema, "#/$defs/a~1b%20c/anyOf/1") == {"type": "string"}
        assert resolve_ref(schema, "#") == schema

    @pytest.mark.parametrize(
        "ref", ["#/$defs/b", "https://example.com/schema", "other.json#/a", "#/$defs/a/0"]
    )
    def test_one_out_of_the_schema_is_refused(self, ref):
        """Nothing is fetched."""
        with pytest.raises(DefinitionError, match=r"got \$ref .*allowed: what the schema itself holds"):
            resolve_ref({"$defs": {"a": {}}}, ref)
