"""An answer as it came: its status, its headers and its bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_CHARSET = re.compile(r"charset\s*=\s*\"?([\w.:-]+)", re.IGNORECASE)


class Headers:
    """The headers of an answer, by name without regard to case; `raw` holds them as they came."""

    __slots__ = ("raw",)

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self.raw = raw

    def get(self, name: str, default: str = "") -> str:
        """The values of a name, with commas between."""
        wanted = name.lower().encode()
        found = [value.decode("latin-1") for raw_name, value in self.raw if raw_name.lower() == wanted]
        return ", ".join(found) if found else default

    def __getitem__(self, name: str) -> str:
        if name not in self:
            raise KeyError(name)
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        return any(raw_name.lower() == str(name).lower().encode() for raw_name, _ in self.raw)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, decompressed."""

    status_code: int
    headers: Headers
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether its status is one of success."""
        return 200 <= self.status_code < 300

    @property
    def is_redirect(self) -> bool:
        """Whether it sends elsewhere."""
        return self.status_code in (301, 302, 303, 307, 308) and "location" in self.headers

    @property
    def text(self) -> str:
        """Its content as text, in the charset that it states or else as UTF-8."""
        stated = _CHARSET.search(self.headers.get("content-type"))
        try:
            return self.content.decode(stated[1] if stated else "utf-8", "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Its content as JSON. Raises ValueError."""
        return json.loads(self.content)
