"""Bodies of requests that differ in some of their texts alone: all else of their JSON is written once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from pxt_assets.throttle.cost import CHARACTERS_PER_TOKEN, RequestSize
from pxt_assets.values.json_text import canonical_json, dumps


def new_marks(count: int) -> list[str]:
    """Texts that stand for the texts of a row while a template is made. No constant of it holds one of them."""
    token = secrets.token_hex(16)
    return [f"{token}.{number}." for number in range(count)]


class BodyTemplate:
    """A body with other texts in place of the `marks`, which stand in it in their order, once each.

    `sent` is the same body as it is sent, which may hold what names no cell. `named` gives the digest of a body's canonical JSON, `size_of` the size of a body, in which each letter of the texts
    counts as one. `rest_key` is the key of what can be packed into one request. Raises ValueError for marks that stand
    in another way, TypeError for what is no JSON.
    """

    def __init__(
        self,
        body: Mapping[str, Any],
        marks: Sequence[str],
        *,
        sent: Mapping[str, Any],
        named: Callable[[bytes], bytes],
        size_of: Callable[[Mapping[str, Any]], RequestSize],
        rest_key: bytes,
    ) -> None:
        self._body, self._marks = body, marks
        self._sent = _pattern(dumps(sent), marks)
        self._canonical = _pattern(canonical_json(body), marks)
        self._named, self._size_of = named, size_of
        self._top = {name: marks.index(value) for name, value in body.items() if value in marks}
        self.constants = {name: value for name, value in body.items() if not _holds(value, marks)}
        """The arguments that are the same whatever the texts."""
        self.names = frozenset(body)
        self.model = str(body["model"])
        self.rest_key = rest_key if [*self._top] == ["input"] and len(marks) == 1 else None
        """None where the rest of the body holds texts of the row."""

    def fill(self, texts: tuple[str, ...]) -> FilledBody:
        """The body with these texts. Raises UnicodeEncodeError for lone surrogates."""
        canonical = (self._canonical % tuple(map(dumps, texts))).encode()
        return FilledBody(self, texts, self._named(canonical), len(canonical))

    def payload(self, texts: tuple[str, ...]) -> bytes:
        """The body with these texts as JSON, UTF-8, as it is sent."""
        return (self._sent % tuple(map(dumps, texts))).encode()

    def body(self, texts: tuple[str, ...]) -> Mapping[str, Any]:
        """The body with these texts."""
        filled: Mapping[str, Any] = _replaced(self._body, dict(zip(self._marks, texts, strict=True)))
        return filled

    def position(self, name: str) -> int | None:
        """Which of the texts is the whole of an argument; None if none is."""
        return self._top.get(name)

    def size(self, texts: tuple[str, ...]) -> RequestSize:
        """What the API's limiter may charge for."""
        tokens, rest = divmod(sum(map(len, texts)), CHARACTERS_PER_TOKEN)
        text, outputs, images, tools, low_images = self._sizes[rest]
        return RequestSize(text + tokens, outputs, images, tools, low_images)

    @cached_property
    def _sizes(self) -> list[RequestSize]:
        """The sizes with texts of 0, 1, ... letters, up to those of a token, by which it grows from there."""
        others = ("",) * (len(self._marks) - 1)
        return [self._size_of(self.body(("x" * letters, *others))) for letters in range(CHARACTERS_PER_TOKEN)]


class FilledBody(Mapping[str, Any]):
    """A body that a template and texts make, whose objects are made when somebody looks at them."""

    __slots__ = ("_body", "_size", "_template", "_texts", "digest", "text_bytes")

    def __init__(
        self, template: BodyTemplate, texts: tuple[str, ...], digest: bytes, text_bytes: int
    ) -> None:
        self._template, self._texts = template, texts
        self._body: Mapping[str, Any] | None = None
        self._size: RequestSize | None = None
        self.digest = digest
        """The digest of its request."""
        self.text_bytes = text_bytes
        """Bytes of its JSON, UTF-8."""

    @property
    def payload(self) -> bytes:
        """It as JSON, UTF-8, as it is sent."""
        return self._template.payload(self._texts)

    @property
    def size(self) -> RequestSize:
        """What the API's limiter may charge for."""
        if self._size is None:
            self._size = self._template.size(self._texts)
        return self._size

    @property
    def kind(self) -> tuple[object, RequestSize]:
        """Equal for bodies of one template and one size, of which the same is expected."""
        return self._template, self.size

    @property
    def model(self) -> str:
        """The requested model."""
        return self._template.model

    @property
    def rest_key(self) -> bytes | None:
        """As of its template."""
        return self._template.rest_key

    def __getitem__(self, name: str) -> Any:
        template = self._template
        if name in template.constants:
            return template.constants[name]
        if name not in template.names:
            raise KeyError(name)
        position = template.position(name)
        return self._made[name] if position is None else self._texts[position]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._template.names)

    def __repr__(self) -> str:
        return repr(self._made)

    @property
    def _made(self) -> Mapping[str, Any]:
        if self._body is None:
            self._body = self._template.body(self._texts)
        return self._body


def _pattern(text: str, marks: Sequence[str]) -> str:
    """JSON with a `%s` for the JSON of each marked text."""
    pattern = text.replace("%", "%%")
    places = [pattern.find(f'"{mark}"') for mark in marks]
    if any(pattern.count(mark) != 1 for mark in marks) or min(places) < 0 or places != sorted(places):
        msg = "the texts do not stand in the body as they are, once and in their order"
        raise ValueError(msg)
    for mark in marks:
        pattern = pattern.replace(f'"{mark}"', "%s")
    return pattern


def _holds(value: Any, marks: Sequence[str]) -> bool:
    """Whether any of the marks is in a value."""
    if isinstance(value, str):
        return value in marks
    if isinstance(value, Mapping):
        return any(_holds(inner, marks) for inner in value.values())
    return isinstance(value, list | tuple) and any(_holds(inner, marks) for inner in value)


def _replaced(value: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return texts.get(value, value)
    if isinstance(value, Mapping):
        return {name: _replaced(inner, texts) for name, inner in value.items()}
    return [_replaced(inner, texts) for inner in value] if isinstance(value, list | tuple) else value
