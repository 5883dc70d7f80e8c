"""FLAC: frames of 576 samples that are all zero, a dozen bytes each."""

from functools import lru_cache
from hashlib import md5

from pxt_assets.simulator.audio.sound.vorbis_comment import write_comments

_BLOCK = 576
_RATE = 24_000


def encode(comment: bytes, artist: bytes, samples: int) -> bytes:
    """A FLAC file; `samples` is a multiple of 576."""
    comments = write_comments(comment, artist)
    last = 0x80 | 4  # the last block of metadata; type 4, comments
    head = b"fLaC\x00" + (34).to_bytes(3, "big") + _stream_info(samples)
    head += bytes((last,)) + len(comments).to_bytes(3, "big") + comments
    return head + b"".join(map(_frame, range(samples // _BLOCK)))


def _stream_info(samples: int) -> bytes:
    sizes = _BLOCK.to_bytes(2, "big") * 2 + bytes(6)  # the sizes of frames may be left unknown
    format = _RATE << 44 | (16 - 1) << 36 | samples  # one channel (0) of 16 bits
    return sizes + format.to_bytes(8, "big") + _digest(samples)


@lru_cache(maxsize=128)
def _digest(samples: int) -> bytes:
    """The MD5 of the decoded samples, which decoders check."""
    return md5(bytes(2 * samples), usedforsecurity=False).digest()


@lru_cache(maxsize=512)
def _frame(number: int) -> bytes:
    # Fixed block size; 576 samples (code 2) at 24 kHz (code 7); one channel of 16 bits (code 4); the number
    # is coded as UTF-8 codes a character.
    header = b"\xff\xf8\x27\x08" + chr(number).encode()
    header += bytes((_crc(header, 8, 0x07),))
    frame = header + b"\x00" + bytes(2)  # a constant subframe, and its one sample
    return frame + _crc(frame, 16, 0x8005).to_bytes(2, "big")


def _crc(content: bytes, bits: int, polynomial: int) -> int:
    """The remainder, highest bit first and starting from zero."""
    top, mask = 1 << (bits - 1), (1 << bits) - 1
    remainder = 0
    for byte in content:
        remainder ^= byte << (bits - 8)
        for _ in range(8):
            remainder = (remainder << 1 ^ polynomial if remainder & top else remainder << 1) & mask
    return remainder
