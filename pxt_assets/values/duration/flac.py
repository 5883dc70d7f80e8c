"""FLAC: the number of samples in its header, or, where it was streamed, of the last frame."""

from __future__ import annotations

from pxt_assets.values.duration.big_endian import unsigned

_BLOCK_SIZES = {1: 192, **{2 + i: 576 << i for i in range(4)}, **{8 + i: 256 << i for i in range(8)}}
_SYNCS = (b"\xff\xf8", b"\xff\xf9")
"""The starts of frames in streams of a fixed and of a variable block size."""
_CRC8_POLYNOMIAL = 0x107


def seconds(content: bytes) -> float | None:
    """The length; None without any frame."""
    format = unsigned(content, 18, 8)
    rate, samples = format >> 44, format & ((1 << 36) - 1)
    if not samples:
        samples = _end_of_last_frame(content, unsigned(content, 8, 2), unsigned(content, 10, 2))
    return samples / rate if samples else None


def _end_of_last_frame(content: bytes, smallest: int, largest: int) -> int:
    """The samples up to the end of the last frame, 0 where there is none. `largest` is the fixed block size, if it is."""
    start = _after_metadata(content)
    end = len(content)
    sync = next((s for s in _SYNCS if content.startswith(s, start)), None)
    while sync is not None and (at := content.rfind(sync, start, end)) >= 0:
        found = _frame(content, at)
        if found is not None:
            number, size = found
            is_last_of_fixed = sync == _SYNCS[0]
            if size <= largest and (size >= smallest or is_last_of_fixed):
                return (number * largest if is_last_of_fixed else number) + size
        end = at + 1
    return 0


def _after_metadata(content: bytes) -> int:
    at, is_last = 4, False
    while not is_last and at + 4 <= len(content):
        is_last = bool(content[at] & 0x80)
        at += 4 + unsigned(content, at + 1, 3)
    return at


def _frame(content: bytes, at: int) -> tuple[int, int] | None:
    """The number of a frame or its first sample, and its block size; None where no frame begins, as its CRC tells."""
    head = content[at : at + 16]
    if len(head) < 6:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    length = _coded_length(head[4])
    if length is None or size_code == 0 or rate_code == 15:
        return None
    number = head[4] & (0x7F if length == 1 else 0x7F >> length)
    for byte in head[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    end = 4 + length
    size = _BLOCK_SIZES.get(size_code, 0)
    if size_code in (6, 7):
        size = int.from_bytes(head[end : end + size_code - 5]) + 1
        end += size_code - 5
    end += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    return (number, size) if len(head) > end and _crc8(head[:end]) == head[end] else None


def _coded_length(first: int) -> int | None:
    """The bytes of a number that is coded as UTF-8 codes a character, by its first; None where none begins so."""
    ones = 8 - (first ^ 0xFF).bit_length()
    return 1 if ones == 0 else ones if 2 <= ones <= 7 else None


def _crc8(content: bytes) -> int:
    remainder = 0
    for byte in content:
        remainder ^= byte
        for _ in range(8):
            remainder <<= 1
            if remainder & 0x100:
                remainder ^= _CRC8_POLYNOMIAL
    return remainder
