import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from pxt_assets.simulator.reply.instance import make_instance
from pxt_assets.simulator.reply.schema_merge import NoInstanceError

FORMATS = (
    "date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"
)  # fmt: skip
CHECKED = FormatChecker(["date", "email", "ipv4", "ipv6", "uuid"])
NAMES = st.text("abcdexyz_", min_size=1, max_size=4)
TEXTS = st.text(max_size=60) | st.just("The zip of jacket 42 broke after 2.5 days, for 19.99 euros.")


def valid(schema, instance):
    Draft202012Validator(schema, format_checker=CHECKED).validate(instance)
    return instance


def bounds(low, high):
    return st.tuples(low, high).map(sorted)


def numbers(kind):
    def with_bounds(pair):
        return st.sampled_from(
            [
                {"type": kind},
                {"type": kind, "minimum": pair[0]},
                {"type": kind, "maximum": pair[1]},
                {"type": kind, "minimum": pair[0], "maximum": pair[1]},
                {"type": kind, "exclusiveMinimum": pair[0], "exclusiveMaximum": pair[1] + 2},
                {"type": kind, "minimum": pair[0], "maximum": pair[1] + 8, "multipleOf": 4},
            ]
        )

    return bounds(st.integers(-1000, 1000), st.integers(-1000, 1000)).flatmap(with_bounds)


def strings():
    lengths = bounds(st.integers(0, 30), st.integers(0, 30)).map(
        lambda pair: {"type": "string", "minLength": pair[0], "maxLength": pair[1]}
    )
    return lengths | st.sampled_from(FORMATS).map(lambda name: {"type": "string", "format": name})


def scalars():
    enums = st.lists(st.none() | st.booleans() | st.integers() | st.text(max_size=5), min_size=1, max_size=4)
    return st.one_of(
        st.sampled_from([True, {}, {"type": "null"}, {"type": "boolean"}, {"type": ["string", "null"]}]),
        numbers("integer"),
        numbers("number"),
        strings(),
        enums.map(lambda values: {"enum": values}),
        st.text(max_size=5).map(lambda value: {"const": value}),
        st.just({"$ref": "#/$defs/node"}),
        st.just({"$ref": "#/$defs/label", "description": "which"}),
    )


def containers(inner):
    objects = st.dictionaries(NAMES, inner, max_size=4).flatmap(
        lambda properties: st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(properties),
                "required": st.lists(st.sampled_from(sorted(properties) or ["r"]), unique=True),
                "additionalProperties": st.just(False) if properties else inner,
            }
        )
    )
    arrays = st.tuples(inner, bounds(st.integers(0, 4), st.integers(0, 4))).map(
        lambda pair: {"type": "array", "items": pair[0], "minItems": pair[1][0], "maxItems": pair[1][1]}
    )
    unions = st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})
    return st.one_of(objects, arrays, unions)


DEFS = {
    "label": {"type": "string", "enum": ["bug", "praise"]},
    "node": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        },
        "required": ["name", "next", "children"],
        "additionalProperties": False,
    },
}
SCHEMAS = st.dictionaries(NAMES, st.recursive(scalars(), containers, max_leaves=8), max_size=4).map(
    lambda properties: {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "$defs": DEFS,
    }
)


@settings(max_examples=100)
@given(schema=SCHEMAS, text=TEXTS, salt=st.integers(0, 3))
def test_an_instance_conforms_to_its_schema(schema, text, salt):
    """Whatever the schema nests, and whatever text it is made of."""
    valid(schema, make_instance(schema, text, salt))


@settings(max_examples=30)
@given(schema=SCHEMAS, text=TEXTS)
def test_properties_come_in_the_order_of_the_schema(schema, text):
    """As the API writes them, so that a reasoning field may come before its answer."""
    assert list(make_instance(schema, text)) == list(schema["properties"])


@settings(max_examples=30)
@given(schema=SCHEMAS, text=TEXTS)
def test_the_same_schema_and_text_have_the_same_instance(schema, text):
    """Chance comes from a hash of the text alone."""
    assert json.dumps(make_instance(schema, text)) == json.dumps(make_instance(schema, text))


def test_optional_properties_keep_their_place():
    """Those not required are filled in too, between the others."""
    schema = {"type": "object", "properties": dict.fromkeys("dacb", True), "required": ["c", "d"]}
    assert list(make_instance(schema, "text")) == ["d", "a", "c", "b"]


