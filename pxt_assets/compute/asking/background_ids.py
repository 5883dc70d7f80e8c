"""The ids of responses that are made in the background for the rows of a partition, kept until they are fetched."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from pxt_assets.compute.cells.cell import Cell
from pxt_assets.compute.cells.digest_index import DigestIndex
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.cells.segments import Segments
from pxt_assets.storage.atomic_file import remove_if_empty
from pxt_assets.storage.layout import background_folder
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.types import String

if TYPE_CHECKING:
    from upath import UPath

    from pxt_assets.compute.cells.digest_index import Digests

_SECONDS = {"8h": 28_800.0, "2h": 7_200.0}


class BackgroundId(NamedTuple):
    """A response that is made in the background, or was."""

    id: str
    window: str
    """`8h` or `2h`."""
    at: float
    """When it was asked for, in seconds since 1970."""

    @property
    def due(self) -> float:
        """When it is to be there, in seconds since 1970."""
        return self.at + _SECONDS.get(self.window, _SECONDS["8h"])


class BackgroundIds:
    """The ids of a column's partition, by the digests of their requests: a journal of texts beside that of cells.

    Each is on disk within a quarter of a second of its answer; what is paid for is found by it after a crash.
    """

    def __init__(self, file: ParquetFile, run_id: str | None = None) -> None:
        self._folder = background_folder(file)
        self.journal = Journal(self._folder, String, run_id=run_id)
        self._index: DigestIndex | None = None if self._folder.exists() else DigestIndex()

    def of(self, digests: Digests) -> list[BackgroundId | None]:
        """The ids of requests `S16[n]`, None where there is none; those of this attempt are not found."""
        import numpy as np

        if self._index is None:
            self._index, _ = self.journal.load(errors=False)
        positions = self._index.find(digests)
        found: list[BackgroundId | None] = [None] * len(digests)
        known = np.flatnonzero(positions >= 0)
        if len(known):
            texts = self.journal.take(positions[known])["value"].to_pylist()
            for i, text in zip(known.tolist(), texts, strict=True):
                found[i] = None if text is None else BackgroundId(*json.loads(text))
        return found

    def any_known(self) -> bool:
        """Whether there is any id that was not forgotten."""
        return self._folder.exists() and any(text is not None for text in _texts(self._folder).values())

    def add(self, digest: bytes, started: BackgroundId) -> None:
        """Keeps the id of a request."""
        self._append(digest, json.dumps(started))

    def forget(self, digest: bytes) -> None:
        """Forgets the id of a request, which is of no use any more."""
        self._append(digest, None)

    def _append(self, digest: bytes, text: str | None) -> None:
        self.journal.append(Cell(digest, text, finished_ns=time.time_ns()))

    def close(self) -> None:
        """Writes what waits, and closes what is open."""
        self.journal.flush()
        self.journal.close()

    def remove_if_fetched(self, settled: Digests) -> None:
        """Removes all ids, if they are those of the requests `S16[n]`: answers to rows that are gone may still be fetched."""
        import numpy as np

        if not self._folder.exists():
            return
        known = {digest for digest, text in _texts(self._folder).items() if text is not None}
        if known and not bool(np.isin(np.array([*known], "S16"), settled).all()):
            return
        self.journal.load(errors=False)
        self.journal.remove()
        remove_if_empty(self._folder)


def _texts(folder: UPath) -> dict[bytes, str | None]:
    """What is known of each request, in the order in which they were asked for."""
    segments, found = Segments(folder, None), dict[bytes, str | None]()
    try:
        names = segments.names()
        segments.fetch(names)
        for name in names:
            table = segments.read(name)
            found.update(zip(table["digest"].to_pylist(), table["value"].to_pylist(), strict=True))
    finally:
        segments.close()
    return found


def requests_in_background(file: ParquetFile) -> Digests:
    """The requests that a partition has asked for in the background and not fetched, `S16[n]`."""
    import numpy as np

    folder = background_folder(file)
    texts = _texts(folder).items() if folder.exists() else ()
    return np.array([digest for digest, text in texts if text is not None], "S16")


class BackgroundLook(NamedTuple):
    """What a partition has asked for in the background, for whoever looks from outside."""

    first: BackgroundId
    last: BackgroundId
    responses: int
    """How many there are."""


def look_at_background(file: ParquetFile) -> BackgroundLook | None:
    """The first and the last id that a partition asked for, and how many there are; None if there is none."""
    folder = background_folder(file)
    texts = _texts(folder).values() if folder.exists() else ()
    ids = [BackgroundId(*json.loads(text)) for text in texts if text is not None]
    return BackgroundLook(ids[0], ids[-1], len(ids)) if ids else None
