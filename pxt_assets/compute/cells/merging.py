"""Small segments of a journal become larger ones while it grows, so that hours of flushes leave few files.

The merged segment is written first, under a name that sorts where its parts do; then the parts are removed. What a crash
leaves in between is a segment beside its parts: the same cells twice, of which either counts.
"""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import dataclass

from pxt_assets.compute.cells.segments import SUFFIX, Segments

_PARTS = 16
"""Small segments in a row that are merged into one."""
_PARTS_BEFORE_LARGE = 4
"""Small segments in a row that are merged when a large one comes after them: no others will join them."""
_LARGE_BYTES = 2**20
"""Of a segment that stays as it is."""
_log = logging.getLogger("pxt_assets.compute.journal")


@dataclass(frozen=True)
class _Segment:
    name: str
    size: int


class Merging:
    """The merging of the segments that one attempt writes; those of earlier attempts and of other runs stay.

    One thread adds segments, another may merge them.
    """

    def __init__(self, segments: Segments) -> None:
        self.lock = threading.Lock()
        """Held while segments are merged: whoever reads several segments holds it as well."""
        self.names: set[str] = set()
        """Of all segments that were written, the merged ones and their parts included."""
        self._segments = segments
        self._row: list[_Segment] = []
        """The latest segments, in order, as far back as they may still be merged."""
        self._row_lock = threading.Lock()
        self._ended = False

    def add(self, name: str, size: int) -> None:
        """Takes note of a segment of so many bytes that was written, the latest one."""
        self.names.add(name)
        with self._row_lock:
            self._row.append(_Segment(name, size))
            self._forget_settled()

    @property
    def is_due(self) -> bool:
        """Whether `merge` has something to do."""
        with self._row_lock:
            return not self._ended and bool(self._due())

    def end(self) -> None:
        """Nothing is merged from now on. Does not wait for a merge that has begun; `lock` does."""
        self._ended = True

    def merge(self) -> None:
        """Merges small segments in a row, if there are enough of them. If that fails, they stay as they are."""
        with self.lock:
            with self._row_lock:
                parts = [] if self._ended else self._due()
            if not parts:
                return
            merged = f"{parts[-1].name.partition('-')[0]}-{uuid.uuid4().hex[:8]}{SUFFIX}"
            self.names.add(merged)
            try:
                size = self._segments.merge([part.name for part in parts], merged)
            except Exception as e:  # a disk or a store; all cells are where they were
                self._ended = True
                _log.warning(
                    "Could not merge small segments of the journal %s (%s: %s); they stay as they are.",
                    self._segments.directory,
                    type(e).__name__,
                    e,
                )
                return
            with self._row_lock:
                first = self._row.index(parts[0])
                self._row[first : first + len(parts)] = [_Segment(merged, size)]
                self._forget_settled()

    def _due(self) -> list[_Segment]:
        """The first segments of the row that are to be merged; none if there are too few."""
        small: list[_Segment] = []
        for segment in self._row:
            if segment.size < _LARGE_BYTES:
                small.append(segment)
                if len(small) == _PARTS:
                    return small
            elif len(small) >= _PARTS_BEFORE_LARGE:
                return small
            else:
                small = []
        return []

    def _forget_settled(self) -> None:
        """Lets go of the segments up to the last large one, unless some of them are to be merged."""
        if not self._due():
            large = [i for i, segment in enumerate(self._row) if segment.size >= _LARGE_BYTES]
            del self._row[: large[-1] + 1 if large else 0]