def test_other_texts_have_other_instances():
    """Rows of a rehearsal differ, as do the choices of one request."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert len({make_instance(schema, f"row {letter}")["n"] for letter in "abcdefghij"}) > 3
    assert len({make_instance(schema, "row", salt)["n"] for salt in range(10)}) > 3


def test_an_enum_takes_the_value_that_the_text_names():
    """In any case of letters; a text that names several, or none, gets any."""
    schema = {"enum": ["bug", "praise", "question"]}
    assert make_instance(schema, "Nothing but PRAISE for you.") == "praise"
    drawn = {make_instance(schema, f"One of bug, praise, question? {row}") for row in range(20)}
    assert drawn == {"bug", "praise", "question"}


def test_numbers_of_the_text_are_taken_where_they_fit():
    """Whole ones for integers, fractions for numbers, those within the bounds."""
    text = "Order 4711 came 12 days late and cost 19.99 euros."
    assert make_instance({"type": "integer", "maximum": 100}, text) == 12
    assert make_instance({"type": "number", "minimum": 15, "maximum": 30}, text) == 19.99
    assert make_instance({"type": "number", "multipleOf": 0.01, "minimum": 15, "maximum": 30}, text) == 19.99


def test_multiples_of_a_fraction_are_written_exactly():
    """Three tenths are 0.3, not 0.30000000000000004."""
    schema = {"type": "number", "multipleOf": 0.1, "minimum": 0.3, "maximum": 0.3}
    assert make_instance(schema, "none") == 0.3
    assert make_instance({**schema, "type": "integer", "multipleOf": 1.5, "maximum": 5}, "none") == 3


def test_phrases_are_words_of_the_text():
    """Consecutive ones."""
    phrase = make_instance({"type": "string"}, "alpha beta gamma delta")
    assert phrase
    assert phrase in "alpha beta gamma delta"


def test_null_is_drawn_last():
    """A value shows more than a null does; with `null` alone there is no choice."""
    assert isinstance(make_instance({"anyOf": [{"type": "null"}, {"type": "string"}]}, "a"), str)
    assert isinstance(make_instance({"type": ["null", "integer"]}, "a"), int)
    assert make_instance({"type": "null"}, "a") is None


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/node", "$defs": DEFS},
        {
            "type": "object",
            "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}},
            "additionalProperties": False,
        },
        {"type": "array", "items": {"$ref": "#"}},
        {"anyOf": [{"type": "array", "items": {"$ref": "#"}, "minItems": 2}, {"type": "string"}]},
        {"type": "object", "additionalProperties": {"$ref": "#"}},
        {
            "$ref": "#/$defs/a",
            "$defs": {
                "a": {"type": "object", "properties": {"b": {"$ref": "#/$defs/b"}}, "required": ["b"]},
                "b": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "integer"}]},
            },
        },
    ],
)
def test_recursion_ends(schema):
    """At most a few levels deep, by the branch that needs the fewest more."""
    for salt in range(10):
        assert depth(valid(schema, make_instance(schema, "a text of some words", salt))) <= 8


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"},
        {"type": "string", "pattern": "^(yes|no)$"},
        {"type": "string", "pattern": "\\w+@\\w+\\.(com|org)"},
        {"type": "string", "pattern": "^[^a-z]+$", "minLength": 5},
        {"type": "string", "pattern": "^a*$", "minLength": 3, "maxLength": 3},
        {"type": "string", "pattern": "^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$"},
        {"type": "string", "format": "email", "maxLength": 13},
        {"type": "string", "format": "colour"},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 3},
        {"type": "object", "maxProperties": 1, "properties": {"a": True, "b": True}},
        {"type": "object", "required": ["undeclared"]},
        {"allOf": [{"type": "number", "minimum": 3}, {"type": "integer", "maximum": 3}]},
        {"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]},
        {"allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"required": ["b"]}]},
        {"oneOf": [{"type": "string"}, {"type": "integer"}], "description": "either"},
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": False},
                {"type": "object", "properties": {"a": True, "b": True}},
            ]
        },
        {"definitions": {"a/b": {"const": 7}}, "$ref": "#/definitions/a~1b"},
    ],
    ids=json.dumps,
)
def test_rarer_keywords_hold_too(schema):
    """Patterns, tuples, counts, merged alternatives, escaped references."""
    for salt in range(10):
        valid(schema, make_instance(schema, "An ordinary text, of 7 words.", salt))


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (False, "no finite instance"),
        ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "no finite instance"),
        ({"type": "string", "minLength": 2, "maxLength": 1}, "exceeds maxLength"),
        ({"type": "string", "minLength": 10**9}, "exceeds 100000"),
        ({"type": "string", "format": "uuid", "maxLength": 8}, "no uuid found"),
        ({"type": "string", "pattern": "("}, "no string found"),
        ({"type": "string", "pattern": "^ab$", "minLength": 3}, "no string found"),
        ({"type": "array", "items": True, "minItems": 10**9}, "more than 20000 values"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, "exceeds maxItems"),
        ({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}, "no multiple of 1"),
        ({"type": "number", "exclusiveMinimum": 1, "maximum": 1}, "no number"),
        ({"type": "string", "enum": [1]}, "no value of the enum"),
        ({"$ref": "https://example.com/schema.json"}, "only references into the schema itself"),
        ({"allOf": [{"pattern": "a"}, {"pattern": "b"}]}, "'pattern'"),
    ],
    ids=str,
)
def test_a_schema_that_nothing_is_made_for_says_why(schema, reason):
    """Rather than an instance that does not conform, or one that takes for ever."""
    with pytest.raises(NoInstanceError, match=reason):
        make_instance(schema, "An ordinary text.")


def test_wide_schemas_stay_small():
    """A tree that branches widely ends after a few hundred values."""
    schema = {"type": "array", "items": {"$ref": "#"}, "minItems": 0, "maxItems": 9}
    wide = {"type": "object", "properties": {str(n): schema for n in range(9)}, "required": ["0"]}
    assert len(json.dumps(make_instance(wide, "text"))) < 10_000


def test_a_chat_answers_by_its_schema(simulator):
    """The content is the JSON of an instance, and nothing but that; characters stay as they are."""
    schema = {
        "type": "object",
        "properties": {"why": {"type": "string", "minLength": 3}, "label": {"enum": ["größer", "kleiner"]}},
        "required": ["why", "label"],
        "additionalProperties": False,
    }
    wrapper = {"name": "answer", "strict": True, "schema": schema}
    response = simulator.chat(
        "Ist das größer?", response_format={"type": "json_schema", "json_schema": wrapper}
    )
    content = response.json()["choices"][0]["message"]["content"]
    assert valid(schema, json.loads(content))["label"] == "größer"
    assert "größer" in content
