"""Structured outputs: the response format that the API is sent, and the check of its answers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pxt_assets.errors import DefinitionError
from pxt_assets.local.strict_schema import is_strict, references, resolve_ref, strict_form, types_of
from pxt_assets.values.json_text import dumps

if TYPE_CHECKING:
    import jsonschema
    import pydantic

Schema = Mapping[str, Any]

_ALLOWED = (
    "a pydantic model class, a JSON schema as a dict, or the API's own form: "
    '{"type": "json_schema", ...}, {"type": "json_object"} or {"type": "text"}'
)
_API_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SHAPE_DEPTH = 6
"""How many references deep a shape goes: a recursive schema has no end."""


@dataclass(frozen=True)
class ResponseFormat:
    """The response format of a request."""

    chat: dict[str, Any]
    """What chat completions take as `response_format`."""
    responses: dict[str, Any]
    """What the Responses API takes as `text.format`."""
    schema: Schema | None
    """The JSON schema that is sent, None if none is."""
    shape: Schema = field(repr=False)
    """What is known of the checked value."""
    check: Callable[[str], Any] | None = field(repr=False)
    """Gives the value of an answer's text; None for plain text. Raises ValueError that says where the fault is."""


def parse_response_format(wanted: object) -> ResponseFormat:
    """The response format that a user gave as a pydantic model, a JSON schema, or in the API's own form.

    A model is sent in the API's strict form, whose answers are certain to fit, if that form can express it. A JSON
    schema is sent as it is, as strict only if it is strict already. Raises DefinitionError.
    """
    if isinstance(wanted, type):
        return _format_from_model(wanted)
    if not isinstance(wanted, Mapping):
        msg = f"structured output: got {_short_repr(wanted)}, allowed: {_ALLOWED}"
        raise DefinitionError(msg)
    try:
        given: dict[str, Any] = json.loads(dumps(dict(wanted)))
    except (TypeError, ValueError) as e:
        msg = f"structured output: the schema is not JSON: {e}"
        raise DefinitionError(msg) from e
    kind = given.get("type")
    if kind == "text":
        return ResponseFormat(given, given, None, {}, None)
    if kind == "json_object":
        return ResponseFormat(given, given, None, {"type": "object"}, _parse_json_object)
    if kind == "json_schema":
        form = given.get("json_schema", {key: value for key, value in given.items() if key != "type"})
        if not isinstance(form, dict) or not isinstance(form.get("schema"), dict):
            msg = 'structured output: {"type": "json_schema"} comes with a name and a schema, which is a dict'
            raise DefinitionError(msg)
        return _format_from_schema({"name": _schema_name(form["schema"]), **form})
    return _format_from_schema({"name": _schema_name(given), "schema": given, "strict": is_strict(given)})


def _format_from_model(model: type) -> ResponseFormat:
    import pydantic
    from pydantic.errors import PydanticUserError

    if not issubclass(model, pydantic.BaseModel):
        msg = f"structured output: got the class {model.__name__}, allowed: {_ALLOWED}"
        raise DefinitionError(msg)
    try:
        schema = strict_form(model.model_json_schema())
        # of what `model_dump` gives, which has other names for aliases, and computed fields besides
        dumped = model.model_json_schema(mode="serialization", by_alias=False)
    except PydanticUserError as e:
        msg = f"structured output: {model.__name__} has no JSON schema: {e.message}"
        raise DefinitionError(msg) from e
    if schema.get("type") != "object":
        msg = (
            f"structured output: {model.__name__} is {_short_repr(schema.get('type', 'a union'))}, but the API answers with "
            "objects only; wrap it in a model that has it as a field"
        )
        raise DefinitionError(msg)
    form = {"name": _valid_name(model.__name__), "schema": schema, "strict": is_strict(schema)}
    return ResponseFormat(
        *_api_forms(form), schema, shape_of(dumped), lambda text: _validate_by_model(text, model)
    )


