"""Ogg: Opus, Vorbis, FLAC and Speex, by the positions that their pages state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_NO_POSITION = (1 << 64) - 1
_FIRST_PAGE = 2
_OPUS_RATE = 48_000
_LONGEST_PAGE_SECONDS = 60.0
"""A first page that ends later than this began later too: the recording of a stream that ran already."""
_OPUS_FRAME_SAMPLES = (480, 960, 1_920, 2_880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4
"""Samples of a frame by the configuration in a packet's first byte."""


class _Page(NamedTuple):
    serial: int
    is_first: bool
    position: int | None
    """Samples up to the end of the page; None where no packet ends in it."""
    packets: list[bytes]
    """The first bytes of those that begin in it."""


@dataclass
class _Stream:
    rate: int
    skipped: int = 0
    """Samples at the start that are not played."""
    start: int | None = None
    end: int = 0
    is_opus: bool = False
    seconds_before: float = field(default=0.0)

    def add(self, page: _Page) -> None:
        if not page.position:
            return
        if self.start is None:
            self.start = 0
            if self.is_opus:
                self.start = max(0, page.position - sum(map(_opus_samples, page.packets)))
            if not self.is_opus and page.position > _LONGEST_PAGE_SECONDS * self.rate:
                self.start = page.position
            if self.start:
                self.skipped = 0
        self.end = page.position

    @property
    def seconds(self) -> float:
        return max(0, self.end - (self.start or 0) - self.skipped) / self.rate


def seconds(content: bytes) -> float | None:
    """The length of the sound: of streams that follow each other their sum; None without any."""
    streams: dict[int, _Stream] = {}
    ended: list[_Stream] = []
    for page in _pages(content):
        if page.is_first:
            if page.serial in streams:  # another link of a chain with the same number
                ended.append(streams.pop(page.serial))
            stream = _new_stream(page.packets[0] if page.packets else b"")
            if stream is not None:
                streams[page.serial] = stream
        elif page.serial in streams:
            streams[page.serial].add(page)
    played = [stream.seconds for stream in (*ended, *streams.values()) if stream.start is not None]
    return sum(played) if played else None


def _pages(content: bytes) -> Iterator[_Page]:
    """The pages that are there whole."""
    at = 0
    while (at := content.find(b"OggS", at)) >= 0:
        count = content[at + 26 : at + 27]
        sizes = content[at + 27 : at + 27 + count[0]] if count else b""
        body = at + 27 + len(sizes)
        if not count or len(sizes) < count[0] or body + sum(sizes) > len(content):
            return
        position = int.from_bytes(content[at + 6 : at + 14], "little")
        serial = int.from_bytes(content[at + 14 : at + 18], "little")
        is_continued = bool(content[at + 5] & 1)
        packets = list(_packets(content, body, sizes))[is_continued:]
        known = None if position == _NO_POSITION else position
        yield _Page(serial, bool(content[at + 5] & _FIRST_PAGE), known, packets)
        at = body + sum(sizes)


def _packets(content: bytes, at: int, sizes: bytes) -> Iterator[bytes]:
    size = 0
    for segment in sizes:
        size += segment
        if segment < 255:
            yield content[at : at + min(size, 64)]
            at, size = at + size, 0


def _new_stream(head: bytes) -> _Stream | None:
    """A stream by its first packet; None for one that is no sound."""
    if head.startswith(b"OpusHead"):
        return _Stream(_OPUS_RATE, int.from_bytes(head[10:12], "little"), is_opus=True)
    if head.startswith(b"\x01vorbis"):
        return _Stream(int.from_bytes(head[12:16], "little"))
    if head.startswith(b"Speex   "):
        return _Stream(int.from_bytes(head[36:40], "little"))
    if head.startswith(b"\x7fFLAC"):
        return _Stream(int.from_bytes(head[27:30]) >> 4)
    return None


def _opus_samples(packet: bytes) -> int:
    """The samples of an Opus packet at 48 kHz (RFC 6716, section 3.1)."""
    if not packet or packet.startswith(b"OpusTags"):
        return 0
    frames = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[packet[0] & 3]
    return frames * _OPUS_FRAME_SAMPLES[packet[0] >> 3]
