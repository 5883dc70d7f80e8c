"""MP3 and AAC in ADTS: streams of frames, each with its own length, counted one by one.

The headers that some encoders put before them, with the number of frames, are not believed: they are missing, or stay
what they were when a file is cut.
"""

from __future__ import annotations

from collections.abc import Callable

_Frame = tuple[int, float]
"""A frame's bytes, and its seconds."""
_ADTS_RATES = (
    96_000,
    88_200,
    64_000,
    48_000,
    44_100,
    32_000,
    24_000,
    22_050,
    16_000,
    12_000,
    11_025,
    8_000,
    7_350,
)
_MP3_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""By version: 3 is MPEG-1, 2 MPEG-2, 0 MPEG-2.5."""
_KILOBITS = {
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""By whether it is MPEG-1, and the bits of the layer: 3 is layer I, 2 layer II, 1 layer III."""
_INFO_MARKS = (b"Xing", b"Info", b"VBRI")
_INFO_BYTES = 60
"""Where in a first frame one of these marks stands, at the latest."""
_LARGEST_GAP = 65_536
"""Bytes of something else that may stand between frames."""
_END_TAGS = (b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN")


def adts_seconds(content: bytes) -> float | None:
    """The length of an ADTS stream; None where it is interrupted."""
    return _sum(content, _adts_frame)


def mp3_seconds(content: bytes) -> float | None:
    """The length of an MP3; None where it is interrupted, or of a free bitrate."""
    at = _after_tag(content)
    first = _mp3_frame(content, at)
    is_info = first is not None and any(mark in content[at : at + _INFO_BYTES] for mark in _INFO_MARKS)
    return _sum(content, _mp3_frame, skipped=1 if is_info else 0)


def _sum(content: bytes, frame_at: Callable[[bytes, int], _Frame | None], skipped: int = 0) -> float | None:
    """The seconds of all whole frames, without the first `skipped`, which hold no sound."""
    at, total, count = _after_tag(content), 0.0, 0
    while at < len(content):
        frame = frame_at(content, at)
        if frame is None:
            following = _next_frame(content, at, frame_at)
            if following is None:
                is_end = content[at : at + 16].startswith(_END_TAGS) or not content[at:].strip(b"\0")
                is_cut = len(content) - at < 4
                return total if count and (is_end or is_cut) else None
            at = following
            continue
        size, seconds = frame
        if at + size > len(content):  # cut within it
            break
        total += seconds if count >= skipped else 0.0
        count += 1
        at += size
    return total if count else None


def _next_frame(content: bytes, at: int, frame_at: Callable[[bytes, int], _Frame | None]) -> int | None:
    """Where the next frame begins after something else: one that another follows, or that ends the file."""
    end = min(len(content), at + _LARGEST_GAP)
    while (at := content.find(b"\xff", at + 1, end)) >= 0:
        frame = frame_at(content, at)
        if frame is not None:
            following = at + frame[0]
            if following == len(content) or frame_at(content, following) is not None:
                return at
    return None


def _after_tag(content: bytes) -> int:
    """Where what follows the ID3v2 tags begins."""
    at = 0
    while content[at : at + 3] == b"ID3" and len(content) >= at + 10:
        size = 0
        for byte in content[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size + (10 if content[at + 5] & 0x10 else 0)
    return at


def _adts_frame(content: bytes, at: int) -> _Frame | None:
    head = content[at : at + 7]
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    rate, size = head[2] >> 2 & 15, (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if rate >= len(_ADTS_RATES) or size < 7:
        return None
    return size, 1024 * ((head[6] & 3) + 1) / _ADTS_RATES[rate]


def _mp3_frame(content: bytes, at: int) -> _Frame | None:
    head = content[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 0 or rate == 3 or not 0 < bitrate < 15:
        return None
    is_first_version = version == 3
    hertz = _MP3_RATES[version][rate]
    bits = _KILOBITS[is_first_version, layer][bitrate - 1] * 1_000
    padding = head[2] >> 1 & 1
    if layer == 3:
        return (12 * bits // hertz + padding) * 4, 384 / hertz
    samples = 1152 if is_first_version or layer == 2 else 576
    return samples // 8 * bits // hertz + padding, samples / hertz
