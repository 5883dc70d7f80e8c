"""What is on record of a column's answers that come later, for who only looks: a sensor, the command line."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg

from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.assets.columns.coming_responses import Heard, partitions_in_background, ready_responses
from pxt_assets.assets.page.waiting import age_text
from pxt_assets.compute.asking.background_ids import BackgroundLook
from pxt_assets.compute.deferred.polling import poll_states, read_records, ready_partitions
from pxt_assets.compute.deferred.record import BatchRecord
from pxt_assets.errors import PxtError, RunError
from pxt_assets.local.threads import run_in_thread
from pxt_assets.storage.layout import batches_folder
from pxt_assets.storage.store import ColumnStore
from pxt_assets.values.wording import counted

if TYPE_CHECKING:
    from upath import UPath

_MAX_NAME = 60
_MOST_SECONDS = 25.0
"""For how long anything is waited for: Dagster gives a sensor a minute."""
_PATIENCE_SECONDS = 10.0
"""For how long faults of the server are tried again: who looks comes again soon."""

Partition = str | None


@dataclass(frozen=True)
class ComingAnswers:
    """What is on record of a column."""

    records: Sequence[BatchRecord] = ()
    ready: Mapping[Partition, str] = field(default_factory=dict)
    """The partitions that have something to collect, each with a text that names it."""
    responses: Mapping[Partition, BackgroundLook] = field(default_factory=dict)
    """What partitions have asked for in the background."""
    problem: Exception | None = None
    """Why it could not be looked at as a whole."""
    is_unreadable: bool = False
    """Whether what is on record cannot be read, which somebody has to mend."""

    def __bool__(self) -> bool:
        return bool(self.records or self.responses)

    @property
    def waiting(self) -> frozenset[Partition]:
        """The partitions for which nothing is ready yet."""
        every = {partition for record in self.records for partition in record.waiting_partitions}
        return frozenset((every | self.responses.keys()) - self.ready.keys())

    @property
    def since(self) -> float:
        """When the first of it was asked for, in seconds since 1970."""
        first = [look.first.at for look in self.responses.values()]
        return min([*first, *(record.created_at for record in self.records)])

    @cached_property
    def batches(self) -> Mapping[Partition, frozenset[str]]:
        """The names of the batches that each partition waits for."""
        names: defaultdict[Partition, set[str]] = defaultdict(set)
        for record in self.records:
            for partition in record.waiting_partitions:
                names[partition].add(record.name)
        return {partition: frozenset(of) for partition, of in names.items()}

    @property
    def runs(self) -> Mapping[Partition, str]:
        """The runs that submitted the newest batches that partitions wait for, by their ids, as far as they are on record."""
        return {
            partition: record.submitted_by
            for record in self.records
            if record.submitted_by is not None
            for partition in record.waiting_partitions
        }

    @property
    def ready_names(self) -> frozenset[str]:
        """The names of the batches of partitions that are ready."""
        ready = self.ready.keys()
        return frozenset(one.name for one in self.records if ready & {*one.waiting_partitions})

    def text(self, now: float) -> str:
        """What is on its way, for a person."""
        views = [record.view(now) for record in self.records if record.waiting_partitions]
        parts = []
        if views:
            done, of = sum(one.completed + one.failed for one in views), sum(one.total for one in views)
            batches = counted(len(views), "batch", "batches")
            age = age_text(max(one.age_s for one in views))
            parts.append(f"{done:,} of {counted(of, 'answer')} there, in {batches}, for {age}")
        if self.responses:
            made = sum(look.responses for look in self.responses.values())
            age = age_text(now - min(look.first.at for look in self.responses.values()))
            parts.append(f"{counted(made, 'answer')} made in the background, for {age}")
        return " and ".join(parts) or "nothing is on its way"


def records_folder(store: ColumnStore, column: dg.AssetKey) -> UPath:
    """Where the batches of a column are on record, of all its partitions."""
    return batches_folder(store.file(column))


async def coming_answers(
    store: ColumnStore,
    openai: OpenAIResource,
    column: dg.AssetKey,
    partitions: Sequence[Partition],
    heard: Heard,
    clock: Callable[[], float] = time.time,
) -> ComingAnswers:
    """What is on record of a column, after the server was asked about what is due, once a minute at most.

    No file is downloaded. What goes wrong is told as its `problem`, beside what is known nevertheless.

    Args:
        store: where the column is stored.
        openai: who is asked.
        column: its key.
        partitions: all of its partitions, [None] for one without.
        heard: what was heard of responses in the background, to which is added.
        clock: gives seconds since 1970.
    """
    records: Sequence[BatchRecord] = ()
    looks: Mapping[Partition, BackgroundLook] = {}
    fetchable: Mapping[Partition, str] = {}
    problem: Exception | None = None
    try:
        folder = records_folder(store, column)
        records = await run_in_thread(read_records, folder)
        looks = await run_in_thread(partitions_in_background, store, column, partitions)
    except (PxtError, OSError, ValueError) as e:
        return ComingAnswers(records, problem=e, is_unreadable=True)
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            if any(record.is_on_its_way for record in records):
                async with openai.batch_api(_PATIENCE_SECONDS) as api:
                    records = await poll_states(folder, api, clock=clock)
            if looks:
                async with openai.background_api(_PATIENCE_SECONDS) as background:
                    fetchable = await ready_responses(background, looks, heard, clock)
    except TimeoutError:
        problem = RunError(f"the server did not say within {_MOST_SECONDS:.0f} s how far its batches are")
    except (PxtError, OSError, ValueError) as e:
        problem = e
    has_room = await run_in_thread(_room, openai, [one for one in records if one.state == "waiting"])
    ready = _named(records, ready_partitions(records, lambda one: one.name in has_room, clock()))
    for partition, name in fetchable.items():
        ready[partition] = f"{ready[partition]},{name}" if partition in ready else name
    return ComingAnswers(records, ready, looks, problem)


def _named(records: Sequence[BatchRecord], ready: Iterable[Partition]) -> dict[Partition, str]:
    """What is to be done for each partition that is ready: the same text until something else is to be done.

    What one run has collected of a batch the others still have to.
    """
    reasons: defaultdict[Partition, list[str]] = defaultdict(list)
    for record in records:
        is_done = record.state == "ended" or (record.state == "submitted" and record.poll.is_ended)
        for partition in record.waiting_partitions:
            reasons[partition].append(f"{record.name}:{'done' if is_done else record.state}")
    return {partition: short_name(",".join(sorted(reasons[partition]))) for partition in ready}


def short_name(text: str) -> str:
    """A text as it is, its digest where it is long: there may be one of each partition in a cursor."""
    return text if len(text) <= _MAX_NAME else hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _room(openai: OpenAIResource, records: Sequence[BatchRecord]) -> set[str]:
    """The names of those of the records, which wait for room in a queue, that there is room for."""
    if not records:
        return set()
    queue = openai.batch_queue()
    room = {model: queue.room(model) for model in {one.model for one in records}}
    return {one.name for one in records if room[one.model] > 0}
