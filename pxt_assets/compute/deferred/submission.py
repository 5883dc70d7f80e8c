"""Submits the parts of a spool, each on record before anything is uploaded; takes over what a process that died left.

What a process was about when it died is told by the record's state alone: `prepared` has a file at most, `uploaded` perhaps a
batch, which is found by its name in the server's list. Nothing else is needed, so that any process may go on.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from pxt_assets.api.batches import (
    TOKEN_LIMIT_CODE,
    BatchApi,
    BatchState,
    NotFoundError,
    QueueFullError,
    RefusedError,
)
from pxt_assets.compute.deferred.column_batches import ColumnBatches
from pxt_assets.compute.deferred.queue import Queue
from pxt_assets.compute.deferred.record import BatchRecord, Poll, new_name
from pxt_assets.compute.deferred.record_folder import AskedDigests
from pxt_assets.compute.deferred.refusals import RefusedBatchError
from pxt_assets.compute.deferred.spool import Key, Part
from pxt_assets.errors import RunError
from pxt_assets.local.threads import run_in_thread
from pxt_assets.storage.atomic_file import temporary_folder

_log = logging.getLogger("pxt_assets.compute.batches")
_CLOCK_DIFFERENCE = 3_600.0
"""Seconds by which a server's clock may differ from ours."""
_LOOKS = 3
"""How often a batch that may have been created just now is looked for."""
_PAUSE = 5.0
"""Seconds between two looks."""
_FORGOTTEN = 30 * 86_400.0
"""Seconds after which a server has deleted a batch's files."""
_LISTED_AFTER = 900.0
"""Seconds after which a batch that was created is in the list for sure."""


def is_forgotten(record: BatchRecord, now: float) -> bool:
    """Whether a batch that the server does not know is so old that this says nothing."""
    return now - record.created_at > _FORGOTTEN


class Submitted(NamedTuple):
    """What a submission came to."""

    batches: tuple[BatchRecord, ...]
    """Those that are on their way now, and were not before."""
    requests: int
    """Requests in these."""
    without_room: int
    """Requests for which the queue has no room yet."""


