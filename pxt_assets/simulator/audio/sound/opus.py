"""Opus in an Ogg container (RFC 3533, RFC 7845): silent packets of 20 ms."""

import struct
import zlib

from pxt_assets.simulator.audio.sound.vorbis_comment import write_comments

_RATE = 24_000
_SILENCE = b"\xf8\xff\xfe"
"""A packet of 20 ms: CELT at full band, mono, one frame of silence."""

_PACKET_SAMPLES = 480
_PAGE_PACKETS = 255
_FIRST, _LAST = 2, 4
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def encode(comment: bytes, artist: bytes, samples: int) -> bytes:
    """An Ogg Opus file; `samples` at 24 kHz are a multiple of 480."""
    serial = zlib.crc32(comment)
    # Version 1, one channel, nothing to skip at the start, the rate of the original, no gain, mapping 0.
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, _RATE, 0, 0)
    tags = b"OpusTags" + write_comments(comment, artist)
    pages = [_page([head], _FIRST, 0, serial, 0), _page([tags], 0, 0, serial, 1)]
    packets = samples // _PACKET_SAMPLES
    for start in range(0, packets, _PAGE_PACKETS):
        end = min(start + _PAGE_PACKETS, packets)
        flags = _LAST if end == packets else 0
        # The granule position counts at 48 kHz.
        pages.append(_page([_SILENCE] * (end - start), flags, 2 * _PACKET_SAMPLES * end, serial, len(pages)))
    return b"".join(pages)


def _page(packets: list[bytes], flags: int, granule: int, serial: int, number: int) -> bytes:
    """A page of whole packets, of 255 segments at most: 65,024 bytes, far more than any tags here."""
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes((len(packet) % 255,)) for packet in packets)
    before = b"OggS" + struct.pack("<BBqII", 0, flags, granule, serial, number)
    after = bytes((len(lacing),)) + lacing + b"".join(packets)
    return before + struct.pack("<I", _crc(before + bytes(4) + after)) + after


def _crc(content: bytes) -> int:
    """Ogg's CRC-32: that of zlib with all bits in mirrored order, and nothing inverted."""
    mirrored = zlib.crc32(content.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED), "big")