def _format_from_schema(form: dict[str, Any]) -> ResponseFormat:
    """The response format for a schema that is sent as it is."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError, best_match
    from referencing import Registry

    schema, name = form["schema"], form["name"]
    if not isinstance(name, str) or not _API_NAME.fullmatch(name):
        msg = (
            f"structured output: got the name {_short_repr(name)}, allowed: 1 to 64 of a-z, A-Z, 0-9, _ and -"
        )
        raise DefinitionError(msg)
    if not schema.keys() & {"type", "properties", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"}:
        msg = f"structured output: got a dict with {_short_repr(list(schema))}, allowed: {_ALLOWED}"
        raise DefinitionError(msg)
    try:
        Draft202012Validator.check_schema(schema)
        for ref in references(schema):
            resolve_ref(schema, ref)
    except SchemaError as e:
        msg = f"structured output: the schema is wrong at {_json_path(e.absolute_path) or 'its root'}: {_truncate(e.message, 200)}"
        raise DefinitionError(msg) from e
    validator = Draft202012Validator(schema, registry=Registry())  # an empty registry fetches nothing

    def check(text: str) -> Any:
        value = _parse_json(text)
        try:
            error = best_match(validator.iter_errors(value))
        except (RecursionError, re.error) as e:
            msg = f"the schema cannot be applied: {e}"
            raise ValueError(msg) from e
        if error is not None:
            raise ValueError(_schema_fault(error))
        return value

    return ResponseFormat(*_api_forms(form), schema, shape_of(schema), check)


def _api_forms(form: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"type": "json_schema", "json_schema": form}, {"type": "json_schema", **form}


def _schema_name(schema: Schema) -> str:
    return _valid_name(str(schema.get("title", "")))


def _valid_name(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", name).strip("_")[:64] or "answer"


def shape_of(schema: Schema) -> Schema:
    """The shape of a schema's values: `type`, `properties` and `items` without references and nulls.

    References are followed six deep; deeper values are `{}`, as are those of several types.
    """
    known: dict[tuple[str, int], Schema] = {}

    def shape(node: Any, depth: int) -> Schema:
        if not isinstance(node, Mapping):
            return {}
        ref = node.get("$ref")
        if isinstance(ref, str):
            if depth and (ref, depth) not in known:
                known[ref, depth] = shape(resolve_ref(schema, ref), depth - 1)
            return known.get((ref, depth), {})
        narrowed: dict[str, Any] = {}
        for union in ("anyOf", "oneOf", "allOf"):
            kinds = [shape(inner, depth) for inner in node.get(union, ()) if not _is_null(inner)]
            if kinds and all(kind == kinds[0] for kind in kinds):
                narrowed |= kinds[0]
        types = set(types_of(node)) - {"null"}
        if len(types) == 1:
            narrowed["type"] = types.pop()
        if "properties" in node:
            narrowed["properties"] = {name: shape(inner, depth) for name, inner in node["properties"].items()}
        for key in ("items", "additionalProperties"):
            if isinstance(node.get(key), Mapping):
                narrowed[key] = shape(node[key], depth)
        return narrowed

    return shape(schema, _SHAPE_DEPTH)


def _is_null(node: object) -> bool:
    return isinstance(node, Mapping) and node.get("type") == "null"


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_parse_finite)
    except (ValueError, RecursionError) as e:
        msg = f"it is not JSON ({e}): got {_short_repr(text)}"
        raise ValueError(msg) from e


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no number of JSON"
    raise ValueError(msg)


def _parse_finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_constant(_truncate(text, 20))


def _parse_json_object(text: str) -> dict[str, Any]:
    value = _parse_json(text)
    if not isinstance(value, dict):
        msg = f"got {_short_repr(value)}, allowed: a JSON object"
        raise ValueError(msg)
    return value


def _validate_by_model(text: str, model: type[pydantic.BaseModel]) -> Any:
    from pydantic import ValidationError

    _parse_json(text)  # pydantic takes NaN for JSON
    try:
        return model.model_validate_json(text).model_dump(mode="json", by_alias=False)
    except ValidationError as e:
        raise ValueError(validation_faults(e)) from e
    except Exception as e:  # a user's validator or serializer may raise anything
        msg = f"{model.__name__}: {type(e).__name__}: {_truncate(str(e), 80)}"
        raise ValueError(msg) from e


def validation_faults(error: pydantic.ValidationError) -> str:
    """The first three faults that pydantic found, each with its path."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    texts = [
        f"{_truncate(_json_path(f['loc']), 80)}: {_truncate(f['msg'], 80)}".removeprefix(": ")
        for f in found[:3]
    ]
    return "; ".join(texts) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")


def _schema_fault(error: jsonschema.ValidationError) -> str:
    place = _truncate(_json_path(error.absolute_path), 80) or "the whole"
    got, asked = cast(Any, error.instance), cast(Any, error.validator_value)
    if error.validator == "required":
        return f"{place}: {', '.join(name for name in asked if name not in got)} is missing"
    if error.validator == "additionalProperties" and asked is False and isinstance(error.schema, Mapping):
        extra = [name for name in got if name not in error.schema.get("properties", {})]
        return f"{place}: got {_short_repr(extra)}, which the schema does not have"
    return f"{place}: got {_short_repr(got)}, the schema asks for {error.validator} {_short_repr(asked)}"


def _json_path(steps: Iterable[str | int]) -> str:
    """A path in a JSON value: `items[0].name`, "" for the whole."""
    return "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).removeprefix(".")


def _short_repr(value: object) -> str:
    return _truncate(repr(value), 60)


def _truncate(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"
