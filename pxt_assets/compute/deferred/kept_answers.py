"""The answers of batches that have ended, found by digest; memory does not grow with them but by a byte each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pxt_assets.api.batches import LineAnswer
from pxt_assets.compute.cells.digest_index import DigestIndex
from pxt_assets.compute.cells.stored_array import StoredArray
from pxt_assets.compute.deferred.answer_file import PLACE_DTYPE, AnswerReader, answer_places, is_failure
from pxt_assets.compute.deferred.record import BatchRecord
from pxt_assets.compute.deferred.record_folder import RecordFolder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Digests = npt.NDArray[np.bytes_]
    Mask = npt.NDArray[np.bool_]
    Positions = npt.NDArray[np.int64]


_LOOKED_UP_AT_ONCE = 4_096
_NEAR = 64
"""Answers lie near each other if at least one of so many is looked up."""
_log = logging.getLogger("pxt_assets.compute.batches")


class KeptAnswers:
    """The answers of the batches that were added, in the order in which they were kept."""

    def __init__(self, folder: RecordFolder) -> None:
        self._folder = folder
        self._records: list[BatchRecord] = []
        self._numbers: dict[str, int] = {}
        self._starts: list[int] = []
        """The position of each batch's first answer."""
        self._gone: set[int] = set()
        self._places = StoredArray(PLACE_DTYPE, folder.scratch)
        self._results, self._failures = DigestIndex(folder.scratch), DigestIndex(folder.scratch)
        self._taken = bytearray()
        """Of each answer, whether it is stored in the column by now."""
        self._told = bytearray()
        """Whether somebody who took it counts what it cost."""
        self._telling = threading.Lock()
        self._reader = AnswerReader(self._path_of)

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def __len__(self) -> int:
        return len(self._places)

    def add(self, record: BatchRecord) -> None:
        """Adds the answers of a batch, if it has any. Raises OSError where they cannot be read."""
        import numpy as np

        if record.answers is None or record.name in self._numbers:
            return
        number, start = len(self._records), len(self._places)
        try:
            digests, places = answer_places(self._folder.local_answers(record.answers), number)
        except FileNotFoundError:
            _log.warning(
                "%s is gone: what it answered is asked for anew.", self._folder.path / record.answers
            )
            return
        positions = np.arange(start, start + len(digests), dtype=np.int64)
        failed = is_failure(places)
        self._places.append(places)
        self._results.add(digests[~failed], positions[~failed])
        self._failures.add(digests[failed], positions[failed])
        self._records.append(record)
        self._starts.append(start)
        self._numbers[record.name] = number
        self._taken += bytes(len(digests))
        self._told += bytes(len(digests))
        taken = self._folder.read_taken(record.name)
        if len(taken):
            self._mark(positions[np.isin(digests, taken)])

    def update(self, record: BatchRecord) -> None:
        """Takes over what is on record of a batch by now."""
        if record.name in self._numbers:
            self._records[self._numbers[record.name]] = record

    def forget(self, name: str) -> None:
        """Finds no answers of a batch any more."""
        self._gone.add(self._numbers[name])

    def find(self, digests: Digests, partition: str | None = None, since: float = 0.0) -> Positions:
        """The positions of the answers of `S16[n]` that were kept at `since` or later, -1 where there is none.

        With a partition, by its name in records, what it has settled does not count: errors, and results that are stored.
        """
        import numpy as np

        results, failures = self.find_both(digests, partition, since)
        return np.where(results >= 0, results, failures)

    def find_both(
        self, digests: Digests, partition: str | None = None, since: float = 0.0
    ) -> tuple[Positions, Positions]:
        """The same of answers with a result, and of errors."""
        results, failures = self._results.find(digests), self._failures.find(digests)
        return self._valid(results, partition, since, taken=True), self._valid(failures, partition, since)

    def number_of(self, name: str) -> int:
        """The number of a batch, -2 for one that has no answers."""
        return self._numbers.get(name, -2)

    def _valid(
        self, positions: Positions, partition: str | None, since: float, *, taken: bool = False
    ) -> Positions:
        """The positions, -1 in place of those that do not count; with `taken` only what is stored counts as settled."""
        import numpy as np

        if not self._records or not (positions >= 0).any():
            return positions
        batches = self.batches_of(positions)
        left_out = self._flags(lambda n, r: n in self._gone or r.is_from_before(since, partition))[batches]
        if partition is not None:
            is_settled = self._flags(lambda _, r: r.partitions.get(partition, False))[batches]
            if taken and is_settled.any():
                is_settled &= np.frombuffer(self._taken, np.uint8)[positions].astype(bool)
            left_out |= is_settled
        return np.where((positions >= 0) & left_out, -1, positions)

    def _flags(self, is_one: Callable[[int, BatchRecord], bool]) -> Mask:
        """Of which batches something is true, by their numbers."""
        import numpy as np

        flags = (is_one(number, record) for number, record in enumerate(self._records))
        return np.fromiter(flags, bool, len(self._records))

    def batches_of(self, positions: Positions) -> npt.NDArray[np.int64]:
        """The number of the batch of each position; what stands for -1 means nothing."""
        import numpy as np

        return np.maximum(np.searchsorted(np.array(self._starts), positions, side="right") - 1, 0)

    def names_of(self, positions: Positions) -> set[str]:
        """The names of the batches of some answers."""
        import numpy as np

        numbers = np.unique(self.batches_of(positions)).tolist() if len(positions) else []
        return {self._records[number].name for number in numbers}

    def take(self, digests: Digests, positions: Positions) -> Iterator[LineAnswer]:
        """The answers at positions `int64[n]`, which are those of the digests, in that order."""
        for digest, place in zip(digests.tolist(), self._places_at(positions), strict=True):
            yield self._reader.read(digest.ljust(16, b"\0"), place)

    def tell(self, positions: Positions) -> Mask:
        """Which of the answers nobody counts yet, here or where they are stored: whoever asks counts what these cost."""
        import numpy as np

        with self._telling:  # partitions are looked at in several threads
            told = np.frombuffer(self._told, np.uint8)
            found: Mask = told[positions] == 0
            told[positions] = 1
        return found

    def _places_at(self, positions: Positions) -> Iterator[bytes]:
        """The places of answers; those of answers that lie near each other are read at once."""
        for start in range(0, len(positions), _LOOKED_UP_AT_ONCE):
            some = positions[start : start + _LOOKED_UP_AT_ONCE]
            first, end = int(some.min()), int(some.max()) + 1
            if end - first > _NEAR * len(some):
                yield from map(self._places.bytes_of, some.tolist())
                continue
            places = self._places[first:end]
            size = places.itemsize
            near = places[some - first].tobytes()
            for begin in range(0, len(near), size):
                yield near[begin : begin + size]

    def mark_taken(self, digests: Digests) -> tuple[set[str], set[str]]:
        """Notes that cells are stored elsewhere. The names of the batches that answered some, and of those for which this is news."""
        import numpy as np

        answered: set[str] = set()
        news: set[str] = set()
        for index in (self._results, self._failures):
            positions = index.find(digests)
            positions = np.unique(positions[positions >= 0])
            answered |= self.names_of(positions)
            new = positions[np.frombuffer(self._taken, np.uint8)[positions] == 0]
            news |= self.names_of(new)
            self._mark(new)
        return answered, news

    def _mark(self, positions: Positions) -> None:
        import numpy as np

        if len(positions):
            for flags in (self._taken, self._told):
                np.frombuffer(flags, np.uint8)[positions] = 1

    def left(self, name: str) -> Digests:
        """The cells for which a batch has the newest result, which is stored nowhere else yet."""
        import numpy as np

        number = self._numbers[name]
        digests, places = answer_places(self._path_of(number), number)
        positions = np.arange(self._starts[number], self._starts[number] + len(digests))
        taken = np.frombuffer(self._taken, np.uint8)[positions].astype(bool)
        found: Digests = digests[~is_failure(places) & ~taken & (self._results.find(digests) == positions)]
        return found

    def taken(self, name: str) -> Digests:
        """The cells that a batch answered and that are stored elsewhere by now."""
        import numpy as np

        number = self._numbers[name]
        digests, _ = answer_places(self._path_of(number), number)
        begin = self._starts[number]
        taken = np.frombuffer(self._taken, np.uint8)[begin : begin + len(digests)].astype(bool)
        found: Digests = digests[taken]
        return found

    def close(self) -> None:
        """Closes the files."""
        self._reader.close()

    def _path_of(self, number: int) -> Path:
        record = self._records[number]
        assert record.answers is not None
        return self._folder.local_answers(record.answers)
