"""A body as it is sent: JSON, with images and sounds as data URLs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from pxt_assets.values import base64_text
from pxt_assets.values.json_text import dumps
from pxt_assets.values.media import MediaArgument

_CHUNK_BYTES = 3 * 2**18
"""Bytes that are encoded at once, a multiple of three: other threads wait for about a millisecond."""


def payload_of(body: Mapping[str, Any]) -> bytes:
    """The body as JSON, UTF-8. Raises TypeError or ValueError for what JSON cannot hold.

    Base64 needs no escaping, so that it is put into the text's gaps: an encoder would look at each of its letters.
    """
    mark = secrets.token_hex(16)
    found: list[MediaArgument] = []

    def leave_gap(media: MediaArgument) -> str:
        if media.media.content is None:
            return media.data_url
        found.append(media)
        return mark

    text, *texts = dumps(body, leave_gap).encode().split(mark.encode())
    pieces = [text]
    for media, following in zip(found, texts, strict=True):
        pieces += [f"data:{media.mime_type};base64,".encode(), *_base64_chunks(media), following]
    return b"".join(pieces)


def _base64_chunks(media: MediaArgument) -> Iterator[bytes]:
    content = memoryview(media.media.content or b"")
    for start in range(0, len(content), _CHUNK_BYTES):
        yield base64_text.encode(content[start : start + _CHUNK_BYTES])
