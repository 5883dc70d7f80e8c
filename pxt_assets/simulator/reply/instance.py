"""A valid instance of a JSON schema, built from a text.

The same schema and text give the same instance, on every machine. Free strings are phrases of the text, an
enum takes the one value that the text names, numbers are those of the text where they fit; the rest is
drawn from a hash of the text. Covered is what the API's structured outputs allow, and the rest of the
common keywords: type (lists too), enum, const, anyOf, oneOf, allOf, $ref (recursive ones too), bounds,
lengths, multipleOf, format, pattern, items, prefixItems, uniqueItems, properties, required,
additionalProperties. `oneOf` is read as `anyOf`; `not`, `if`, `contains` and `dependentRequired` are ignored.
"""

import json
import math
import re
from fractions import Fraction
from functools import partial
from hashlib import blake2b
from typing import Any

from pxt_assets.simulator.reply.extract import words
from pxt_assets.simulator.reply.formats import string_of_format
from pxt_assets.simulator.reply.regex import string_matching
from pxt_assets.simulator.reply.schema_merge import (
    NoInstanceError,
    Schema,
    SchemaDepths,
    merge_schemas,
    resolve_ref,
)

_DEEPEST = 6
"""Levels of containers below which only required values are built."""
_MOST_NODES = 300
"""Number of values after which only required values are built."""
_TOO_MANY_NODES = 20_000
"""Number of values after which a schema is refused: it demands more than any answer holds."""
_LONGEST = 100_000
"""Characters that a `minLength` may demand."""
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,6})?")
_SCALARS = ("null", "boolean", "integer", "number", "string")


def make_instance(schema: Schema, text: str, salt: int = 0) -> Any:
    """A JSON value that conforms to `schema`; another `salt` draws another one.

    Raises NoInstanceError where no value conforms, as with a schema that requires itself.
    """
    builder = _InstanceBuilder(schema, text, salt)
    if math.isinf(builder.depths.depth(schema)):
        raise NoInstanceError("the schema has no finite instance")
    return builder.make(schema, "$", 0)


