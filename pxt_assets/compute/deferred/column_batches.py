"""What is known of a column's batches: which of them answered a cell, or may still do so, and who waits for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pxt_assets.api.batches import LineAnswer
from pxt_assets.api.server_name import SIMULATOR
from pxt_assets.compute.cells.digest_index import lookup_batches
from pxt_assets.compute.deferred.asked_requests import AskedRequests
from pxt_assets.compute.deferred.kept_answers import KeptAnswers
from pxt_assets.compute.deferred.record import BatchRecord
from pxt_assets.compute.deferred.record_folder import AskedDigests, RecordFolder
from pxt_assets.errors import RunError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pxt_assets.compute.cells.digest_index import ManyDigests

    Digests = npt.NDArray[np.bytes_]
    Mask = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float64]

MOST_TRIES = 3
"""How often a request is submitted, if the server's faults leave it unanswered, before it is asked for now."""
_log = logging.getLogger("pxt_assets.compute.batches")


class ColumnBatches:
    """The batches on record in a folder, as far as they are of the server that is asked.

    A simulator's are no other server's: with `server` a simulator's name they alone are known, else all others.
    """

    def __init__(self, folder: RecordFolder, server: str | None) -> None:
        self.folder = folder
        self.records: dict[str, BatchRecord] = {}
        """By name, the oldest first."""
        self.answers = KeptAnswers(folder)
        self._is_simulator = server == SIMULATOR
        self._asked = AskedRequests(folder.scratch)
        self._names: list[str] = []
        """The names of the batches of which the requests are known, by their numbers."""
        self._numbered: set[str] = set()
        self._changed: dict[str, BatchRecord] = {}
        """Records of which the partitions have changed since they were written."""
        self._refreshes: dict[str, float] = {}
        """Since when partitions that were looked up are refreshed, 0 for those that are not."""

    def load(self, *, only_looks: bool = False) -> None:
        """Reads what is on record; who `only_looks` has no claim. Raises RunError for a record that cannot be read."""
        if not only_looks:
            self.folder.remove_rest()
        found = {
            record.name: record
            for record in self.folder.read()
            if (record.server == SIMULATOR) == self._is_simulator
        }
        for name in self.records.keys() - found.keys():
            self._forget(name)
        self._changed.clear()
        for record in found.values():
            self._note(record)
        self.records = found
        ended = [record for record in found.values() if record.state == "ended"]
        for record in sorted(ended, key=lambda record: record.ended_at or 0.0):
            self.answers.add(record)
            self.answers.update(record)

    def _note(self, record: BatchRecord, asked: AskedDigests | None = None) -> None:
        self.records[record.name] = record
        if record.name not in self._numbered:
            self._asked.add(self._read_digests(record) if asked is None else asked)
            self._names.append(record.name)
            self._numbered.add(record.name)

    def _read_digests(self, record: BatchRecord) -> AskedDigests:
        try:
            return self.folder.read_digests(record.name)
        except (OSError, ValueError) as e:
            where = self.folder.path / f"{record.name}.json"
            msg = (
                f"which requests are in the batch {record.batch_id or record.name} cannot be read beside {where} "
                f"({type(e).__name__}: {e}); put that file back, or move the record elsewhere to have its rows asked for anew"
            )
            raise RunError(msg) from e

    def add(self, record: BatchRecord, asked: AskedDigests) -> None:
        """Puts a new batch on record: its requests, then the record."""
        self.folder.write_digests(record.name, asked)
        self.folder.write(record)
        self._note(record, asked)

    def write(self, record: BatchRecord) -> BatchRecord:
        """Writes a record that has changed."""
        self.folder.write(record)
        self.records[record.name] = record
        self._changed.pop(record.name, None)
        self.answers.update(record)
        if record.state == "ended":
            self.answers.add(record)
        return record

    def note_poll(self, heard: BatchRecord) -> None:
        """Takes over what was heard of a batch."""
        self.records[heard.name] = replace(self.records[heard.name], poll=heard.poll)

    def pass_over(self, record: BatchRecord, passed: Collection[str]) -> None:
        """Takes the partitions of a record of what had no room out of it, which were looked at anew."""
        left = {name: False for name in record.partitions if name not in passed}
        if not left:
            self.remove(record.name)
        elif len(left) < len(record.partitions):
            self.write(replace(record, partitions=left))

    def remove(self, name: str) -> None:
        """Removes all of a batch."""
        self.folder.remove(name)
        self._forget(name)

    def _forget(self, name: str) -> None:
        self.records.pop(name, None)
        self._changed.pop(name, None)
        if name in self.answers:
            self.answers.forget(name)

    def on_its_way(self, digests: Digests) -> Mask:
        """Which cells are in a batch of which answers may still come."""
        found: Mask = self._of_batches(digests, lambda record: record.is_on_its_way)
        return found

    def _of_batches(self, digests: Digests, is_one: Callable[[BatchRecord], bool]) -> Mask:
        import numpy as np

        numbers = self._asked.batches(digests)
        flags = [name in self.records and is_one(self.records[name]) for name in self._names]
        found: Mask = np.array([*flags, False], bool)[numbers]  # -1 is the last one
        return found

    def waited_since(self, digests: Digests) -> Floats:
        """Since when each cell is asked for and not answered; NaN where it is not asked for, or answered."""
        since, _ = self._unanswered(digests)
        return since

    def history(self, digests: Digests, now: float) -> AskedDigests:
        """What is on record of cells that are asked for again."""
        import numpy as np

        since, tries = self._unanswered(digests)
        return AskedDigests(digests, np.where(np.isnan(since), now, since), tries)

    def _unanswered(self, digests: Digests) -> tuple[Floats, npt.NDArray[np.uint8]]:
        """Of cells without an answer since when they are asked for, and how often they were tried."""
        import numpy as np

        since, tries = np.full(len(digests), np.nan), np.zeros(len(digests), np.uint8)
        newest = self._asked.batches(digests)
        known = np.flatnonzero((newest >= 0) & ~self._is_answered(digests, newest))
        if not len(known):
            return since, tries
        asked = self._asked.find(digests[known])
        tried = [
            (record := self.records.get(name)) is not None
            and record.state == "ended"
            and record.counts_as_try
            for name in self._names
        ]
        is_known = np.array([name in self.records for name in self._names], bool)[asked.batches]
        since[known] = np.where(is_known, asked.since, np.nan)
        more = np.array(tried, np.uint8)[asked.batches]
        tries[known] = np.where(is_known, np.minimum(asked.tries, 250) + more, 0)
        return since, tries

    def _is_answered(self, digests: Digests, newest: npt.NDArray[np.int64]) -> Mask:
        """Which cells have a result, or an error from the newest batch that they are in: they may be asked for again."""
        import numpy as np

        results, failures = self.answers.find_both(digests)
        numbers = np.array([self.answers.number_of(name) for name in self._names] + [-1])
        failed_last = (failures >= 0) & (self.answers.batches_of(failures) == numbers[newest])
        found: Mask = (results >= 0) | failed_last
        return found

    def is_overdue(self, digests: Digests, now: float, within_s: float) -> Mask:
        """Which cells that are asked for, not answered, and not on their way are to be asked for now."""
        since, tries = self._unanswered(digests)
        overdue: Mask = ((now - since >= within_s) | (tries >= MOST_TRIES)) & ~self.on_its_way(digests)
        return overdue

    def take(self, digests: Digests, partition: str, since: float) -> Iterator[tuple[LineAnswer, bool]]:
        """The kept answers of cells, all of which have one for the partition, and whether each is counted here."""
        positions = self.answers.find(digests, partition, since)
        if len(positions) and positions.min() < 0:
            msg = "a cell without a kept answer was asked for"
            raise LookupError(msg)
        answers = self.answers.take(digests, positions)
        return zip(answers, self.answers.tell(positions).tolist(), strict=True)

    def kept_mask(self, digests: Digests, partition: str, since: float) -> Mask:
        """Which cells have an answer for the partition. Notes `since` when it is refreshed, 0 for never."""
        self._refreshes[partition] = since
        found: Mask = self.answers.find(digests, partition, since) >= 0
        return found

    def refreshes_of(self, partitions: Iterable[str]) -> dict[str, float]:
        """Since when each of the partitions is refreshed, of those that are."""
        return {one: since for one in partitions if (since := self._refreshes.get(one, 0.0))}

    def also_waits(self, partition: str, digests: Digests) -> None:
        """Notes that a partition waits for cells that are on their way; it is on record with the next `write_changes`."""
        import numpy as np

        for number in np.unique(self._asked.batches(digests)).tolist():
            record = self.records.get(self._names[number]) if number >= 0 else None
            if record is None or not record.is_on_its_way:
                continue
            is_older = record.refreshes.get(partition, 0.0) < self._refreshes.get(partition, 0.0)
            if is_older or record.partitions.get(partition, True):
                self._change(record, partition, is_settled=False)

    def settle(self, partition: str, digests: ManyDigests) -> None:
        """Notes that what is answered of a partition's cells is durable elsewhere; see `also_waits`.

        What waits for room is none of it: that is off the record once it is looked at anew.
        """
        answered: set[str] = set()
        news: set[str] = set()
        for some in lookup_batches(digests):
            found, new = self.answers.mark_taken(some)
            answered, news = answered | found, news | new
        for record in list(self.records.values()):
            if record.state != "ended":
                continue
            waits = not record.partitions.get(partition, True)
            if waits or (record.name in answered and not record.partitions.get(partition)):
                self._change(record, partition, is_settled=True)
            elif record.name in news:
                self._changed[record.name] = record

    def _change(self, record: BatchRecord, partition: str, *, is_settled: bool) -> None:
        changed = replace(
            record,
            partitions={**record.partitions, partition: is_settled},
            refreshes={**record.refreshes, **({} if is_settled else self.refreshes_of([partition]))},
        )
        self.records[record.name] = self._changed[record.name] = changed
        self.answers.update(changed)

    def write_changes(self) -> None:
        """Writes what `also_waits` and `settle` have noted; removes batches that nobody waits for and nothing is left of."""
        changed, self._changed = self._changed, {}
        for record in changed.values():
            if self._is_done(record):
                self.remove(record.name)
                continue
            if record.name in self.answers:
                self.folder.write_taken(record.name, self.answers.taken(record.name))
            self.folder.write(record)

    def _is_done(self, record: BatchRecord) -> bool:
        """Whether nobody waits for a batch, and nothing that it answered is stored here alone."""
        if record.is_on_its_way or record.waiting_partitions:
            return False
        return record.name not in self.answers or not len(self.answers.left(record.name))

    def close(self) -> None:
        """Closes the files of answers, and removes local copies."""
        self.answers.close()
        self.folder.close()
