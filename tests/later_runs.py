"""Runs of a column whose answers come later, on a clock that only waiting moves, without Dagster."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import httpx2
import pyarrow as pa
from upath import UPath

from pxt_assets import Table
from pxt_assets.api.budget import Budget
from pxt_assets.api.client import Client
from pxt_assets.api.request import Request
from pxt_assets.api.server_name import AskedServer
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.deferred.deferral import Deferral
from pxt_assets.compute.deferred.queue import NoQueue
from pxt_assets.compute.partition.column import Column, Options, Outcome
from pxt_assets.compute.partition.inputs import Inputs
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.compute.run_later import compute_later
from pxt_assets.compute.run_partitions import RunCallbacks, RunEnd
from pxt_assets.expressions.walk import type_of
from pxt_assets.storage.layout import batches_folder, stored_file
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.storage.rows import rows_of
from pxt_assets.throttle import Pool
from tests.fake_batches import FakeBackground, FakeBatches, chat_answer
from tests.runs import ask

TICKETS = dg.AssetKey(["tickets"])
DAY = 86_400.0


class Online:
    """Stands for the wire: answers at once as the batches do."""

    base_url = httpx2.URL("http://127.0.0.1/v1/")

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.answer: Callable[[Mapping[str, Any]], tuple[int, Any]] = chat_answer
        self.before: Callable[[Request], Awaitable[None]] | None = None
        """Is awaited before an answer."""

    async def post(self, request: Request) -> httpx2.Response:
        body = json.loads(request.payload)
        self.asked.append(body)
        await asyncio.sleep(0)
        if self.before is not None:
            await self.before(request)
        status, said = self.answer({"url": request.endpoint.path, "body": body})
        return httpx2.Response(status, json=said, request=httpx2.Request("POST", self.base_url))

    async def get(self, path: str) -> httpx2.Response:
        raise ConnectionError(path)

    @property
    def texts(self) -> list[str]:
        """What was asked, sorted."""
        return sorted(str(body["messages"][-1]["content"]) for body in self.asked)


@dataclass
class Run:
    """What a run came to."""

    end: RunEnd
    outcomes: dict[str | None, Outcome] = field(default_factory=dict)
    errors: dict[str | None, BaseException] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


class LaterTickets:
    """A column `c` about the bodies in `rows`, by partition; a server of batches, and a clock.

    Events that a test sets by `at` happen when the clock has come there, which waiting moves.
    """

    def __init__(self, folder: Path, rows: dict[str | None, list[str | None]]) -> None:
        self.base = UPath(folder)
        self.rows = rows
        self.now = 1_800_000_000.0
        self.batches = FakeBatches(now=lambda: self.now)
        self.background = FakeBackground()
        self.online = Online()
        self.naps: list[float] = []
        self._events: list[tuple[float, Callable[[], object]]] = []
        self.column: Callable[[Table], Any] = lambda table: ask(table.body)
        self.is_azure = False
        self.code_version = "1"

    def at(self, seconds: float, event: Callable[[], object]) -> None:
        """Has something happen so many seconds from now."""
        self._events.append((self.now + seconds, event))

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        assert len(self.naps) < 3_000, "it waits for ever"
        self.now += seconds
        for due, event in sorted(self._events, key=lambda one: one[0]):
            if due <= self.now:
                self._events.remove((due, event))
                event()
        await asyncio.sleep(0)

    def batch_api(self) -> Any:
        return _entered(self.batches)

    def background_api(self) -> Any:
        return _entered(self.background)

    def batch_queue(self) -> Any:
        return NoQueue()

    def file(self, partition: str | None = None) -> ParquetFile:
        return stored_file(self.base, ("tickets", "c"), partition or "c")

    def stored(self, partition: str | None = None) -> list[Any]:
        """What is stored of a partition."""
        return self.file(partition).rows().table(["c"])["c"].to_pylist() if self.exists(partition) else []

    def exists(self, partition: str | None = None) -> bool:
        return self.file(partition).reopened().exists()

    def run(
        self,
        *partitions: str | None,
        within: Any = "24h",
        wait: bool = True,
        budget: float | None = None,
        limit: int | None = None,
        **options: Any,
    ) -> Run:
        """A run of these partitions, of all by default, a minute after the last one."""
        self.now += 60
        self.naps.clear()
        journal = partial(Journal, clock_ns=lambda: int(self.now * 1e9))
        with mock.patch("pxt_assets.compute.compute_partition.Journal", journal):
            return asyncio.run(
                self._run(partitions or tuple(self.rows), within, wait, budget, limit, options)
            )

    async def _run(
        self, keys: Any, within: Any, wait: bool, budget: float | None, limit: int | None, options: Any
    ) -> Run:
        run = Run(RunEnd({}, None))
        pool = Pool()
        client = Client(
            self.online,  # type: ignore[arg-type]
            lambda _: pool,
            max_in_flight=8,
            max_retries=1,
            timeout=60.0,
            outage_timeout=300.0,
            say=lambda _: None,
            rng=random.Random(0),
        )
        expr = self.column(Table(TICKETS, key="id"))
        column_type, _ = type_of(expr)
        plan = Plan(expr, column_type, caches=True)
        spending = None if budget is None else Budget(budget)

        def open_column(partition: str | None) -> Column:
            bodies = self.rows[partition]
            table = pa.table({"id": range(len(bodies)), "body": pa.array(bodies, pa.string())})
            return Column(
                label=f"tickets/c[{partition}]" if partition else "tickets/c",
                name="c",
                plan=plan,
                column_type=column_type,
                inputs=Inputs({TICKETS: rows_of(table)}, ("id",), plan.columns),
                file=self.file(partition),
                options=Options(limit=limit, **options),
                run_id="run",
                budget=spending,
                code_version=self.code_version,
                file_metadata={"asset": ["tickets", "c"], "partition": partition},
            )

        state = RunState(
            client, name="tickets/c", partitions=len(keys), server=AskedServer("api.openai.com", "reuse")
        )
        callbacks = RunCallbacks(
            run.log.append,
            run.log.append,
            run.outcomes.__setitem__,
            lambda key, _, error: run.errors.__setitem__(key, error),
        )
        deferral = Deferral(
            within,
            wait,
            batches_folder(self.file(keys[0])),
            self,
            is_trial=limit is not None,
            clock=lambda: self.now,
            sleep=self.sleep,
        )
        run.end = await compute_later(keys, open_column, state, callbacks, deferral)
        return run


@asynccontextmanager
async def _entered(api: Any) -> Any:
    yield api