class _InstanceBuilder:
    def __init__(self, root: Schema, text: str, salt: int) -> None:
        self.root = root
        self.depths = SchemaDepths(root)
        self.words = words(text) or ["simulated"]
        self.lower_text = text[:8000].lower()
        self.numbers = [float(number) for number in _NUMBER.findall(text[:8000])]
        self.key = blake2b(f"{salt}:{text}".encode(errors="replace"), digest_size=16).digest()
        self.nodes = 0
        self.draw_count = 0

    def draw(self, path: str, below: int) -> int:
        """A number from 0 to `below` - 1 that depends on the text and the path in the instance."""
        digest = blake2b(path.encode(errors="replace"), key=self.key, digest_size=8).digest()
        return int.from_bytes(digest, "big") % below

    def make(self, schema: Schema, path: str, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > _TOO_MANY_NODES:
            raise NoInstanceError(f"its instances hold more than {_TOO_MANY_NODES} values")
        minimal = depth >= _DEEPEST or self.nodes > _MOST_NODES
        flat = self._flatten(schema, path, minimal)
        if isinstance(flat, bool):
            return self._phrase(path)
        kinds = _kinds(flat)
        values = [flat["const"]] if "const" in flat else flat.get("enum")
        if values is not None:
            return self._choose_value([v for v in values if _conforms(v, flat, kinds)], path)
        kind = self._choose_kind(kinds, flat, path, minimal)
        if kind == "array":
            return self._array(flat, path, depth, minimal)
        if kind == "object":
            return self._object(flat, path, depth, minimal)
        return self._scalar(kind, flat, path)

    def _scalar(self, kind: str, schema: dict[str, Any], path: str) -> Any:
        if kind == "string":
            return self._string(schema, path)
        if kind == "boolean":
            return self.draw(path, 2) == 1
        return None if kind == "null" else self._number(schema, path, whole=kind == "integer")

    def _flatten(self, schema: Schema, path: str, minimal: bool) -> Schema:
        """`schema` without references and combinators, one alternative chosen of each."""
        for _ in range(1000):
            if schema is False:
                raise NoInstanceError(f"nothing is allowed at {path}")
            if schema is True:
                return schema
            rest = dict(schema)
            if "$ref" in rest:
                schema = (
                    merge_schemas(rest, resolve_ref(self.root, rest.pop("$ref")))
                    if len(rest) > 1
                    else resolve_ref(self.root, rest["$ref"])
                )
            elif "anyOf" in rest or "oneOf" in rest:
                branches = rest.pop("anyOf") if "anyOf" in rest else rest.pop("oneOf")
                schema = merge_schemas(rest, self._choose_branch(branches, path, minimal))
            elif "allOf" in rest:
                schema = True
                for part in rest.pop("allOf"):
                    schema = merge_schemas(schema, part)
                schema = merge_schemas(rest, schema)
            else:
                return rest
        raise NoInstanceError(f"the references at {path} go round in circles")

    def _choose_branch(self, branches: list[Schema], path: str, minimal: bool) -> Schema:
        depths = [self.depths.depth(branch) for branch in branches]
        lowest = min(depths, default=math.inf)
        if math.isinf(lowest):
            raise NoInstanceError(f"none of the alternatives at {path} has a finite instance")
        if minimal:
            return branches[depths.index(lowest)]
        possible = [b for b, depth in zip(branches, depths, strict=True) if not math.isinf(depth)]
        # Optional values are written as "or null": a value shows more than a null does.
        informative = [
            b for b in possible if not (isinstance(b, dict) and b.get("type") == "null")
        ] or possible
        return informative[self.draw(f"{path}|", len(informative))]

    def _choose_value(self, values: list[Any], path: str) -> Any:
        if not values:
            raise NoInstanceError(f"no value of the enum is allowed at {path}")
        named = [v for v in values if isinstance(v, str) and len(v) > 1 and v.lower() in self.lower_text]
        # A prompt that lists all labels singles out none of them.
        return named[0] if len(named) == 1 else values[self.draw(path, len(values))]

    def _choose_kind(self, kinds: list[str], schema: dict[str, Any], path: str, minimal: bool) -> str:
        if not kinds:
            raise NoInstanceError(f"the types at {path} exclude each other")
        if minimal or math.isinf(self.depths.depth({**schema, "type": kinds[0]})):
            scalars = [kind for kind in kinds if kind in _SCALARS]
            return (
                scalars[0] if scalars else min(kinds, key=lambda k: self.depths.depth({**schema, "type": k}))
            )
        informative = [kind for kind in kinds if kind != "null"] or kinds
        return informative[self.draw(f"{path}:", len(informative))]

    def _number(self, schema: dict[str, Any], path: str, *, whole: bool) -> int | float:
        step = schema.get("multipleOf") or (1 if whole else None)
        if step is not None:
            return self._multiple(_exact(step), schema, path, whole=whole)
        low, high, open_low, open_high = _bounds(schema)
        if low > high or (low == high and (open_low or open_high)):
            raise NoInstanceError(f"no number lies within the bounds at {path}")
        inside = [n for n in self.numbers if low < n < high]
        if inside:
            return inside[self.draw(path, len(inside))]
        exact = low + (high - low) * (1 + self.draw(path, 98)) / 100
        rounded = round(exact, 4)
        return rounded if low < rounded < high else exact

    def _multiple(self, step: Fraction, schema: dict[str, Any], path: str, *, whole: bool) -> int | float:
        if whole:
            step = Fraction(step.numerator)  # the whole multiples of 3/2 are those of 3
        low, high, open_low, open_high = _bounds(schema)
        lowest, highest = _exact(low) / step, _exact(high) / step
        first = math.floor(lowest) + 1 if open_low else math.ceil(lowest)
        last = math.ceil(highest) - 1 if open_high else math.floor(highest)
        if first > last:
            raise NoInstanceError(f"no multiple of {step} lies within the bounds at {path}")
        multiples = [_exact(number) / step for number in self.numbers]
        fitting = [n.numerator for n in multiples if n.denominator == 1 and first <= n <= last]
        if fitting:
            multiple = fitting[self.draw(path, len(fitting))]
        else:
            multiple = first + self.draw(path, min(last - first, 10**9) + 1)
        product = multiple * step
        return product.numerator if product.denominator == 1 else float(product)

    def _string(self, schema: dict[str, Any], path: str) -> str:
        shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
        if longest is not None and shortest > longest:
            raise NoInstanceError(f"minLength {shortest} exceeds maxLength {longest} at {path}")
        if shortest > _LONGEST:
            raise NoInstanceError(f"minLength {shortest} exceeds {_LONGEST} at {path}")
        draw = partial(self._next_draw, path)
        if isinstance(schema.get("pattern"), str):
            made = string_matching(schema["pattern"], shortest, longest, draw)
            if made is None:
                raise NoInstanceError(f"no string found for the pattern {schema['pattern']!r} at {path}")
            return made
        if isinstance(schema.get("format"), str):
            # Where a word of the text makes it too long, one letter may do.
            for words_of in (self.words, ["a"]):
                made = string_of_format(schema["format"], words_of, draw)
                if made is None:
                    break
                if shortest <= len(made) and (longest is None or len(made) <= longest):
                    return made
            else:
                raise NoInstanceError(f"no {schema['format']} found within the lengths at {path}")
        phrase = self._phrase(path)
        if len(phrase) < shortest:
            phrase = f"{phrase} " * (shortest // (len(phrase) + 1) + 1)
        return phrase if longest is None else phrase[:longest]

    def _next_draw(self, path: str, below: int) -> int:
        self.draw_count += 1
        return self.draw(f"{path}#{self.draw_count}", below)

    def _phrase(self, path: str) -> str:
        """One to five consecutive words of the text."""
        start = self.draw(path, len(self.words))
        return " ".join(self.words[start : start + 1 + self.draw(f"{path}#", 5)])

    def _array(self, schema: dict[str, Any], path: str, depth: int, minimal: bool) -> list[Any]:
        prefix, items = schema.get("prefixItems") or [], schema.get("items", True)
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        if least > most:
            raise NoInstanceError(f"minItems {least} exceeds maxItems {most} at {path}")
        count = least if minimal else max(least, len(prefix) or 1 + self.draw(path, 3))
        if math.isinf(self.depths.depth(items)):
            most = min(most, len(prefix))
        if any(math.isinf(self.depths.depth(part)) for part in prefix):
            most = least
        count = max(least, int(min(count, most)))
        made: list[Any] = []
        seen: set[str] = set()
        for attempt in range(count * (50 if schema.get("uniqueItems") else 1)):
            if len(made) == count:
                break
            part = prefix[len(made)] if len(made) < len(prefix) else items
            value = self.make(part, f"{path}[{attempt}]", depth + 1)
            if schema.get("uniqueItems"):
                written = json.dumps(value, sort_keys=True)
                if written in seen:
                    continue
                seen.add(written)
            made.append(value)
        if len(made) < least:
            raise NoInstanceError(f"there are no {least} different items at {path}")
        return made

    def _object(self, schema: dict[str, Any], path: str, depth: int, minimal: bool) -> dict[str, Any]:
        properties, required = schema.get("properties") or {}, schema.get("required") or []
        extra = schema.get("additionalProperties", True)
        names = [name for name in properties if name in required]
        names += [name for name in required if name not in properties]
        if not minimal:
            room = schema.get("maxProperties", math.inf) - len(names)
            optional = [
                n
                for n in properties
                if n not in required and not math.isinf(self.depths.depth(properties[n]))
            ]
            kept = {*names, *optional[: int(min(room, len(optional)))]}
            names = [*(n for n in properties if n in kept), *(n for n in names if n not in properties)]
        least = schema.get("minProperties", 0)
        if (
            isinstance(extra, dict)
            and not properties
            and not minimal
            and not math.isinf(self.depths.depth(extra))
        ):
            least = max(least, min(2, schema.get("maxProperties", 2)))
        for attempt in range(20 * least):
            if len(names) >= least or extra is False:
                break
            name = self.make(schema.get("propertyNames", True), f"{path}.{attempt}?", depth + 1)
            if isinstance(name, str) and name not in names:
                names.append(name)
        return {name: self.make(properties.get(name, extra), f"{path}.{name}", depth + 1) for name in names}


def _kinds(schema: dict[str, Any]) -> list[str]:
    """The types that `schema` allows; where it says nothing, the one that its keywords are about."""
    if "type" in schema:
        kinds = schema["type"]
        return [kinds] if isinstance(kinds, str) else list(kinds)
    for kind, keywords in (
        ("object", ("properties", "required", "additionalProperties", "minProperties", "patternProperties")),
        ("array", ("items", "prefixItems", "minItems", "maxItems", "uniqueItems")),
        ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    ):
        if any(keyword in schema for keyword in keywords):
            return [kind]
    return ["string"]


def _exact(number: float) -> Fraction:
    """The number as it is written: 0.1 is a tenth, though no float is."""
    return Fraction(str(number))


def _conforms(value: Any, schema: dict[str, Any], kinds: list[str]) -> bool:
    """Whether a value of an enum or a const is of one of the types and, for a const, in the enum too."""
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "type" not in schema:
        return True
    if isinstance(value, bool):
        return "boolean" in kinds
    if isinstance(value, int | float):
        return "number" in kinds or ("integer" in kinds and value == int(value))
    names = {type(None): "null", str: "string", list: "array", dict: "object"}
    return names[type(value)] in kinds


def _bounds(schema: dict[str, Any]) -> tuple[float, float, bool, bool]:
    """Lowest and highest number, and whether each is itself excluded; 0 to 100 where nothing is said."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    open_low = above is not None and (low is None or above >= low)
    open_high = below is not None and (high is None or below <= high)
    low, high = above if open_low else low, below if open_high else high
    span = max(100, 2 * (schema.get("multipleOf") or 0))
    if low is None:
        low = 0 if high is None or high > 0 else high - span
    if high is None:
        high = low + span
    return low, high, open_low, open_high
