"""A column whose answers come later, over an API in memory: what a run does with it, in small."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from upath import UPath

from pxt_assets.api.batches import LineAnswer
from pxt_assets.api.request import Endpoint, ParsedAnswer, Request
from pxt_assets.compute.cells.segments import names_in
from pxt_assets.compute.deferred.deferred_column import DeferredColumn
from pxt_assets.compute.deferred.record import BatchRecord, Partition
from pxt_assets.compute.deferred.submission import Submitted
from pxt_assets.throttle.cost import RequestSize
from tests.fake_batches import FakeBatches

START = 1_800_000_000.0


def _parse(body: bytes, _request: Mapping[str, Any]) -> ParsedAnswer:
    return ParsedAnswer([json.loads(body)], None)


CHAT = Endpoint("/chat/completions", _parse, lambda body: RequestSize(text=len(str(body["messages"])) / 4))


def ask(text: str, model: str = "gpt-6-luna") -> Request:
    return Request(CHAT, {"model": model, "messages": [{"role": "user", "content": text}]})


def digests_of(requests: Iterable[Request]) -> np.ndarray[Any, np.dtype[np.bytes_]]:
    return np.array([request.digest for request in requests], "S16")


def said(answer: LineAnswer) -> str:
    return str(json.loads(answer.body)["choices"][0]["message"]["content"])


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


Rows = Mapping[Partition, Sequence[Request]]
Answers = dict[Partition, dict[bytes, LineAnswer]]


class World:
    """A store, a clock, and an API; processes come and go."""

    def __init__(self, folder: Path | UPath, api: FakeBatches | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.api = FakeBatches(now=self.clock) if api is None else api
        self.folder = UPath(folder) / "batches"
        self.options = options
        self.journal: Answers = {}
        """The answers that runs have taken, which are durable."""

    def column(self, api: Any = None, **options: Any) -> DeferredColumn:
        """The column as a new process has it."""
        options = {"clock": self.clock, "sleep": self.clock.sleep, **self.options, **options}
        return DeferredColumn(self.folder, api or self.api, **options)

    @property
    def names(self) -> list[str]:
        """The files in the folder."""
        return sorted(names_in(self.folder))


def look_up(column: DeferredColumn, rows: Rows, found: Answers | None = None) -> Answers:
    """A pass over partitions: takes what is kept, wants what is missing, settles partitions that are complete."""
    answers: Answers = {} if found is None else found
    for partition, requests in rows.items():
        finished = answers.setdefault(partition, {})
        digests = digests_of(requests)
        is_missing = np.array([request.digest not in finished for request in requests])
        kept = column.kept_mask(digests, partition) & is_missing
        for answer, _ in column.take(digests[kept], partition):
            finished[bytes.fromhex(answer.custom_id)] = answer
        waits = column.on_its_way(digests) & is_missing & ~kept
        column.also_waits(partition, digests[waits])
        for i in np.flatnonzero(is_missing & ~kept & ~waits).tolist():
            column.want(requests[i], partition, 0.25)
        if is_complete(answers, {partition: requests}):
            column.settle(partition, digests)
    return answers


def is_complete(answers: Answers, rows: Rows) -> bool:
    return all(request.digest in answers[partition] for partition, some in rows.items() for request in some)


async def submit(column: DeferredColumn, rows: Rows) -> Submitted:
    async with column.hold():
        look_up(column, rows)
        return await column.submit()


async def run(world: World, rows: Rows, column: DeferredColumn | None = None, polls: int = 100) -> Answers:
    """A run that waits until all rows are answered."""
    column = world.column() if column is None else column
    for _ in range(polls):
        async with column.hold():
            await column.poll()
            look_up(column, rows, world.journal)
            await column.submit()
        if is_complete(world.journal, rows):
            return world.journal
        for _ in range(polls):
            await world.clock.sleep(column.seconds_to_poll() or 1.0)
            if await column.poll():
                break
            end_batches(world)
    raise AssertionError("it never ends")


def end_batches(world: World) -> None:
    """What a server does by itself: completes what is on its way, and ends what was cancelled."""
    for batch_id in world.api.on_their_way:
        if world.api.batches[batch_id].is_cancelling:
            world.api.finish_cancel(batch_id)
        else:
            world.api.complete(batch_id)


def states(records: Iterable[BatchRecord]) -> list[str]:
    return [record.state for record in records]
