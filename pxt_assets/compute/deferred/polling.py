"""The states of batches, without their answers: how often they are asked for, and which partitions need a run by now."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pxt_assets.api.batches import BatchState, UnknownBatchError
from pxt_assets.compute.deferred.late_batches import is_late
from pxt_assets.compute.deferred.record import BatchRecord, Partition, Poll
from pxt_assets.compute.deferred.record_folder import RecordFolder
from pxt_assets.local.threads import run_in_thread

if TYPE_CHECKING:
    from upath import UPath

    from pxt_assets.api.batches import BatchApi

_SOONEST, _RAREST = 2.0, 60.0
"""Seconds between two polls of a batch: as long as it is on its way, within these."""
_EARLY = 3.0
"""Seconds by which a sensor's tick may come before its time: else every second tick of a minute would ask nothing."""
_AT_ONCE = 8
"""Batches that are asked about at once."""
_ABANDONED = 600.0
"""Seconds after which a submission that did not end has died."""
_FILES_APPEAR_WITHIN = 600.0
"""Seconds for which the file of a batch that has ended may be missing yet: less than a cancelled batch is waited for."""
_CANCELLED = frozenset({"cancelled", "canceled"})
UNKNOWN = "unknown"
"""The state of a batch that the server does not know."""
_MOST_KEY_TEXT = 120


def next_poll(record: BatchRecord, now: float) -> float:
    """When a submitted batch may be asked about again, in seconds since 1970; whoever asked last.

    What was heard to have ended is soon asked about again: whoever heard it may not have kept the answers. A time that is
    yet to come is that of a clock which was put back: it says nothing of when to ask.
    """
    begun = record.poll.ended_at or record.submitted_at or record.created_at
    last = max(record.poll.at, begun)
    if last <= now + _RAREST:
        return last + min(_RAREST, max(_SOONEST, last - begun))
    is_told = 0.0 < record.poll.at <= now + _RAREST
    return record.poll.at + _RAREST if is_told else now


def read_records(folder: UPath) -> list[BatchRecord]:
    """What is on record in the folder of a column's batches, the oldest first; nothing where there is none.

    Raises RunError for a record that cannot be read.
    """
    return RecordFolder(folder).read()


async def poll_states(
    folder: UPath, api: BatchApi, *, clock: Callable[[], float] = time.time
) -> list[BatchRecord]:
    """Asks about the batches that are due, and returns all records with what is known of them by now.

    Downloads nothing, and changes no record: what was heard is written beside it. Raises RunError.
    """
    records = await run_in_thread(read_records, folder)
    now = clock()
    due = [
        record
        for record in records
        if record.state == "submitted"
        and not record.poll.is_ended
        and (next_poll(record, now) <= now or 0.0 < record.poll.at <= now - _RAREST + _EARLY)
    ]
    heard = {record.name: record for record, _ in await ask_states(RecordFolder(folder), api, due, clock)}
    return [heard.get(record.name, record) for record in records]


async def ask_states(
    folder: RecordFolder, api: BatchApi, records: Sequence[BatchRecord], clock: Callable[[], float]
) -> list[tuple[BatchRecord, BatchState | None]]:
    """What the server says of submitted batches, None of one that it does not know; writes it beside the records."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(record: BatchRecord) -> tuple[BatchRecord, BatchState | None]:
        async with slots:
            assert record.batch_id is not None
            asked_at = clock()
            try:
                state = await api.retrieve(record.batch_id)
            except UnknownBatchError:
                state = None
            heard = replace(record, poll=poll_of(state, asked_at, record.poll))
            await run_in_thread(folder.write_poll, heard)
            return heard, state

    asked = await asyncio.gather(*map(ask, records), return_exceptions=True)
    for one in asked:
        if isinstance(one, BaseException):
            raise one
    return [one for one in asked if not isinstance(one, BaseException)]


def poll_of(state: BatchState | None, now: float, before: Poll) -> Poll:
    """What a state says, None for a batch that is unknown; `before` is what was heard before."""
    if state is None:
        return Poll(now, UNKNOWN, before.completed, before.failed, before.ended_at or now)
    ended_at = (before.ended_at or now) if state.is_ended else None
    awaits_file = ended_at is not None and _lacks_file(state) and may_appear(ended_at, now)
    return Poll(now, state.status, state.completed or 0, state.failed or 0, ended_at, awaits_file)


def _lacks_file(state: BatchState) -> bool:
    """Whether a batch that has ended does not name its results, which some servers do a little later. One that is completed
    has either results or errors."""
    if state.completed:
        return state.output_file_id is None
    return state.status == "completed" and state.output_file_id is None and state.error_file_id is None


def may_appear(ended_at: float | None, now: float) -> bool:
    """Whether the file of a batch that has ended may be there a little later."""
    return ended_at is not None and abs(now - ended_at) <= _FILES_APPEAR_WITHIN


def ready_partitions(
    records: Iterable[BatchRecord], has_room: Callable[[BatchRecord], bool], now: float
) -> Mapping[Partition, str]:
    """The partitions for which a run has something to do, each with a text that is another one once that is something else.

    A partition of which a batch is still on its way is left for later. A batch that somebody cancelled is no reason, nor one
    that was refused, once a run has told of that: a run would submit its rows again. `has_room` says whether the queue has
    room for what waits for it.
    """
    reasons: dict[Partition, list[str]] = {}
    later: set[Partition] = set()
    for record in records:
        is_ready = _is_ready(record, has_room, now)
        for partition in record.waiting_partitions:
            if is_ready:
                reasons.setdefault(partition, []).append(_reason(record))
            elif record.is_on_its_way and not record.poll.is_ended:
                later.add(partition)
    return {
        partition: _short(",".join(sorted(why)))
        for partition, why in reasons.items()
        if partition not in later
    }


def _is_ready(record: BatchRecord, has_room: Callable[[BatchRecord], bool], now: float) -> bool:
    if record.state == "ended":
        return not record.refused
    if record.state == "waiting":
        return has_room(record)
    if record.state == "submitted":
        if is_late(record, now):
            return True
        return record.poll.is_ended and record.poll.status not in _CANCELLED
    return now - record.created_at > _ABANDONED


def _reason(record: BatchRecord) -> str:
    """A batch that has ended is the same reason before and after it was collected, by a run for another partition."""
    has_ended = record.state == "ended" or record.poll.is_ended
    return record.name if has_ended else f"{record.name}:{record.state}"


def _short(text: str) -> str:
    """A text as it is, its digest where it is long."""
    if len(text) <= _MOST_KEY_TEXT:
        return text
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
