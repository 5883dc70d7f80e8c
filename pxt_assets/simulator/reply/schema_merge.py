"""JSON schemas, flattened: `$ref` followed, `allOf` merged, and how deep the smallest instance nests."""

import math
from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any] | bool

_LARGER_WINS = frozenset(
    {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "uniqueItems"}
)
_SMALLER_WINS = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
_BOTH_HOLD = frozenset({"items", "additionalProperties", "propertyNames"})
_NEVER_BOTH = frozenset({"pattern", "format", "multipleOf", "prefixItems"})
"""Keywords of which two different values are not combined."""


class NoInstanceError(Exception):
    """No (finite) value conforms to the schema, or none that can be found."""


def resolve_ref(root: Schema, ref: str) -> Schema:
    """The schema that a `$ref` such as "#/$defs/Node" names in `root`. Raises NoInstanceError if none."""
    node: Any = root
    if not ref.startswith("#"):
        raise NoInstanceError(f"only references into the schema itself are followed, got {ref!r}")
    for step in ref[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, dict) and name in node:
            node = node[name]
        else:
            raise NoInstanceError(f"the reference {ref!r} leads nowhere")
    if not isinstance(node, dict | bool):
        raise NoInstanceError(f"the reference {ref!r} leads to no schema")
    return node


def merge_schemas(first: Schema, second: Schema) -> Schema:
    """A schema that allows what both allow; combinators that collide are moved to `allOf`."""
    if isinstance(first, bool) or isinstance(second, bool):
        if first is False or second is False:
            return False
        return second if first is True else first
    merged = dict(first)
    for key, value in second.items():
        if key in merged and merged[key] != value:
            _combine(merged, key, value)
        else:
            merged[key] = value
    for closed, other in ((first, second), (second, first)):
        if closed.get("additionalProperties") is False and "patternProperties" not in closed:
            excluded = (other.get("properties") or {}).keys() - (closed.get("properties") or {}).keys()
            if excluded:
                merged["properties"] = {**merged["properties"], **dict.fromkeys(excluded, False)}
    return merged


def _combine(merged: dict[str, Any], key: str, value: Any) -> None:
    own = merged[key]
    if key in _LARGER_WINS:
        merged[key] = max(own, value)
    elif key in _SMALLER_WINS:
        merged[key] = min(own, value)
    elif key == "type":
        merged[key] = _common_types(own, value)
    elif key == "enum":
        merged[key] = [item for item in own if item in value]
    elif key in _NEVER_BOTH:
        raise NoInstanceError(f"two different values of {key!r} are not combined")
    elif key == "const":
        merged["enum"] = []
    elif key == "required":
        merged[key] = [*own, *(name for name in value if name not in own)]
    elif key == "allOf":
        merged[key] = [*own, *value]
    elif key in ("properties", "patternProperties"):
        merged[key] = {**own, **value}
        for name in own.keys() & value.keys():
            merged[key][name] = {"allOf": [own[name], value[name]]}
    elif key in _BOTH_HOLD:
        merged[key] = False if own is False or value is False else {"allOf": [own, value]}
    elif key in ("$ref", "anyOf", "oneOf"):
        merged["allOf"] = [*merged.get("allOf", []), {key: value}]


def _common_types(first: Any, second: Any) -> list[str]:
    ours = [first] if isinstance(first, str) else list(first)
    theirs = [second] if isinstance(second, str) else list(second)
    common = [name for name in ours if name in theirs]
    if "integer" not in common and (
        ("integer" in ours and "number" in theirs) or ("number" in ours and "integer" in theirs)
    ):
        common.append("integer")
    return common


class SchemaDepths:
    """How many levels of containers the smallest instance of a schema needs; infinite if it has none.

    With it a recursive schema ends: taking the branch of the least depth goes down one level at a time.
    """

    def __init__(self, root: Schema) -> None:
        """Raises NoInstanceError for a reference in `root` that leads to no schema in it."""
        targets = {ref: resolve_ref(root, ref) for ref in _iterate_refs(root)}
        # References may be circular: start from "none has an instance" and repeat until nothing changes.
        self._ref_depths: dict[str, float] = {}
        for _ in range(len(targets) + 1):
            depths = {ref: self.depth(target) for ref, target in targets.items()}
            if depths == self._ref_depths:
                break
            self._ref_depths = depths

    def depth(self, schema: Schema) -> float:
        """The depth of `schema`: 0 for a scalar or an empty container."""
        if isinstance(schema, bool):
            return 0 if schema else math.inf
        if "const" in schema or schema.get("enum"):
            return 0
        depths = [self._container_depth(schema)]
        if "$ref" in schema:
            depths.append(self._ref_depths.get(schema["$ref"], math.inf))
        depths.extend(map(self.depth, schema.get("allOf") or ()))
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                depths.append(min(map(self.depth, schema[keyword]), default=math.inf))
        return max(depths)

    def _container_depth(self, schema: dict[str, Any]) -> float:
        kinds = schema.get("type", ())
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        if kinds - {"object", "array"}:
            return 0
        inner: list[float] = []
        if schema.get("minItems", 0) and "object" not in kinds:
            inner = [self.depth(schema.get("items", True)), *map(self.depth, schema.get("prefixItems") or ())]
        elif "array" not in kinds:
            properties = schema.get("properties") or {}
            extra = schema.get("additionalProperties", True)
            inner = [self.depth(properties.get(name, extra)) for name in schema.get("required") or ()]
        return 1 + max(inner) if inner else 0


def _iterate_refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _iterate_refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _iterate_refs(value)
