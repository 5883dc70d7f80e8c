"""WAV, and the bare samples of `response_format: "pcm"`: 16 bits, mono, 24 kHz."""

import struct

_RATE = 24_000
_SAMPLES_OF_BYTE = [b"".join(bytes((byte >> bit & 1, 0)) for bit in range(7, -1, -1)) for byte in range(256)]
"""Byte -> eight samples of 0 or 1, its bits."""


def encode_wav(comment: bytes, artist: bytes, samples: int) -> bytes:
    """A RIFF file, its tags before the samples."""
    format = _chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, _RATE, 2 * _RATE, 2, 16))
    tags = _chunk(b"IART", artist + b"\0") + _chunk(b"ICMT", comment + b"\0")
    content = b"WAVE" + format + _chunk(b"LIST", b"INFO" + tags) + _chunk(b"data", bytes(2 * samples))
    return _chunk(b"RIFF", content)


def encode_pcm(comment: bytes, artist: bytes, samples: int) -> bytes:  # noqa: ARG001 - there are no tags
    """The samples by themselves.

    They have no tags, so the comment is in the lowest bits, which nobody hears.
    """
    samples_of_comment = b"".join(_SAMPLES_OF_BYTE[byte] for byte in comment)
    return samples_of_comment.ljust(2 * samples, b"\0")


def comment_of_pcm(content: bytes) -> bytes:
    """The comment that `encode_pcm` put into the lowest bits, and zeros."""
    bits = bytes(byte & 1 for byte in content[: len(content) // 16 * 16 : 2])
    return int(b"0" + bits.translate(b"01" + bytes(254)), 2).to_bytes(len(bits) // 8, "big")


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
