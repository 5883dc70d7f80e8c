"""JSON schemas in the API's strict form: checking a schema against it, and converting one to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from pxt_assets.errors import DefinitionError

Schema = Mapping[str, Any]

_MAPS_OF_SCHEMAS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE_SCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_DEFINITION_KEYWORDS = ("$defs", "definitions")

_DROPPED_KEYWORDS = ("default", "examples", "deprecated", "readOnly", "writeOnly")
"""Keywords that the strict form does not have, and that an answer does not depend on."""
_DESCRIBED_KEYWORDS = ("minLength", "maxLength", "uniqueItems", "minProperties", "maxProperties")
"""Keywords that the strict form cannot enforce: they are written into the description for the model."""
_ALLOWED_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_LOOKAROUND = re.compile(r"\(\?<?[=!]")
_ALLOWED_KEYWORDS = frozenset(
    {
        "$defs",
        "$ref",
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "definitions",
        "description",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "items",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "multipleOf",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
    }
)
"""Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas"""

_TYPE_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def is_strict(schema: Schema) -> bool:
    """Whether a schema fulfils the API's rules for `strict: true`, except those on its size.

    An object at its root that is no union; all objects closed, with all their properties required; a type everywhere;
    and no keyword that the API does not know.
    """
    if schema.get("type") != "object" or "anyOf" in schema:
        return False
    return all(_is_strict_node(node) for node in subschemas(schema))


def _is_strict_node(node: Schema) -> bool:
    if "$ref" in node:
        return len(node) == 1 and str(node["$ref"]).startswith("#")
    if not node.keys() <= _ALLOWED_KEYWORDS or ("type" not in node and "anyOf" not in node):
        return False
    if any(_belongs_in_description(key, value) for key, value in node.items()):
        return False
    types = node.get("type", ())
    if "array" in types and "items" not in node:
        return False
    if "object" in types or "properties" in node:
        properties, required = node.get("properties", {}), node.get("required", ())
        if node.get("additionalProperties") is not False or set(required) != set(properties):
            return False
    return all(isinstance(inner, Mapping) or inner is False for inner in _direct_subschemas(node))


def strict_form(schema: Schema) -> dict[str, Any]:
    """A pydantic model's schema in the API's strict form, as far as that can express it."""
    return rewrite_schemas(schema, _strict_node)


def _strict_node(node: dict[str, Any]) -> dict[str, Any]:
    node = normalize(node)
    if "properties" in node:
        node["required"] = list(node["properties"])
    noted = {key: value for key, value in node.items() if _belongs_in_description(key, value)}
    if noted:
        notes = ", ".join(f"{key}: {value}" for key, value in noted.items())
        node["description"] = f"{node.get('description', '')} ({notes})".strip()
    return {key: value for key, value in node.items() if key not in noted and key not in _DROPPED_KEYWORDS}


def _belongs_in_description(key: str, value: Any) -> bool:
    if key == "pattern":  # pydantic's for Decimal looks around
        return bool(_LOOKAROUND.search(value))
    return value not in _ALLOWED_FORMATS if key == "format" else key in _DESCRIBED_KEYWORDS


def normalize(node: dict[str, Any]) -> dict[str, Any]:
    """A pydantic schema as the API prefers it: closed by default, enums with a type, `anyOf` in place of `oneOf`."""
    if "properties" in node:
        node.setdefault("additionalProperties", False)
    if "type" not in node and node.get("enum"):
        types = types_of(node)
        node["type"] = types[0] if len(types) == 1 else types
    if "oneOf" in node and "anyOf" not in node:
        node = {"anyOf" if key == "oneOf" else key: value for key, value in node.items()}
        node.pop("discriminator", None)
    return node


def types_of(node: Schema) -> list[str]:
    """The types that a schema allows, by its `type`, `enum` or `const`; [] if it has none of these."""
    if "type" in node:
        return [node["type"]] if isinstance(node["type"], str) else list(node["type"])
    values = node["enum"] if "enum" in node else [node["const"]] if "const" in node else []
    return list(dict.fromkeys(_TYPE_NAMES.get(type(value), "object") for value in values))


def rewrite_schemas(schema: Schema, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The schema with `change` applied to it and to each subschema, and with nothing beside any `$ref`.

    Keywords beside a `$ref` are merged into a copy of what it refers to, since the API refuses them there.
    """

    def walk(node: Any, inside: tuple[str, ...]) -> Any:
        if not isinstance(node, Mapping):  # true or false
            return node
        while "$ref" in node and len(node) > 1:
            ref = node["$ref"]
            if ref in inside:  # a recursive schema: copying would never end
                return {"$ref": ref}
            inside = (*inside, ref)
            node = {
                **resolve_ref(schema, ref),
                **{key: value for key, value in node.items() if key != "$ref"},
            }
        node = change(dict(node))
        for key, value in node.items():
            if key in _MAPS_OF_SCHEMAS:
                node[key] = {name: walk(inner, inside) for name, inner in value.items()}
            elif key in _LISTS_OF_SCHEMAS:
                node[key] = [walk(inner, inside) for inner in value]
            elif key in _SINGLE_SCHEMAS:
                node[key] = walk(value, inside)
        return node

    return _without_unused_definitions(walk(schema, ()))


def _without_unused_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without definitions that nothing refers to."""
    used: set[str] = set()
    found = references({key: value for key, value in schema.items() if key not in _DEFINITION_KEYWORDS})
    while found:
        ref = found.pop()
        if ref not in used:
            used.add(ref)
            found += references(resolve_ref(schema, ref))
    kept = {tuple(_ref_keys(ref)[:2]) for ref in used}
    trimmed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _DEFINITION_KEYWORDS:
            named = {name: inner for name, inner in value.items() if (key, name) in kept}
            trimmed |= {key: named} if named else {}
        else:
            trimmed[key] = value
    return trimmed


def subschemas(schema: object) -> Iterator[Schema]:
    """A schema and all its subschemas, at any depth."""
    if isinstance(schema, Mapping):
        yield schema
        for inner in _direct_subschemas(schema):
            yield from subschemas(inner)


def _direct_subschemas(node: Schema) -> Iterator[object]:
    for key, value in node.items():
        if key in _MAPS_OF_SCHEMAS and isinstance(value, Mapping):
            yield from value.values()
        elif key in _LISTS_OF_SCHEMAS and isinstance(value, list):
            yield from value
        elif key in _SINGLE_SCHEMAS:
            yield value


def references(schema: Schema) -> list[str]:
    """The `$ref`s of a schema and its subschemas."""
    return [node["$ref"] for node in subschemas(schema) if "$ref" in node]


def resolve_ref(schema: Schema, ref: str) -> Schema:
    """The schema that a `$ref` refers to, `{}` if it is not a dict. Raises DefinitionError if there is none."""
    found: Any = schema
    try:
        for key in _ref_keys(ref):
            found = found[int(key)] if isinstance(found, list) else found[key]
    except (KeyError, IndexError, TypeError, ValueError) as e:
        msg = f"JSON schema: got $ref {ref!r}, allowed: what the schema itself holds, such as #/$defs/Name"
        raise DefinitionError(msg) from e
    return found if isinstance(found, Mapping) else {}


def _ref_keys(ref: str) -> list[str]:
    """The keys of a `$ref`'s path. Raises ValueError for one to another document."""
    if ref != "#" and not ref.startswith("#/"):
        raise ValueError(ref)
    return [unquote(step).replace("~1", "/").replace("~0", "~") for step in ref.split("/")[1:]]
