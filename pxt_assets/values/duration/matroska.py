"""WebM: the length in its header, or, where it was streamed, the time of the last block."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SEGMENT, _INFO, _SCALE, _DURATION = 0x18538067, 0x1549A966, 0x2AD7B1, 0x4489
_CLUSTER, _TIME, _SIMPLE_BLOCK, _GROUP, _BLOCK = 0x1F43B675, 0xE7, 0xA3, 0xA0, 0xA1
_PARENTS = (_SEGMENT, _INFO, _CLUSTER, _GROUP)
_DEFAULT_SCALE = 1_000_000
"""Nanoseconds of a unit of time."""


def seconds(content: bytes) -> float | None:
    """The length; None where there are fewer than two blocks, since the last one's own length is that of the one before."""
    scale, cluster, times = _DEFAULT_SCALE, 0, [-1, -1]
    for element, start, end in _elements(content):
        if element == _SCALE:
            scale = int.from_bytes(content[start:end])
        elif element == _DURATION:
            units = struct.unpack(">f" if end - start == 4 else ">d", content[start:end])[0]
            if units > 0:
                return float(units) * scale / 1e9
        elif element == _TIME:
            cluster = int.from_bytes(content[start:end])
        elif element in (_SIMPLE_BLOCK, _BLOCK):
            number_bytes = 9 - content[start].bit_length()
            at = start + number_bytes
            time = cluster + int.from_bytes(content[at : at + 2], signed=True)
            if time > times[1]:
                times = [times[1], time]
    before, last = times
    return None if before < 0 else (2 * last - before) * scale / 1e9


def _elements(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Each element's name, and where its content begins and ends; those inside a parent after it."""
    at = 0
    while at < len(content):
        name_bytes = 9 - content[at].bit_length()
        size_at = at + name_bytes
        if name_bytes > 4 or size_at >= len(content):
            return
        size_bytes = 9 - content[size_at].bit_length()
        start = size_at + size_bytes
        if size_bytes > 8 or start > len(content):
            return
        size = int.from_bytes(content[size_at:start]) & ((1 << 7 * size_bytes) - 1)
        name = int.from_bytes(content[at:size_at])
        is_open = size == (1 << 7 * size_bytes) - 1  # of unknown size: a streamed parent
        end = len(content) if is_open else start + size
        if end > len(content) and name not in _PARENTS:
            return  # cut within it
        yield name, start, end
        at = start if name in _PARENTS or is_open else end
