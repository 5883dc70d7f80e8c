"""The headers of answers that are used: a server sends the same names in the same order each time.

So the names of an answer are looked at once, and of the answers that follow with the same the few values are read by
their places. Other names, or the same in another order, are another layout, which is looked at like the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pxt_assets.values.scrubbing import scrub

_LAYOUTS_KEPT = 64
"""Layouts that are remembered: a server that sends new names each time fills no memory."""
_REQUEST_ID = "x-request-id"
_MAX_ID_LENGTH = 200

_Name = bytes | str


class AnswerHeaders:
    """Reads the headers of one server's answers. The request's id, which is stored, has no `secrets`."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        self._secrets = secrets
        self._layouts: dict[tuple[_Name, ...], Sequence[tuple[int, str]]] = {}

    def read(self, headers: Any) -> dict[str, str]:
        """The headers that are used, by lower-case name: `x-…`, `retry-after…`, and whatever names a limit.

        `headers` are pairs of a name and a value, a mapping, or the HTTP client's own, whose pairs are its `raw`.
        """
        names, values = _columns(headers)
        layout = self._layouts.get(names)
        if layout is None:
            if len(self._layouts) >= _LAYOUTS_KEPT:
                self._layouts.clear()
            layout = self._layouts[names] = _layout(names)
        found = {name: values[place] for place, name in layout}
        if values and isinstance(values[0], bytes):
            found = {name: value.decode("latin-1") for name, value in found.items()}
        request_id = found.get(_REQUEST_ID)
        if request_id is not None:
            request_id = scrub(request_id, self._secrets)
            found[_REQUEST_ID] = (
                request_id if len(request_id) <= _MAX_ID_LENGTH else f"{request_id[:_MAX_ID_LENGTH]}…"
            )
        return found


def _columns(headers: Any) -> tuple[tuple[_Name, ...], tuple[Any, ...]]:
    """The names and the values of headers."""
    pairs: Iterable[tuple[_Name, Any]] | None = getattr(headers, "raw", None)
    if pairs is None:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
    names, values = tuple(zip(*pairs, strict=True)) or ((), ())
    return names, values


def _layout(names: Iterable[_Name]) -> Sequence[tuple[int, str]]:
    """The places of the headers that are used, and their names in lower case."""
    texts = [(name.decode("latin-1") if isinstance(name, bytes) else name).lower() for name in names]
    return [(place, name) for place, name in enumerate(texts) if name[:2] in ("x-", "re") or "limit" in name]


def relevant_headers(headers: Any, secrets: tuple[str, ...] = ()) -> Mapping[str, str]:
    """The headers of a single answer that are used, as `AnswerHeaders` reads them."""
    return AnswerHeaders(secrets).read(headers)
