"""Forms of answers, by a model or a schema: how they are asked for and checked."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Literal

import pydantic
import pytest
from pydantic import BaseModel, field_validator

from pxt_assets.errors import DefinitionError
from pxt_assets.local.structured_schema import parse_response_format
from tests.local.review import Review

STRICT = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
LOOSE = {
    "title": "A city!",
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
ITEMS = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/item"}}},
    "$defs": {
        "item": {
            "type": "object",
            "properties": {"price": {"type": "number", "maximum": 10}},
            "additionalProperties": False,
        }
    },
}


class TestModel:
    def test_it_is_asked_for_in_both_forms_of_the_api(self):
        """Nested for chat completions, flat for responses, strict, with the class's name."""
        form = parse_response_format(Review)
        assert form.chat["type"] == form.responses["type"] == "json_schema"
        assert form.chat["json_schema"] == {"name": "Review", "schema": form.schema, "strict": True}
        assert form.responses == {"type": "json_schema", **form.chat["json_schema"]}
        assert form.schema["required"] == ["sentiment", "stars", "written"]

    def test_an_answer_is_checked_by_the_model(self):
        """The value is what the model dumps: JSON."""
        text = '{"sentiment": "good", "stars": "5", "written": "2026-01-02"}'
        assert parse_response_format(Review).check(text) == {
            "sentiment": "good",
            "stars": 5,
            "written": "2026-01-02",
        }

    def test_a_fault_is_named_by_its_place(self):
        """And all that is wrong, not the first of it only."""
        with pytest.raises(
            ValueError, match=r"^sentiment: Input should be 'good' or 'bad'; stars: Field required$"
        ):
            parse_response_format(Review).check('{"sentiment": "fine"}')

    def test_a_place_inside_a_list_has_its_index(self):
        """As a path is written."""

        class Reviews(BaseModel):
            all: list[Review]

        with pytest.raises(ValueError, match=r"^all\[1\]\.stars: Input should be a valid integer"):
            parse_response_format(Reviews).check(
                '{"all": [{"sentiment": "good", "stars": 1}, {"sentiment": "bad", "stars": "x"}]}'
            )

    def test_a_models_own_rules_hold(self):
        """Whatever its validators raise is the answer's fault, cut short."""

        class Even(BaseModel):
            n: int

            @field_validator("n")
            @classmethod
            def even(cls, n: int) -> int:
                if n % 2:
                    raise KeyError("odd" * 100)
                return n

        with pytest.raises(ValueError, match=r"^Even: KeyError: 'oddodd") as e:
            parse_response_format(Even).check('{"n": 3}')
        assert len(str(e.value)) < 120

    def test_open_fields_are_asked_for_without_strict(self):
        """A dict's keys are not known before."""

        class Counts(BaseModel):
            by_word: dict[str, int]

        form = parse_response_format(Counts)
        assert form.chat["json_schema"]["strict"] is False
        assert form.check('{"by_word": {"a": 1}}') == {"by_word": {"a": 1}}

    @pytest.mark.parametrize("root", [list[int], int, Literal["a"], int | str])
    def test_a_model_that_is_no_object_is_refused(self, root):
        """The API answers with objects only."""
        with pytest.raises(DefinitionError, match="wrap it in a model"):
            parse_response_format(pydantic.RootModel[root])

    def test_a_generic_models_name_is_one_that_the_api_takes(self):
        """Letters, digits, _ and -, 64 of them."""
        assert parse_response_format(pydantic.RootModel[dict[str, int]]).chat["json_schema"]["name"] == (
            "RootModel_dict_str_int"
        )
        long = pydantic.create_model("X" * 80, a=(int, ...))
        assert parse_response_format(long).chat["json_schema"]["name"] == "X" * 64

    def test_a_model_without_a_schema_is_refused(self):
        """The message says why."""

        class Holder(BaseModel):
            call: Callable[[], int]

        with pytest.raises(DefinitionError, match="Holder has no JSON schema"):
            parse_response_format(Holder)

    def test_it_is_the_same_in_every_process(self):
        """What is sent names the cell."""
        program = (
            "import json, pydantic, typing\n"
            "from pxt_assets.local.structured_schema import parse_response_format\n"
            "class M(pydantic.BaseModel):\n"
            "    c: typing.Literal['x', 'y', 'z']; a: int | None; b: list[str]\n"
            "print(json.dumps(parse_response_format(M).chat))"
        )
        with redirect_stdout(io.StringIO()) as here:  # whose hashes are salted otherwise
            exec(program, {})
        other = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": "1"},
            capture_output=True,
            check=True,
            text=True,
        )
        assert here.getvalue() == other.stdout


