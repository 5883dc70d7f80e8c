"""The format of an uploaded recording, by its first bytes, and its length, by its headers."""

import struct
from collections.abc import Callable

_SIGNATURES = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"\x1a\x45\xdf\xa3": "webm",
    b"\0\0\x01\xba": "mpeg",
    b"\0\0\x01\xb3": "mpeg",
}
_TYPICAL_BYTES_A_SECOND = 16_000
_MEASURED_FRAMES = 1000
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_LAYER_3_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_LAYER_3_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def recognise_format(content: bytes) -> str | None:
    """`aac`, `flac`, `mp3`, `mp4`, `mpeg`, `ogg`, `wav` or `webm`; None for anything that is no sound."""
    for start, kind in _SIGNATURES.items():
        if content.startswith(start):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "wav"
    if content[4:8] == b"ftyp":
        return "mp4"
    audio = _skip_id3(content)
    tagged = 0 < len(audio) < len(content)
    return _recognise_frame(audio) or ("mp3" if tagged else None)


def measure_seconds(content: bytes, kind: str) -> float | None:
    """Seconds of a recording that is of `kind`; None if its headers do not state them."""
    read = _MEASURERS.get(kind)
    try:
        seconds = read(content) if read else None
    except (struct.error, ValueError, IndexError, ZeroDivisionError):
        return None  # cut off, or nonsense
    return None if seconds is None or seconds < 0 else seconds


def guess_seconds(content: bytes) -> float:
    """Seconds that a recording of that many bytes lasts at 128 kbit/s."""
    return max(1.0, len(content) / _TYPICAL_BYTES_A_SECOND)


def _recognise_frame(content: bytes) -> str | None:
    """MPEG audio and ADTS both begin with eleven set bits; the layer of ADTS is zero."""
    if len(content) < 4 or content[0] != 0xFF or content[1] & 0xE0 != 0xE0:
        return None
    if content[1] & 0x06 == 0:
        return "aac" if content[1] & 0x10 else None
    reserved = content[1] & 0x18 == 0x08 or content[2] & 0xF0 == 0xF0 or content[2] & 0x0C == 0x0C
    return None if reserved else "mp3"


def _skip_id3(content: bytes) -> bytes:
    if content[:3] != b"ID3" or len(content) < 10:
        return content
    size = sum((byte & 0x7F) << shift for byte, shift in zip(content[6:10], (21, 14, 7, 0), strict=True))
    return content[10 + size :]


def _measure_mp3(content: bytes) -> float | None:
    """Seconds by the bit rate of the first frame: exact if it is constant."""
    audio = _skip_id3(content)
    if _recognise_frame(audio) != "mp3" or audio[1] & 0x06 != 0x02:
        return None
    kbits = (_LAYER_3_KBITS_1 if audio[1] & 0x08 else _LAYER_3_KBITS_2)[audio[2] >> 4]
    return len(audio) / (125 * kbits)


def _measure_aac(content: bytes) -> float | None:
    """Seconds by the sizes of the first 1,000 frames: exact if there are no more."""
    audio = _skip_id3(content)
    rate = _AAC_RATES[audio[2] >> 2 & 0x0F]
    frames = offset = 0
    while offset + 7 <= len(audio) and frames < _MEASURED_FRAMES:
        size = (audio[offset + 3] & 3) << 11 | audio[offset + 4] << 3 | audio[offset + 5] >> 5
        if size < 7:
            return None
        frames, offset = frames + 1, offset + size
    return 1024 / rate * frames * max(1.0, len(audio) / offset)


def _measure_flac(content: bytes) -> float | None:
    format = int.from_bytes(content[18:26], "big")
    return (format & (1 << 36) - 1) / (format >> 44) or None


def _measure_ogg(content: bytes) -> float | None:
    """Seconds by the position of the last page."""
    (granule,) = struct.unpack_from("<q", content, content.rindex(b"OggS") + 6)
    head = content[:128]
    if b"OpusHead" in head:
        (skip,) = struct.unpack_from("<H", head, head.index(b"OpusHead") + 10)
        return float((granule - skip) / 48_000)
    if b"\x01vorbis" in head:
        (rate,) = struct.unpack_from("<I", head, head.index(b"\x01vorbis") + 12)
        return float(granule / rate)
    return None


def _measure_wav(content: bytes) -> float | None:
    offset, bytes_a_second = 12, 0
    while offset + 8 <= len(content):
        name, size = content[offset : offset + 4], struct.unpack_from("<I", content, offset + 4)[0]
        if name == b"fmt ":
            (bytes_a_second,) = struct.unpack_from("<I", content, offset + 16)
        if name == b"data":
            # A stream that was not rewound states no size, or the largest.
            return float(min(size or len(content), len(content) - offset - 8) / bytes_a_second)
        offset += 8 + size + size % 2
    return None


def _measure_mp4(content: bytes) -> float | None:
    """Seconds by the movie header; long movies have version 1, with 64 bits."""
    offset = content.find(b"mvhd")
    if offset < 0:
        return None
    layout, skip = (">IQ", 24) if content[offset + 4] else (">II", 16)
    scale, length = struct.unpack_from(layout, content, offset + skip)
    return float(length / scale) or None


_MEASURERS: dict[str, Callable[[bytes], float | None]] = {
    "aac": _measure_aac,
    "flac": _measure_flac,
    "mp3": _measure_mp3,
    "mp4": _measure_mp4,
    "ogg": _measure_ogg,
    "wav": _measure_wav,
}
