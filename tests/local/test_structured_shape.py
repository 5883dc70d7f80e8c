"""What is known of an answer in a form, so that a path into it has a type."""

import dagster as dg
import pytest
from pydantic import BaseModel, Field, computed_field

from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.expressions.walk import type_of
from pxt_assets.local.structured_schema import parse_response_format, shape_of
from pxt_assets.values.types import Json, String
from tests.local.review import Review


class TestShape:
    def test_fields_are_typed(self):
        """Through enums and nulls, so that a path into an answer is a column of a type."""
        assert parse_response_format(Review).shape == {
            "type": "object",
            "properties": {
                "sentiment": {"type": "string"},
                "stars": {"type": "integer"},
                "written": {"type": "string"},
            },
        }

    def test_it_is_the_shape_of_the_checked_value(self):
        """Named as the fields, with what is computed."""

        class Sum(BaseModel):
            first: int = Field(alias="1st")

            @computed_field
            @property
            def twice(self) -> int:
                return 2 * self.first

        form = parse_response_format(Sum)
        assert list(form.schema["properties"]) == ["1st"]
        value = form.check('{"1st": 2}')
        assert list(form.shape["properties"]) == list(value) == ["first", "twice"]

    @pytest.mark.parametrize(
        ("node", "shape"),
        [
            ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string"}),
            ({"type": ["integer", "null"]}, {"type": "integer"}),
            ({"enum": ["a", "b", None]}, {"type": "string"}),
            ({"const": 3}, {"type": "integer"}),
            ({"enum": ["a", 1]}, {}),
            ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, {}),
            ({"oneOf": [{"type": "string", "maxLength": 3}, {"enum": ["long"]}]}, {"type": "string"}),
            (
                {"type": "array", "items": {"$ref": "#/$defs/x"}},
                {"type": "array", "items": {"type": "number"}},
            ),
            (
                {"additionalProperties": {"$ref": "#/$defs/x", "description": "d"}},
                {"additionalProperties": {"type": "number"}},
            ),
            ({"properties": {"a": True}, "anyOf": [{"required": ["a"]}]}, {"properties": {"a": {}}}),
            (True, {}),
        ],
    )
    def test_what_is_known_of_a_value(self, node, shape):
        """Its one type besides null, and what is inside."""
        schema = {"properties": {"a": node}, "$defs": {"x": {"type": "number"}}}
        assert shape_of(schema)["properties"]["a"] == shape

    def test_a_recursive_schema_is_cut(self):
        """Some levels down nothing is known."""
        schema = {"properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}}
        shape, levels = shape_of(schema), 0
        while shape:
            assert shape["properties"]["n"] == {"type": "integer"}
            shape, levels = shape["properties"]["next"], levels + 1
        assert 2 < levels < 20

    def test_many_recursive_definitions_take_no_long(self):
        """Equal parts are shared: ten kinds that each hold all others."""
        names = [f"k{i}" for i in range(10)]
        kind = {"properties": {n: {"$ref": f"#/$defs/{n}"} for n in names}}
        shape = shape_of({"$ref": "#/$defs/k0", "$defs": dict.fromkeys(names, kind)})
        assert shape["properties"]["k1"]["properties"]["k2"]["properties"].keys() == set(names)


def test_a_parsed_field_is_a_column_of_its_type():
    """What the shape is for."""
    column = ColumnRef(
        dg.AssetKey("t"), dg.AssetKey(["t", "r"]), "r", Json, parse_response_format(Review).shape
    )
    assert type_of(column.sentiment)[0] is String
