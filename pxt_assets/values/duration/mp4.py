"""MP4 and M4A, also in fragments, whose header has no length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pxt_assets.values.duration.big_endian import unsigned

_Span = tuple[int, int]
"""Where a box's content begins and ends."""
_FLAG_DATA_OFFSET, _FLAG_FIRST_FLAGS, _FLAG_DURATION = 0x1, 0x4, 0x100
_TFHD_FIELDS = ((0x1, 8), (0x2, 4))
"""The flags of the fields before the default duration, and their bytes."""
_TFHD_DURATION = 0x8
_SAMPLE_FIELDS = (0x100, 0x200, 0x400, 0x800)
"""The flags of the fields of a sample, of four bytes each; the first is its duration."""


@dataclass
class _Track:
    scale: int
    """Units a second."""
    is_sound: bool
    units: int
    """What the header lists."""
    default: int = 0
    """Units of a sample of a fragment that does not say."""
    in_fragments: int = 0


def seconds(content: bytes) -> float | None:
    """The length of the sound; None where neither the header nor fragments tell."""
    whole = (0, len(content))
    boxes = list(_boxes(content, whole))
    moov = next((span for name, span in boxes if name == b"moov"), None)
    if moov is None:
        return None
    tracks = _tracks(content, moov)
    fragments = [span for name, span in boxes if name == b"moof"]
    for fragment in fragments:
        _add_fragment(content, fragment, tracks)
    sounds = [track for track in tracks.values() if track.is_sound] or list(tracks.values())
    if not fragments:
        scale, units = _header(content, _child(content, moov, b"mvhd"))
        if units and scale:
            return units / scale
    lengths = [(track.units + track.in_fragments) / track.scale for track in sounds if track.scale]
    return max(lengths, default=0.0) or None


def _boxes(content: bytes, span: _Span) -> Iterator[tuple[bytes, _Span]]:
    at, end = span
    while at + 8 <= end:
        size, name, head = unsigned(content, at, 4), content[at + 4 : at + 8], 8
        if size == 1 and at + 16 <= end:
            size, head = unsigned(content, at + 8, 8), 16
        if size == 0:
            size = end - at
        if size < head:
            return
        yield name, (at + head, min(end, at + size))
        at += size


def _child(content: bytes, span: _Span | None, *path: bytes) -> _Span | None:
    for name in path:
        if span is None:
            return None
        span = next((inner for found, inner in _boxes(content, span) if found == name), None)
    return span


def _header(content: bytes, span: _Span | None) -> tuple[int, int]:
    """The units a second and the length of a `mvhd` or `mdhd`, 0 where it has none."""
    if span is None:
        return 0, 0
    size = 8 if content[span[0]] == 1 else 4
    at = span[0] + 4 + 2 * size
    units = unsigned(content, at + 4, size)
    return unsigned(content, at, 4), 0 if units == (1 << 8 * size) - 1 else units


def _tracks(content: bytes, moov: _Span) -> dict[int, _Track]:
    tracks = {}
    for name, trak in _boxes(content, moov):
        tkhd = _child(content, trak, b"tkhd") if name == b"trak" else None
        if tkhd is not None:
            number = unsigned(content, tkhd[0] + (20 if content[tkhd[0]] == 1 else 12), 4)
            hdlr = _child(content, trak, b"mdia", b"hdlr")
            is_sound = hdlr is not None and content[hdlr[0] + 8 : hdlr[0] + 12] == b"soun"
            scale, _ = _header(content, _child(content, trak, b"mdia", b"mdhd"))
            stts = _child(content, trak, b"mdia", b"minf", b"stbl", b"stts")
            tracks[number] = _Track(scale, is_sound, _listed(content, stts))
    for name, trex in _boxes(content, _child(content, moov, b"mvex") or (0, 0)):
        if name == b"trex" and (number := unsigned(content, trex[0] + 4, 4)) in tracks:
            tracks[number].default = unsigned(content, trex[0] + 12, 4)
    return tracks


def _listed(content: bytes, stts: _Span | None) -> int:
    """The units of all samples that a header lists."""
    if stts is None:
        return 0
    entries = range(stts[0] + 8, min(stts[1], stts[0] + 8 + 8 * unsigned(content, stts[0] + 4, 4)) - 7, 8)
    return sum(unsigned(content, at, 4) * unsigned(content, at + 4, 4) for at in entries)


def _add_fragment(content: bytes, moof: _Span, tracks: dict[int, _Track]) -> None:
    for name, traf in _boxes(content, moof):
        tfhd = _child(content, traf, b"tfhd") if name == b"traf" else None
        track = None if tfhd is None else tracks.get(unsigned(content, tfhd[0] + 4, 4))
        if tfhd is None or track is None:
            continue
        flags, default = unsigned(content, tfhd[0] + 1, 3), track.default
        if flags & _TFHD_DURATION:
            at = tfhd[0] + 8 + sum(size for flag, size in _TFHD_FIELDS if flags & flag)
            default = unsigned(content, at, 4)
        for inner, trun in _boxes(content, traf):
            if inner == b"trun":
                track.in_fragments += _run_units(content, trun, default)


def _run_units(content: bytes, trun: _Span, default: int) -> int:
    flags, count = unsigned(content, trun[0] + 1, 3), unsigned(content, trun[0] + 4, 4)
    if not flags & _FLAG_DURATION:
        return count * default
    at = trun[0] + 8 + 4 * bool(flags & _FLAG_DATA_OFFSET) + 4 * bool(flags & _FLAG_FIRST_FLAGS)
    step = 4 * sum(bool(flags & flag) for flag in _SAMPLE_FIELDS)
    return sum(unsigned(content, i, 4) for i in range(at, min(trun[1], at + step * count) - 3, step))
