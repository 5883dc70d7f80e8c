"""WAV: RIFF, and RF64 and BW64 for files beyond 4 GB."""

from __future__ import annotations

_PCM_FORMATS = (1, 3, 6, 7, 0xFFFE)
"""Integers, floats, A-law, µ-law, and `extensible`: so many bytes a sample, each of the same time."""
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""What a streamed file has in place of a size."""


def seconds(content: bytes) -> float | None:
    """The length by the samples that are there; None without a format, or of a compressed one without its rate."""
    at, format, count = 12, b"", None
    long_size = None
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"data":
            if size == 0xFFFFFFFF and long_size:
                size = long_size
            return _length(format, count, size, content, at + 8)
        chunk = content[at + 8 : at + 8 + size]
        if name == b"fmt ":
            format = chunk
        elif name == b"fact" and len(chunk) >= 4:
            count = int.from_bytes(chunk[:4], "little")
        elif name == b"ds64" and len(chunk) >= 16:
            long_size = int.from_bytes(chunk[8:16], "little")
        at += 8 + size + size % 2
    return None


def _length(format: bytes, count: int | None, size: int, content: bytes, at: int) -> float | None:
    """`count` is the number of samples that a `fact` chunk states, `size` the bytes that the header of the data does."""
    if len(format) < 16:
        return None
    there = len(content) - at
    is_whole = size <= there and (size not in _UNKNOWN_SIZES or _is_followed_by_chunk(content, at))
    size = size if is_whole else there
    kind, channels, rate, bytes_a_second, block, bits = (
        int.from_bytes(format[i:j], "little")
        for i, j in ((0, 2), (2, 4), (4, 8), (8, 12), (12, 14), (14, 16))
    )
    if kind in _PCM_FORMATS:
        return size / ((block or channels * -(-bits // 8)) * rate)
    if is_whole and count not in (None, *_UNKNOWN_SIZES) and rate:
        return count / rate if count is not None else None
    return size / bytes_a_second if bytes_a_second else None


def _is_followed_by_chunk(content: bytes, at: int) -> bool:
    """Whether the data is really empty: nothing follows, or a chunk that fits."""
    rest = content[at : at + 8]
    return not rest or (
        len(rest) == 8
        and rest[:4].isalnum()
        and int.from_bytes(rest[4:], "little") in (len(content) - at - 8, len(content) - at - 9)
    )