class TestSchema:
    def test_a_schema_is_sent_as_it_is(self):
        """Strict if it is strict already, named for its title."""
        form = parse_response_format(STRICT)
        assert form.chat == {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": STRICT, "strict": True},
        }
        assert parse_response_format(LOOSE).responses == {
            "type": "json_schema",
            "name": "A_city",
            "schema": LOOSE,
            "strict": False,
        }

    def test_the_order_of_its_keys_is_kept(self):
        """A model fills in properties in that order."""
        given = {"type": "object", "properties": {"z": {}, "a": {}}, "additionalProperties": False}
        assert json.dumps(parse_response_format(given).schema) == json.dumps(given)

    def test_a_change_of_the_dict_afterwards_changes_nothing(self):
        """The form is a copy."""
        given = json.loads(json.dumps(STRICT))
        form = parse_response_format(given)
        given["properties"]["city"]["type"] = "integer"
        assert form.schema == STRICT

    @pytest.mark.parametrize("inner", [{"$ref": "#/$defs/x"}, {"anyOf": [{"$ref": "#/$defs/x"}, STRICT]}])
    def test_references_and_unions_may_stand_at_its_root(self, inner):
        """As in the schemas of other tools."""
        form = parse_response_format({**inner, "$defs": {"x": ITEMS["$defs"]["item"]}})
        assert form.check('{"price": 3}') == {"price": 3}
        with pytest.raises(ValueError, match="price"):
            form.check('{"price": 30}')

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                '{"items": [{"price": 1}, {"price": 11}]}',
                "items[1].price: got 11, the schema asks for maximum 10",
            ),
            ('{"items": {}}', "items: got {}, the schema asks for type 'array'"),
            ('{"items": [{"prize": 1}]}', "items[0]: got ['prize'], which the schema does not have"),
            ("[]", "the whole: got [], the schema asks for type 'object'"),
        ],
    )
    def test_a_fault_is_named_by_its_place(self, text, message):
        """With what was got, and what was asked for."""
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            parse_response_format(ITEMS).check(text)

    def test_a_missing_property_is_named(self):
        """Not the whole object that lacks it."""
        with pytest.raises(ValueError, match=r"^the whole: city is missing$"):
            parse_response_format(STRICT).check("{}")

    def test_a_long_value_is_cut(self):
        """What a row holds may be confidential, and is long."""
        with pytest.raises(ValueError, match="xxxx") as e:
            parse_response_format(ITEMS).check(json.dumps({"items": "x" * 1000}))
        assert str(e.value).count("x") < 80

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (5, "got 5, allowed: a pydantic model class, a JSON schema"),
            (int, "got the class int"),
            (Review(sentiment="good", stars=1), "allowed: a pydantic model class"),
            ({"name": "x", "schema": STRICT}, "got a dict with ['name', 'schema']"),
            ({"type": "json_schema", "name": "x"}, "comes with a name and a schema"),
            ({"type": "objekt"}, "the schema is wrong at type: 'objekt'"),
            ({"type": "object", "properties": {"a": 3}}, "the schema is wrong at properties.a"),
            ({"type": "object", "default": object()}, "the schema is not JSON"),
            ({"$ref": "#/$defs/x"}, "got $ref '#/$defs/x', allowed"),
            ({"$ref": "https://example.com/x"}, "got $ref 'https://example.com/x'"),
            (
                {"type": "json_schema", "name": "a b", "schema": STRICT},
                "got the name 'a b', allowed: 1 to 64",
            ),
        ],
    )
    def test_what_is_no_schema_is_refused_at_once(self, given, message):
        """While definitions load, not by the API for each row."""
        with pytest.raises(DefinitionError, match=re.escape(message)):
            parse_response_format(given)


class TestFormsOfTheApi:
    def test_the_nested_and_the_flat_form_are_one(self):
        """Each is taken for both endpoints, with what it says of strict."""
        inner = {"name": "city", "schema": STRICT, "strict": False, "description": "where"}
        nested = parse_response_format({"type": "json_schema", "json_schema": inner})
        flat = parse_response_format({"type": "json_schema", **inner})
        assert nested.chat == flat.chat == {"type": "json_schema", "json_schema": inner}
        assert nested.responses == flat.responses == {"type": "json_schema", **inner}
        assert flat.check('{"city": "Bonn"}') == {"city": "Bonn"}

    def test_any_object_of_json(self):
        """`json_object` promises an object and no more."""
        form = parse_response_format({"type": "json_object"})
        assert form.chat == form.responses == {"type": "json_object"}
        assert form.check('{"a": [1]}') == {"a": [1]}
        with pytest.raises(ValueError, match=r"got \[1\], allowed: a JSON object"):
            form.check("[1]")

    def test_plain_text_is_not_parsed(self):
        """There is nothing to check."""
        form = parse_response_format({"type": "text"})
        assert form.chat == form.responses == {"type": "text"}
        assert form.check is None


@pytest.mark.parametrize("wanted", [Review, LOOSE, {"type": "json_object"}])
@pytest.mark.parametrize(
    "text", ["", "hello", '{"a": NaN}', '{"a": 1e999}', "[" * 100_000, '{"a": 1} x' + "y" * 500]
)
def test_what_is_not_json_is_named_so(wanted, text):
    """Whatever it is to be checked by; cut short."""
    with pytest.raises(ValueError, match=r"^it is not JSON") as e:
        parse_response_format(wanted).check(text)
    assert len(str(e.value)) < 200
