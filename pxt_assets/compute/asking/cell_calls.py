"""Makes the calls that lead to cells: requests to the API, and functions that run in this process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext

from pxt_assets.api.answer import Answer
from pxt_assets.api.client import Client
from pxt_assets.api.meter import Meter
from pxt_assets.api.request import CellRequest, Request, Usage, pack
from pxt_assets.api.server_name import SIMULATOR
from pxt_assets.compute.asking.batch_size import BatchSizes
from pxt_assets.compute.asking.dividing import Waiting
from pxt_assets.compute.asking.packing import Packer
from pxt_assets.compute.asking.shared_answers import SharedAnswers, ValueWithProvenance
from pxt_assets.local.local_call import MAX_CALLS_IN_FLIGHT, LocalCall
from pxt_assets.local.threads import DaemonThreadPool
from pxt_assets.local.udf import LocalFunction
from pxt_assets.local.worker_pools import WorkerPools
from pxt_assets.storage.provenance import Provenance, split_usage

_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""Sync functions that run at the same time."""


class CellCalls:
    """Makes the calls of one partition's cells. `meter` counts what they use; once it is stopped, none is sent.

    `sizes` is what is known of how many cells the server takes in a request. `pools` has the workers of functions that run
    on such; without it they run in this process.
    """

    def __init__(
        self,
        client: Client | None,
        meter: Meter,
        sizes: BatchSizes | None = None,
        server: str | None = None,
        pools: WorkerPools | None = None,
    ) -> None:
        self._client = client
        self._server = server
        self._meter = meter
        self._api = Packer(self._send, sizes or BatchSizes(None if client is None else client.max_batch))
        self._failed_before: set[bytes] = set()
        self._local = Packer(self._run)
        self._local_slots = asyncio.Semaphore(MAX_CALLS_IN_FLIGHT)
        self._threads = DaemonThreadPool(_THREADS)
        self._pools = pools
        self._answers = SharedAnswers()

    async def ask(self, request: Request, *, failed_before: bool) -> ValueWithProvenance:
        """The value of a request that is sent by itself, and its provenance. Raises as the client does."""
        assert self._client is not None
        answer = await self._client.send(request, self._meter, failed_before=failed_before)
        return answer.values[0], self._provenance(answer, answer.usage, answer.cost_usd, request.tokens)

    def gather(self, request: Request, waiting: Waiting, *, failed_before: bool) -> None:
        """Has a request sent together with others of its kind; `waiting` is told what comes of it."""
        if failed_before:
            self._failed_before.add(request.digest)
        self._api.add(request, waiting)

    async def answer(
        self, asked: CellRequest, *, is_cell: bool, failed_before: bool = False
    ) -> ValueWithProvenance:
        """The value of a call, and its provenance: empty, where an equal call of another cell gave the value.

        A call that is a whole cell (`is_cell`) needs no sharing: equal cells are asked for once. Raises as the client does.
        """
        answer: ValueWithProvenance
        if failed_before:
            self._failed_before.add(asked.digest)
        if isinstance(
            asked, LocalCall
        ):  # functions of equal source may close over other objects: none is shared
            with nullcontext() if self._client is None else self._client.expect_requests():
                answer = await self._local.ask(asked)
        elif is_cell:
            answer = await self._api.ask(asked)
        else:
            answer = await self._answers.get_or_ask(asked, self._api.ask)
        return answer

    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        """The tasks that send requests of several cells."""
        return [*self._api.tasks, *self._local.tasks]

    def drop_gathered(self) -> None:
        """Cancels what waits to be sent together with others."""
        self._api.drop()
        self._local.drop()

    def close(self) -> None:
        """Starts no more functions, and does not wait for those that run."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _send(self, requests: Sequence[Request]) -> Sequence[ValueWithProvenance]:
        """The value of each cell, and its provenance."""
        assert self._client is not None
        request = requests[0] if requests[0].max_cells == 1 else pack(requests)
        failed_before = all(cell.digest in self._failed_before for cell in requests)
        answer = await self._client.send(request, self._meter, failed_before=failed_before)
        estimates = [cell.tokens for cell in requests]
        shares = split_usage(answer.usage, answer.cost_usd, estimates)
        return [
            (value, self._provenance(answer, usage, cost, estimate))
            for value, estimate, (usage, cost) in zip(answer.values, estimates, shares, strict=True)
        ]

    def _provenance(
        self, answer: Answer, usage: Usage | None, cost_usd: float | None, estimated_tokens: float
    ) -> Provenance:
        """That of one cell of an answer, by its share of the usage and the cost."""
        assert self._client is not None
        return Provenance(
            answer.request_id,
            answer.model,
            usage.input_tokens if usage else None,
            usage.output_tokens if usage else None,
            usage.cached_tokens if usage else None,
            estimated_tokens,
            cost_usd,
            answer.latency_s,
            answer.attempts,
            SIMULATOR if self._client.simulated else self._server,
        )

    async def _run(self, calls: Sequence[LocalCall]) -> Sequence[ValueWithProvenance]:
        task = asyncio.current_task()
        assert task is not None
        self._meter.unsent_tasks.add(task)
        function = calls[0].function
        pool = None if self._pools is None else self._pools.of(function)
        try:
            async with self._local_slots if pool is None else pool.slots:
                if self._meter.stopped:
                    raise asyncio.CancelledError
                self._meter.unsent_tasks.discard(task)
                began = time.monotonic()
                rows = [call.arguments for call in calls]
                if pool is not None and isinstance(function, LocalFunction):
                    values = await pool.run(function, rows)
                else:
                    values = await function.run(rows, self._threads)
                provenance = Provenance(
                    input_tokens=0,
                    output_tokens=0,
                    cached_tokens=0,
                    cost_usd=0.0,
                    latency_s=time.monotonic() - began,
                    attempts=1,
                )
                return [(value, provenance) for value in values]
        finally:
            self._meter.unsent_tasks.discard(task)