@dataclass(frozen=True)
class Submission:
    """What it takes to submit the batches of a column."""

    batches: ColumnBatches
    api: BatchApi
    queue: Queue
    server: str | None
    label: str
    """Stands before messages."""
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    check_claim: Callable[[], None]
    """Raises RunError if another process has taken over: called before anything that costs."""
    submitted_by: str | None = None
    """The id of the run."""

    async def submit(self, part: Part) -> BatchRecord | None:
        """Submits a part; None where the queue has no room for it. Raises RunError."""
        now = self.clock()
        name = new_name(now)
        key = part.spool.key
        if not await run_in_thread(self.queue.enqueue, name, key.model, part.tokens):
            return None
        asked = await run_in_thread(self.batches.history, part.digests, now)
        record = self._new_record(
            name, "prepared", key, part.partitions, len(part.digests), part.tokens, part.cost_usd
        )
        self.check_claim()
        await run_in_thread(self.batches.add, record, asked)
        folder = await run_in_thread(temporary_folder, "pxt-batch-")
        try:
            path = folder / f"{name}.jsonl"
            await run_in_thread(part.write, path)
            file_id = await self.api.upload(path, path.name)
        finally:
            await run_in_thread(shutil.rmtree, folder, ignore_errors=True)
        record = await self._write(replace(record, state="uploaded", file_id=file_id))
        self.check_claim()
        try:
            state = await self.api.create(file_id, key.endpoint, name)
        except QueueFullError as e:
            await run_in_thread(self.queue.learn, key.model, str(e))
            await self._turned_away(record, TOKEN_LIMIT_CODE)
            return None
        except NotFoundError:  # of its file: it may be known a little later, or to another key
            raise
        except RefusedError as e:
            text = f"{str(e).rstrip('. ')}. Nothing was paid for; correct the column, or ask without within, and materialize again"
            await self._turned_away(record, "refused", text)
            raise RefusedBatchError(f"{self.label}{text}") from e
        record = await self._as_submitted(record, state)
        await run_in_thread(self.queue.submitted, name)
        return record

    def _new_record(
        self,
        name: str,
        state: Literal["prepared", "waiting"],
        key: Key,
        partitions: tuple[str, ...],
        requests: int,
        tokens: int,
        cost_usd: float | None,
    ) -> BatchRecord:
        return BatchRecord(
            name,
            state,
            key.endpoint,
            key.model,
            self.clock(),
            requests,
            tokens,
            cost_usd,
            self.server,
            dict.fromkeys(partitions, False),
            self.batches.refreshes_of(partitions),
            submitted_by=self.submitted_by,
        )

    async def put_off(self, parts: list[Part]) -> BatchRecord:
        """Puts on record what waits until the queue has room."""
        import numpy as np

        now = self.clock()
        key = parts[0].spool.key
        costs = [part.cost_usd for part in parts]
        partitions = tuple(dict.fromkeys(name for part in parts for name in part.partitions))
        record = self._new_record(
            new_name(now),
            "waiting",
            key,
            partitions,
            sum(len(part.digests) for part in parts),
            sum(part.tokens for part in parts),
            None if None in costs else sum(cost for cost in costs if cost is not None),
        )
        histories = [await run_in_thread(self.batches.history, part.digests, now) for part in parts]
        asked = AskedDigests(*(np.concatenate(columns) for columns in zip(*histories, strict=True)))
        self.check_claim()
        await run_in_thread(self.batches.add, record, asked)
        return record

    async def take_over(self, record: BatchRecord) -> BatchRecord:
        """Goes on with a batch that was about to be submitted when a process died: it is on its way, or never was.

        Raises RunError where its file is not known: then the batch may be another key's.
        """
        self.check_claim()
        found = await self._find(record)
        if found is None:
            files = await self._files_of(record)
            left = record
            if record.state == "uploaded":  # from here on nobody takes its file for another key's
                left = await self._write(replace(record, state="prepared", file_id=None))
            await self._delete_strays(left, files)
            if record.state == "uploaded":
                found = await self._look(record)  # it may have come into the list meanwhile
        if found is not None:
            record = await self._as_submitted(record, found)
            await run_in_thread(self.queue.enqueue, record.name, record.model, record.tokens)
            await run_in_thread(self.queue.submitted, record.name)
            return record
        await run_in_thread(self.queue.release, record.name)
        return await self._write(replace(record, state="waiting", file_id=None))

    async def _files_of(self, record: BatchRecord) -> list[str]:
        """The files that were uploaded for a batch. Raises RunError where one that was uploaded is not among them."""
        since = record.created_at - _CLOCK_DIFFERENCE
        for look in range(_LOOKS):
            if look:
                await self.sleep(_PAUSE)
            files = await self.api.find_files(f"{record.name}.jsonl", since)
            if record.file_id is None or record.file_id in files or is_forgotten(record, self.clock()):
                return files
        msg = (
            f"{self.label}a batch of {record.requests:,} requests to {record.model} was about to be submitted for this column; its "
            f"file {record.file_id} is not known to the API with this key, so that the batch may be on its way with another one. "
            "Materialize with the key, project and base_url that uploaded it. To give it up and have its rows asked for anew, "
            f"remove {self.batches.folder.path / f'{record.name}.json'}"
        )
        raise RunError(msg)

    async def _delete_strays(self, record: BatchRecord, files: list[str]) -> None:
        try:
            for file_id in files:
                await self.api.delete_file(file_id)
        except RunError as e:
            _log.warning(
                "of the batch %s, which was never submitted, the files %s could not be deleted: %s",
                record.name,
                ", ".join(files),
                e,
            )

    async def _find(self, record: BatchRecord) -> BatchState | None:
        """The batch of that name, looked for several times where it may only just have been created."""
        may_be_new = record.state == "uploaded" and self.clock() - record.created_at < _LISTED_AFTER
        for look in range(_LOOKS if may_be_new else 1):
            if look:
                await self.sleep(_PAUSE)
            found = await self._look(record)
            if found is not None:
                return found
        return None

    async def _look(self, record: BatchRecord) -> BatchState | None:
        return await self.api.find(record.name, record.created_at - _CLOCK_DIFFERENCE, record.file_id)

    async def _as_submitted(self, record: BatchRecord, state: BatchState) -> BatchRecord:
        now = self.clock()
        submitted = replace(
            record,
            state="submitted",
            batch_id=state.id,
            file_id=state.input_file_id or record.file_id,
            submitted_at=now,
            poll=Poll(status=state.status),
        )
        return await self._write(submitted)

    async def _turned_away(self, record: BatchRecord, code: str, refused: str = "") -> None:
        """Closes a batch that was not taken, since the queue is full or for what its requests are."""
        assert record.file_id is not None
        await self._write(
            replace(
                record,
                state="ended",
                ended_at=self.clock(),
                unanswered={code: record.requests},
                refused=refused,
                counts_as_try=False,
                to_delete=(record.file_id,),
            )
        )
        await run_in_thread(self.queue.release, record.name)
        await self.delete_files(self.batches.records[record.name])

    async def delete_files(self, record: BatchRecord) -> BatchRecord:
        """Deletes the files of a batch that has ended."""
        for file_id in record.to_delete:
            await self.api.delete_file(file_id)
        return await self._write(replace(record, to_delete=()))

    async def _write(self, record: BatchRecord) -> BatchRecord:
        return await run_in_thread(self.batches.write, record)
