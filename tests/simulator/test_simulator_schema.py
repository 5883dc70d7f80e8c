import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from pxt_assets.simulator.schema import make_instance
from pxt_assets.simulator.schema_merge import NoInstanceError

TEXT = "The invoice of 17 March names Ada Lovelace; it was paid late, and the total is 420 euros."


def check(schema, value):
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)


def bounded(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted)


def scalars():
    return st.one_of(
        st.sampled_from([{"type": "null"}, {"type": "boolean"}, {"type": "string"}, True, {}]),
        bounded(-50, 500).map(lambda b: {"type": "integer", "minimum": b[0], "maximum": b[1]}),
        bounded(-50, 500).map(lambda b: {"type": "number", "minimum": b[0], "exclusiveMaximum": b[1] + 1}),
        st.integers(1, 9).map(lambda n: {"type": "integer", "multipleOf": n, "minimum": 20}),
        st.integers(-9, 9).map(lambda n: {"type": "number", "exclusiveMinimum": n}),
        bounded(0, 60).map(lambda b: {"type": "string", "minLength": b[0], "maxLength": b[1]}),
        st.sampled_from(["date", "date-time", "email", "uuid", "ipv4"]).map(
            lambda name: {"type": "string", "format": name}
        ),
        st.sampled_from(["^[A-Z]{2}-\\d{4}$", "(foo|bar)+", "^\\w+@\\w+$", "[^a-z]", "^.{3,5}$"]).map(
            lambda pattern: {"type": "string", "pattern": pattern}
        ),
        st.lists(st.one_of(st.text(max_size=5), st.integers(), st.none()), min_size=1).map(
            lambda values: {"enum": values}
        ),
        st.one_of(st.text(max_size=5), st.booleans()).map(lambda value: {"const": value}),
        st.sampled_from([["string", "null"], ["integer", "boolean"], ["null"]]).map(lambda t: {"type": t}),
    )


def containers(inner):
    names = st.sampled_from(["name", "total", "tags", "next", "größe"])
    properties = st.dictionaries(names, inner, max_size=4)
    return st.one_of(
        st.builds(
            lambda named, closed, share: {
                "type": "object",
                "properties": named,
                "required": sorted(named)[: share % (len(named) + 1)],
                "additionalProperties": closed,
            },
            properties,
            st.sampled_from([False, True, {"type": "integer"}]),
            st.integers(0, 4),
        ),
        inner.map(lambda items: {"type": "object", "additionalProperties": items, "minProperties": 1}),
        st.builds(
            lambda items, b: {"type": "array", "items": items, "minItems": b[0], "maxItems": b[1]},
            inner,
            bounded(0, 4),
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"type": "array", "prefixItems": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
        inner.map(lambda one: {"allOf": [one, True]}),
        inner.map(lambda one: {"oneOf": [{"type": "null"}, {"type": "object", "properties": {"x": one}}]}),
        inner.map(lambda one: {"$defs": {"Part": one}, "description": "wraps", "anyOf": [one]}),
    )


@settings(max_examples=300, deadline=None)
@given(
    schema=st.recursive(scalars(), containers, max_leaves=12),
    text=st.one_of(st.just(TEXT), st.text(max_size=80)),
    salt=st.integers(0, 3),
)
def test_an_instance_conforms_to_its_schema(schema, text, salt):
    """Whatever the schema is made of and whatever the text says."""
    check(schema, make_instance(schema, text, salt))


@pytest.mark.parametrize(
    "schema",
    [
        {
            "$ref": "#/$defs/Node",
            "$defs": {
                "Node": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "string"},
                        "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                    },
                    "required": ["value", "next"],
                    "additionalProperties": False,
                }
            },
        },
        {
            "type": "object",
            "properties": {
                "children": {"type": "array", "items": {"$ref": "#"}},
                "more": {"type": "array", "items": {"$ref": "#"}},
                "left": {"oneOf": [{"type": "null"}, {"$ref": "#"}]},
            },
            "required": ["children", "more", "left"],
        },
        {
            "$ref": "#/$defs/Expression",
            "$defs": {
                "Expression": {"anyOf": [{"$ref": "#/$defs/Sum"}, {"type": "number"}]},
                "Sum": {
                    "type": "object",
                    "properties": {
                        "terms": {"type": "array", "items": {"$ref": "#/$defs/Expression"}, "minItems": 2}
                    },
                    "required": ["terms"],
                },
            },
        },
        {
            "type": "object",
            "properties": {"self": {"$ref": "#/$defs/Endless"}},
            "$defs": {
                "Endless": {
                    "type": "object",
                    "properties": {"again": {"$ref": "#/$defs/Endless"}},
                    "required": ["again"],
                }
            },
        },
    ],
    ids=["list", "tree", "expression", "optional-endless"],
)
@pytest.mark.parametrize("salt", range(5))
def test_a_recursive_schema_has_an_instance_of_modest_size(schema, salt):
    """A schema that refers to itself ends, and does not fill the answer."""
    value = make_instance(schema, TEXT, salt)
    check(schema, value)
    assert len(json.dumps(value)) < 50_000


@pytest.mark.parametrize(
    "schema",
    [
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {
                    "properties": {"a": {"maximum": 3, "minimum": 3}, "b": {"type": "string"}},
                    "required": ["b"],
                },
            ]
        },
        {"type": "integer", "anyOf": [{"minimum": 7}, {"maximum": -7}]},
        {"$ref": "#/$defs/Word", "maxLength": 3, "$defs": {"Word": {"type": "string", "minLength": 2}}},
        {"allOf": [{"anyOf": [{"minimum": 1}]}, {"anyOf": [{"maximum": 5}]}], "type": "number"},
        {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        {"type": "object", "required": ["x-1"], "additionalProperties": {"type": "boolean"}},
        {"type": ["array", "null"], "items": {"type": "integer"}, "minItems": 1},
        {"enum": ["a", 1, None], "type": ["integer", "null"]},
        {"type": "integer", "minimum": 10**12, "maximum": 10**15},
    ],
)
def test_combined_keywords_all_hold(schema):
    """Branches, references and the keywords beside them bind together."""
    check(schema, make_instance(schema, TEXT))


def test_a_schema_that_requires_itself_has_no_instance():
    """There is no finite value, and the maker says so."""
    schema = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    with pytest.raises(NoInstanceError, match="no finite instance"):
        make_instance(schema, TEXT)


def test_a_label_that_the_text_names_is_chosen():
    """An enum takes the one value that occurs in the text."""
    schema = {"enum": ["negative", "neutral", "positive"]}
    assert make_instance(schema, "I would call this rather Positive.") == "positive"


def test_labels_that_are_all_named_are_drawn_by_the_text():
    """A prompt that lists its labels names none of them; different texts get different ones."""
    schema = {"enum": ["negative", "neutral", "positive"]}
    prompts = [f"Say negative, neutral or positive: review {number}" for number in range(30)]
    assert {make_instance(schema, prompt) for prompt in prompts} == {"negative", "neutral", "positive"}


def test_free_strings_and_numbers_come_from_the_text():
    """What the schema leaves open can be found in the text again."""
    schema = {"type": "object", "properties": {"who": {"type": "string"}, "total": {"type": "number"}}}
    made = make_instance(schema, TEXT)
    assert made["who"] in " ".join(re.findall(r"\w+", TEXT))
    assert made["total"] in (17, 420) or made["total"] <= 100


def test_the_same_text_gives_the_same_instance():
    """Pinned, since runs are compared across releases and machines."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "boolean"}},
    }
    assert make_instance(schema, TEXT) == PINNED


PINNED = {}
