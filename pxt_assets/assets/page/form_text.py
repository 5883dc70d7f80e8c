"""A JSON schema as a short text for people: `Triage(topic: delivery | defect | question, urgent: bool)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pxt_assets.errors import DefinitionError
from pxt_assets.local.strict_schema import resolve_ref

Schema = Mapping[str, Any]

_TYPE_NAMES = {"string": "str", "boolean": "bool", "integer": "int", "number": "float", "null": "null"}
_MAX_FIELDS, _MAX_CHOICES, _MAX_DEPTH = 12, 8, 3
"""How many fields and choices are named, and how deep in one another objects are shown."""


def form_text(name: str, schema: Schema, *, characters: int = 400) -> str:
    """The object `name` with its fields and their types, in about that many characters.

    Of what would be longer, inner objects are shown by their names alone; what is too long still ends in `…`.
    """
    texts = (f"{name}({_fields_text(schema, schema, depth)})" for depth in range(_MAX_DEPTH, 0, -1))
    text = ""
    for text in texts:
        if len(text) <= characters:
            return text
    return f"{text[: characters - 1]}…"


def _fields_text(node: Schema, root: Schema, depth: int) -> str:
    """The fields of an object, with `depth` objects in one another."""
    properties = node.get("properties")
    if not isinstance(properties, Mapping):
        return _type_text(node, root, depth - 1) if node.keys() & {"$ref", "anyOf", "items"} else ""
    fields = [f"{name}: {_type_text(kind, root, depth - 1)}" for name, kind in properties.items()]
    more = len(fields) - _MAX_FIELDS
    return ", ".join([*fields[:_MAX_FIELDS], *([f"… {more} more"] if more > 0 else [])])


def _type_text(node: object, root: Schema, depth: int) -> str:
    """The type of a value: `str`, `a | b`, `list[int]`, `Address(street: str)`."""
    if not isinstance(node, Mapping):
        return "any"
    ref = node.get("$ref")
    if isinstance(ref, str):
        if depth <= 0:
            return ref.rpartition("/")[2] or "object"
        try:
            inner = resolve_ref(root, ref)
        except DefinitionError:  # the schema of a tool is the API's to check
            return ref.rpartition("/")[2]
        if isinstance(inner, Mapping) and "properties" in inner:
            return f"{ref.rpartition('/')[2]}({_fields_text(inner, root, depth)})"
        return _type_text(inner, root, depth - 1)
    if "const" in node:
        return _value_text(node["const"])
    choices = node.get("enum")
    if isinstance(choices, list):
        return _alternatives([_value_text(choice) for choice in choices])
    for union in ("anyOf", "oneOf", "allOf"):
        if isinstance(node.get(union), list):
            return _alternatives([_type_text(one, root, depth) for one in node[union][: _MAX_CHOICES + 1]])
    kinds = node.get("type")
    names = kinds if isinstance(kinds, list) else [kinds]
    return _alternatives([_named_type(str(name), node, root, depth) for name in names])


def _named_type(name: str, node: Schema, root: Schema, depth: int) -> str:
    if name == "array":
        return f"list[{_type_text(node.get('items'), root, depth)}]" if "items" in node else "list"
    if name == "object":
        if depth <= 0 or "properties" not in node:
            return "object"
        return f"({_fields_text(node, root, depth)})"
    return _TYPE_NAMES.get(name, "any")


def _alternatives(texts: list[str]) -> str:
    distinct = list(dict.fromkeys(texts))
    more = len(distinct) - _MAX_CHOICES
    return " | ".join([*distinct[:_MAX_CHOICES], *([f"… {more} more"] if more > 0 else [])])


def _value_text(value: object) -> str:
    return "null" if value is None else str(value)
