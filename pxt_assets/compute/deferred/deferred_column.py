"""The answers of one column that come later: what is asked for, on its way, and kept; for all of its partitions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pxt_assets.api.batches import TOKEN_LIMIT_CODE, BatchState, UnknownBatchError
from pxt_assets.compute.deferred import collection
from pxt_assets.compute.deferred.column_batches import ColumnBatches
from pxt_assets.compute.deferred.late_batches import CANCELLED_WITHIN, LateBatches
from pxt_assets.compute.deferred.polling import ask_states, next_poll
from pxt_assets.compute.deferred.queue import NoQueue, Queue, has_room, next_part
from pxt_assets.compute.deferred.record import BatchRecord, Partition, partition_name
from pxt_assets.compute.deferred.record_folder import RecordFolder
from pxt_assets.compute.deferred.refusals import RefusedBatchError, raise_if_refused, raise_if_refused_lately
from pxt_assets.compute.deferred.splitting import Limits
from pxt_assets.compute.deferred.spool import Key, Part, Spool, spool_key
from pxt_assets.compute.deferred.submission import Submission, Submitted, is_forgotten
from pxt_assets.compute.deferred.submission_claim import hold_submission
from pxt_assets.errors import RunError
from pxt_assets.local.threads import run_in_thread
from pxt_assets.storage.atomic_file import remove_if_empty

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from upath import UPath

    from pxt_assets.api.batches import BatchApi, LineAnswer
    from pxt_assets.api.request import Request
    from pxt_assets.compute.cells.digest_index import ManyDigests

    Digests = npt.NDArray[np.bytes_]
    Mask = npt.NDArray[np.bool_]
    Taken = Iterator[tuple[LineAnswer, bool]]

_ROOM_LOOKS = 60.0
"""Seconds between two looks whether the queue has room."""
_RAREST_LOOK = 30.0
"""Seconds between two looks whether a batch that was cancelled has ended."""


class DeferredColumn:
    """The batches of one column, in `folder`, which need not exist.

    Whatever plans, submits, collects or closes happens within `hold()`; `poll` and `cancel` take it themselves. What looks
    up or gathers is synchronous, and does many rows at once; digests are `S16[n]`.

    `label` stands before messages, `within_s` is how many seconds an answer may take, `server` the name of the one that is
    asked, `queue` its budget of tokens, `submitted_by` the id of the run.
    """

    def __init__(
        self,
        folder: UPath,
        api: BatchApi,
        *,
        label: str = "",
        within_s: float = 86_400.0,
        server: str | None = None,
        run_id: str | None = None,
        submitted_by: str | None = None,
        queue: Queue | None = None,
        limits: Limits = Limits(),  # noqa: B008  (it is frozen)
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path, self._api = folder, api
        self._label = f"{label}: " if label else ""
        self._within_s, self._server = within_s, server
        self._run_id, self._submitted_by = run_id, submitted_by
        self._queue: Queue = NoQueue() if queue is None else queue
        self._limits = limits
        self._clock, self._sleep = clock, sleep
        self._batches, self._spools = ColumnBatches(RecordFolder(folder), server), dict[Key, Spool]()
        self._passed: set[str] = set()
        """The partitions that were looked up since the column is held."""
        self._asked: set[str] = set()
        """Batches that this process has asked about."""
        self._late = LateBatches(api, clock)
        self._looked_for_room = clock()
        self.has_given = False
        """Whether any answer was taken."""
        self._held_by: Callable[[], None] | None = None
        """While the column is held: raises if it is no more."""

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Within the block, no other process plans or submits batches of this column; waits for one that does.

        Reads the records anew, and takes over what a process that died left. Raises ClaimedError after a long wait, and
        RunError.
        """
        if self._held_by is not None:
            yield
            return
        async with hold_submission(
            self._path, self._run_id, self._label, self._clock, self._sleep
        ) as check_claim:
            self._held_by = check_claim
            try:
                await run_in_thread(self._batches.load)
                await self._take_over()
                try:
                    yield
                finally:
                    check_claim()
                    self._batches.write_changes()
            finally:
                self._held_by = None
                self._spools.clear()
                self._passed.clear()
        if not self.records():
            await run_in_thread(remove_if_empty, self._path)

    async def _take_over(self) -> None:
        by = self._submission
        for record in list(self._batches.records.values()):
            if record.state in ("prepared", "uploaded"):
                await by.take_over(record)
            elif record.to_delete:
                await collection.delete_files(by, record)

    @property
    def _submission(self) -> Submission:
        check_claim = self._held_by
        assert check_claim is not None, "it is not held"
        account = (self._api, self._queue, self._server, self._label, self._clock, self._sleep)
        return Submission(self._batches, *account, check_claim, self._submitted_by)

    def exists(self) -> bool:
        """Whether anything is on record."""
        return bool(self._path.exists())

    def records(self) -> list[BatchRecord]:
        """All records as they were last read, the oldest first."""
        return list(self._batches.records.values())

    def is_awaited_by(self, partitions: Collection[Partition]) -> bool:
        """Whether any of the partitions waits for what is on record."""
        return any(not set(partitions).isdisjoint(record.waiting_partitions) for record in self.records())

    def kept_mask(self, digests: Digests, partition: Partition, since: float = 0.0) -> Mask:
        """Which cells `S16[n]` have an answer that was kept at `since` or later.

        An answer that the partition has settled does not count: it is stored, or it was an error and is asked for anew.
        """
        name = partition_name(partition)
        self._passed.add(name)
        return self._batches.kept_mask(digests, name, since)

    def take(self, digests: Digests, partition: Partition = None, since: float = 0.0) -> Taken:
        """The kept answers of cells for which `kept_mask` with the same arguments is true, in that order, and whether each
        is to be counted: another partition that asked for the same may have done so."""
        self.has_given = True
        return self._batches.take(digests, partition_name(partition), since)

    def on_its_way(self, digests: Digests) -> Mask:
        """Which cells are in a batch of which answers may still come."""
        return self._batches.on_its_way(digests)

    def also_waits(self, partition: Partition, digests: Digests) -> None:
        """Notes that a partition waits for cells that are on their way."""
        self._batches.also_waits(partition_name(partition), digests)

    def is_overdue(self, digests: Digests) -> Mask:
        """Which cells are to be asked for now: not answered within the time, or tried too often."""
        return self._batches.is_overdue(digests, self._clock(), self._within_s)

    def waited_since(self, digests: Digests) -> npt.NDArray[np.float64]:
        """Since when each cell is asked for and not answered, in seconds since 1970; NaN where it was never asked for."""
        return self._batches.waited_since(digests)

    def want(self, request: Request, partition: Partition, cost_usd: float | None = 0.0) -> None:
        """Has a request submitted with the next batch, once, however many partitions want it.

        `cost_usd` is what it is expected to cost, None if that is not known. Raises CellError for a request that no line of
        a batch can hold.
        """
        key = spool_key(request)
        spool = self._spools.get(key)
        if spool is None:
            scratch = self._batches.folder.scratch
            spool = self._spools[key] = Spool(key, scratch, azure=self._api.is_azure)
        spool.add(request, partition_name(partition), cost_usd)

    def settle(self, partition: Partition, digests: ManyDigests) -> None:
        """Notes that what is answered of a partition's cells is durable elsewhere. It is on record when the hold ends."""
        self._batches.settle(partition_name(partition), digests)

    async def submit(self) -> Submitted:
        """Submits what is wanted, as far as the queue has room. Raises RunError, RefusedBatchError after all others."""
        by = self._submission
        earlier = [record for record in self.records() if record.state == "waiting"]
        submitted: list[BatchRecord] = []
        refused: list[RefusedBatchError] = []
        without_room = 0
        spools, self._spools = self._spools, {}
        for key, spool in spools.items():
            most, may_submit = await run_in_thread(
                next_part, self._queue, key.model, self.records(), self._clock()
            )
            limits = self._limits._replace(tokens=min(self._limits.tokens, most))
            put_off: list[Part] = []
            parts = spool.parts(limits)
            while (part := await run_in_thread(next, parts, None)) is not None:
                try:
                    record = await by.submit(part) if may_submit else None
                except RefusedBatchError as e:  # as the other parts would be
                    refused.append(e)
                    break
                if record is None:
                    may_submit = False
                    put_off.append(part)
                else:
                    submitted.append(record)
            if put_off:
                without_room += (await by.put_off(put_off)).requests
        for record in earlier:
            await run_in_thread(self._batches.pass_over, record, self._passed)
        await run_in_thread(self._batches.write_changes)
        self._looked_for_room = self._clock()
        if refused:
            raise refused[0]
        return Submitted(tuple(submitted), sum(record.requests for record in submitted), without_room)

    def seconds_to_poll(self) -> float | None:
        """Seconds until `poll` may have news, None if nothing is on its way and nothing waits for room."""
        times = [
            self._looked_for_room + _ROOM_LOOKS if record.state == "waiting" else self._next_poll(record)
            for record in self.records()
            if record.state in ("waiting", "submitted")
        ]
        return max(0.0, min(times) - self._clock()) if times else None

    def _next_poll(self, record: BatchRecord) -> float:
        """When a batch is asked about again: what somebody else heard to have ended is so at once."""
        is_news = record.poll.is_ended and record.name not in self._asked
        return 0.0 if is_news else next_poll(record, self._clock())

    async def poll(self) -> tuple[BatchRecord, ...]:
        """Asks about the batches that are due, and keeps the answers of those that ended, whose files are there.

        Returns the records for which a pass has something to do: those that ended, by whomever they were collected, and
        those that the queue has room for by now. Raises RunError for a batch that was refused or is unknown, at the end.
        """
        due = [r for r in self.records() if r.state == "submitted" and self._next_poll(r) <= self._clock()]
        return await self._collect_ended(due) + await self._with_room()

    async def _collect_ended(self, due: Sequence[BatchRecord]) -> tuple[BatchRecord, ...]:
        heard = await ask_states(self._batches.folder, self._api, due, self._clock)
        self._asked.update(record.name for record in due)
        ended: list[tuple[BatchRecord, BatchState | None]] = []
        for record, state in heard:
            if record.poll.is_ended or (state and await self._late.is_given_up(record, state)):
                ended.append((record, state))
            elif record.name in self._batches.records:
                self._batches.note_poll(record)
        if not ended:
            return ()
        done: list[BatchRecord] = []
        errors: list[RunError] = []
        async with self.hold():
            for record, state in ended:
                try:
                    done += await self._collect(record, state)
                except RunError as e:
                    errors.append(e)
        if errors:
            raise errors[0]
        return tuple(done)

    async def _collect(self, heard: BatchRecord, state: BatchState | None) -> list[BatchRecord]:
        """Keeps the answers of a batch that has ended, unless another process did. Raises RunError."""
        record = self._batches.records.get(heard.name)
        if record is None or record.state != "submitted":
            return [record or replace(heard, state="ended")]
        by = self._submission
        if state is None:
            if not is_forgotten(record, self._clock()):
                raise self._unknown(record)
            return [await collection.close(by, collection.forgotten(record, self._clock()))]
        for error in state.errors:
            if error.code == TOKEN_LIMIT_CODE:
                await run_in_thread(self._queue.learn, record.model, error.message)
        try:
            ended = await collection.collect(by, replace(record, poll=heard.poll), state)
        except collection.FileNotThereError:
            self._batches.note_poll(heard)
            return []
        raise_if_refused(self._label, ended)
        return [ended]

    def check_refused(self, partitions: Collection[Partition]) -> None:
        """Raises RefusedBatchError where a partition waits for what was refused lately: it is settled by a pass after that."""
        raise_if_refused_lately(self._label, self.records(), partitions, self._clock())

    def _unknown(self, record: BatchRecord) -> RunError:
        return collection.unknown_batch_error(self._label, record, self._server, self._path)

    async def _with_room(self) -> tuple[BatchRecord, ...]:
        """What waited for room in the queue, and has some by now."""
        waiting = [record for record in self.records() if record.state == "waiting"]
        if not waiting or self._looked_for_room + _ROOM_LOOKS > self._clock():
            return ()
        self._looked_for_room = self._clock()
        records, now = self.records(), self._clock()
        return tuple([r for r in waiting if await run_in_thread(has_room, self._queue, r, records, now)])

    async def cancel(
        self, *, wait: bool = True, partitions: Collection[Partition] | None = None
    ) -> tuple[BatchRecord, ...]:
        """Cancels what is on its way, waits until that has ended, and keeps what was finished; returns these records.

        With `partitions` only the batches that one of them waits for; they may hold rows of others. Without `wait` the next
        run keeps it. Raises RunError.
        """
        async with self.hold():
            names = {
                record.name
                for record in self.records()
                if record.state == "submitted"
                and (partitions is None or not set(partitions).isdisjoint(record.waiting_partitions))
            }
            for record in self.records():
                if record.name in names and record.batch_id is not None:
                    try:
                        await self._api.cancel(record.batch_id)
                    except UnknownBatchError as e:
                        raise self._unknown(record) from e
            begun, pause = self._clock(), 2.0
            done: list[BatchRecord] = []
            while wait and self._clock() - begun < CANCELLED_WITHIN:
                due = [r for r in self.records() if r.name in names and r.state == "submitted"]
                done += await self._collect_ended(due)
                if not any(r.name in names and r.state == "submitted" for r in self.records()):
                    break
                await self._sleep(pause)
                pause = min(2 * pause, _RAREST_LOOK)
            return tuple(done)

    def close(self) -> None:
        """Closes files, and removes local copies."""
        self._batches.close()
