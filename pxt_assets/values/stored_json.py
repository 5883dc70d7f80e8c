"""JSON values as the text that is stored, which is read when somebody reads into it: a parsed answer takes ten times its bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from pxt_assets.values.json_text import dumps, loads_answer, replace_surrogates, shallow


class StoredJson:
    """A JSON value as its compact text, UTF-8. Equal to the value, and to others of an equal value."""

    __slots__ = ("_value", "utf8")

    def __init__(self, utf8: bytes) -> None:
        self.utf8 = utf8
        self._value: Any = ...

    @property
    def value(self) -> Any:
        """The value; it is read once."""
        if self._value is ...:
            self._value = json.loads(self.utf8)
        return self._value

    @property
    def nbytes(self) -> int:
        """Bytes of its text."""
        return len(self.utf8)

    def __eq__(self, other: object) -> bool:
        return bool(self.value == (other.value if isinstance(other, StoredJson) else other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.utf8!r})"


class StoredObject(StoredJson, Mapping[str, Any]):
    """A JSON object of that kind."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        return self.value[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.value)

    def __len__(self) -> int:
        return len(self.value)


def stored_json(value: object) -> StoredJson:
    """A value as JSON, as `dumps` writes it, with lone surrogates replaced. Raises TypeError or ValueError."""
    if isinstance(value, StoredJson):
        return value
    text = dumps(value)
    try:
        utf8 = text.encode()
    except UnicodeEncodeError:
        utf8 = replace_surrogates(text).encode()
    return StoredObject(utf8) if isinstance(value, dict) else StoredJson(utf8)


def plain(value: Any) -> Any:
    """A value as Python's own lists and dicts."""
    return value.value if isinstance(value, StoredJson) else value


def read_answer(body: bytes) -> tuple[Any, StoredJson]:
    """A server's JSON: the value that `loads_answer` makes of it, and the same to store. Raises ValueError.

    Nearly all answers are read and written by pydantic's parser, in a fifth of the time; what that refuses or reads
    otherwise, an infinite number, is left to Python's. A float may be spelled otherwise, `0.00001` for `1e-05`.
    """
    if shallow(body):
        try:
            value = from_json(body, allow_inf_nan=False, cache_strings="keys")
            utf8 = to_json(value)
        except ValueError:  # of another kind than JSON says, which `loads_answer` may know
            pass
        else:
            if b"Infinity" not in utf8:
                return value, StoredObject(utf8) if isinstance(value, dict) else StoredJson(utf8)
    value = loads_answer(body)
    return value, stored_json(value)


def stored_answer(answer: Mapping[str, Any]) -> StoredJson:
    """An object that `read_answer` gave and somebody changed, to store."""
    try:
        return StoredObject(to_json(answer))
    except ValueError:  # lone surrogates, or deeper than it writes
        return stored_json(answer)
