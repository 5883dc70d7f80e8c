"""Requests held against the API's own description.

`openai-2.3.0-subset.json` is OpenAI's official OpenAPI 3.1 description (title "OpenAI API", version 2.3.0, MIT
license; https://github.com/openai/openai-openapi), cut down to the paths that matter here and without its prose.
The validation is jsonschema's; here the description is only made as strict as requests should be held against it:

- An object has no fields but those that the description names, whether or not it says `additionalProperties: false`.
- `oneOf` is read as `anyOf`: its branches overlap (a message of the Responses API is both an `EasyInputMessage` and
  an `InputMessage`), and a server takes whatever fits one.
- `nullable: true`, which OpenAPI 3.1 no longer has, adds null.
- A file (`format: binary`) has a name with an extension, a content type of its kind, and a content.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from tests.scripted_server import Asked, Uploaded

DESCRIPTION = Path(__file__).with_name("openai-2.3.0-subset.json")
BASE_PATH = "/v1"
"""Below which the paths of the description stand."""

Schema = Mapping[str, Any]

_FILE = {"$ref": "#/components/schemas/$file"}
_SAYS_FIELDS = {"$ref", "allOf", "anyOf", "properties"}
_FIELD = re.compile(r"(?P<name>\w+)(?P<within>\[(?P<key>\w*)\])?")
"""A form's field: `model`; `include[]`, an item of an array; `chunking_strategy[type]`, a field of an object."""

_formats = FormatChecker(formats=())


@_formats.checks("uri")
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or re.fullmatch(r"[a-z][a-z0-9+.-]*:\S+", value) is not None


def problems(asked: Asked) -> list[str]:
    """What is wrong with a request by the description, an entry for each fault; none if it conforms."""
    path, _, query = asked.path.partition("?")
    methods = (
        _description()["paths"].get(path.removeprefix(BASE_PATH)) if path.startswith(BASE_PATH) else None
    )
    if methods is None:
        return [f"path: got {path}, which the API does not have"]
    operation = methods.get(asked.method.lower())
    if operation is None:
        return [f"method: got {asked.method} {path}, allowed: {', '.join(methods)}"]
    if query:
        return [f"query: got {query}, allowed: none"]
    contents = operation.get("requestBody", {"content": {}})["content"]
    content_type = asked.headers.get("content-type", "").partition(";")[0]
    if content_type not in contents:
        return [f"content type: got {content_type!r}, allowed: {', '.join(contents)}"]
    schema = contents[content_type]["schema"]
    body = dict(asked.body) if content_type == "application/json" else _of_form(schema, asked.body)
    found = list(_validator(schema["$ref"], path.split("/")[2]).iter_errors(body))
    # Where an object has another fault, none of its fields count as known.
    found = [error for error in found if error.validator != "unevaluatedProperties"] or found
    return [_message(error) for error in found]


def fields(path: str) -> set[str]:
    """The fields of what is posted to a path."""
    content = next(iter(_description()["paths"][path]["post"]["requestBody"]["content"].values()))
    return {name for part in _parts(content["schema"]) for name in part.get("properties", ())}


def _message(error: ValidationError) -> str:
    """What is wrong, of each branch of the description that might have fitted."""
    return " | ".join(f"{leaf.json_path}: {leaf.message[:300]}" for leaf in _leaves(error))


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    if not error.context:
        yield error
    for inner in error.context or ():
        yield from _leaves(inner)


@cache
def _description() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DESCRIPTION.read_text())
    schemas = document["components"]["schemas"]
    return {**document, "components": {name: _closed(schema) for name, schema in schemas.items()}}


@cache
def _validator(ref: str, family: str) -> Draft202012Validator:
    """The validator of one body; `family` is the first step of its path, `audio` or `images` for those with files."""
    file = {
        "type": "object",
        "required": ["filename", "content_type", "bytes"],
        "properties": {
            "filename": {"type": "string", "pattern": r"^[^/\\.]+\.[a-z0-9]+$"},
            "content_type": {"type": "string", "pattern": f"^{family.removesuffix('s')}/[a-z0-9.+-]+$"},
            "bytes": {"type": "integer", "minimum": 1},
        },
    }
    root = {
        **_place({"$ref": ref}),
        "components": {"schemas": {**_description()["components"], "$file": file}},
    }
    return Draft202012Validator(root, format_checker=_formats)


def _place(schema: Schema) -> Schema:
    """All that is said of a value, closed: its fields are those that any part that fits it names."""
    closed = _closed(schema)
    return {**closed, "unevaluatedProperties": False} if closed.keys() & _SAYS_FIELDS else closed


def _closed(schema: Schema) -> Schema:
    """A part of what is said of a value: as it is, but with every value inside closed."""
    if schema.get("format") == "binary":
        return _FILE
    closed: dict[str, Any] = {}
    for keyword, said in schema.items():
        if keyword == "properties":
            closed[keyword] = {name: _place(inner) for name, inner in said.items()}
        elif keyword in ("items", "additionalProperties") and isinstance(said, Mapping):
            closed[keyword] = _place(said)
        elif keyword in ("allOf", "anyOf", "oneOf"):
            closed["anyOf" if keyword == "oneOf" else keyword] = [_closed(part) for part in said]
        elif keyword != "nullable":
            closed[keyword] = said
    return {"anyOf": [closed, {"type": "null"}]} if schema.get("nullable") else closed


def _of_form(schema: Schema, form: Mapping[str, Any]) -> dict[str, Any]:
    """A form's fields as the JSON that they stand for; what is not of the types described stays text."""
    body: dict[str, Any] = {}
    for field, value in form.items():
        written = _FIELD.fullmatch(field)
        if written is None or not written["within"]:
            body[field] = _of_text(_inside(schema, field), value)
            continue
        name, key = written["name"], written["key"]
        inside = _inside(schema, name)
        if key:
            body.setdefault(name, {})[key] = _of_text(_inside(inside, key), value)
        else:
            items = value if isinstance(value, list) else [value]
            body[name] = [_of_text(_inside(inside, None), item) for item in items]
    return body


def _of_text(schema: Schema, value: Any) -> Any:
    if isinstance(value, Uploaded):
        return {"filename": value.filename, "content_type": value.content_type, "bytes": len(value.content)}
    if {part.get("type") for part in _parts(schema)} & {"boolean", "integer", "number"}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _inside(schema: Schema, name: str | None) -> Schema:
    """What is said of a field of a value, or of its items."""
    if name is None:
        return {"anyOf": [part["items"] for part in _parts(schema) if "items" in part]}
    return {
        "anyOf": [part["properties"][name] for part in _parts(schema) if name in part.get("properties", ())]
    }


def _parts(schema: Schema) -> Iterator[Schema]:
    """The schema, and all that it is made of."""
    yield schema
    referred = schema.get("$ref", "").rpartition("/")[2]
    if referred in _description()["components"]:
        yield from _parts(_description()["components"][referred])
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        yield from _parts(part)
