"""Makes the calls that lead to cells: requests to the API, and functions that run in this process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

from pxt_assets.api.client import Client
from pxt_assets.api.meter import Meter
from pxt_assets.api.request import Asked, Request, pack
from pxt_assets.compute.asking.packing import Packer
from pxt_assets.compute.asking.shared_answers import Answers
from pxt_assets.local.local_call import MAX_CALLS_IN_FLIGHT, LocalCall
from pxt_assets.local.threads import DaemonThreadPool
from pxt_assets.storage.provenance import Provenance, shared_out

_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""Sync functions that run at once."""

Answered = tuple[Any, Provenance]


class Calls:
    """The calls of one partition's cells. What they use is counted by `meter`; once it is stopped none is sent."""

    def __init__(self, client: Client | None, meter: Meter) -> None:
        self._client = client
        self._meter = meter
        self._api = Packer(self._send)
        self._local = Packer(self._run)
        self._local_slots = asyncio.Semaphore(MAX_CALLS_IN_FLIGHT)
        self._threads = DaemonThreadPool(_THREADS)
        self._answers = Answers()

    async def answer(self, asked: Asked, *, is_cell: bool) -> Answered:
        """The value of what is asked for, and what it took: nothing, where an equal call of another cell gave it.

        What is a cell of its own (`is_cell`) is asked for once as it is. Raises as the client does.
        """
        answered: Answered
        if isinstance(
            asked, LocalCall
        ):  # functions of equal source may close over other objects: none is shared
            answered = await self._local.ask(asked)
        elif is_cell:
            answered = await self._api.ask(asked)
        else:
            answered = await self._answers.of(asked, self._api.ask)
        return answered

    def close(self) -> None:
        """Starts no function any more. Those that run are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _send(self, requests: Sequence[Request]) -> Sequence[Answered]:
        """The value of each cell, and what it took."""
        assert self._client is not None
        request = requests[0] if requests[0].max_cells == 1 else pack(requests)
        answer = await self._client.send(request, self._meter)
        estimates = [one.tokens for one in requests]
        shares = shared_out(answer.usage, answer.cost_usd, estimates)
        return [
            (
                value,
                Provenance(
                    answer.request_id,
                    answer.model,
                    usage.input_tokens if usage else None,
                    usage.output_tokens if usage else None,
                    usage.cached_tokens if usage else None,
                    estimate,
                    cost,
                    answer.latency_s,
                    answer.attempts,
                ),
            )
            for value, estimate, (usage, cost) in zip(answer.values, estimates, shares, strict=True)
        ]

    async def _run(self, calls: Sequence[LocalCall]) -> Sequence[Answered]:
        task = asyncio.current_task()
        assert task is not None
        self._meter.unsent.add(task)
        try:
            async with self._local_slots:
                if self._meter.stopped:
                    raise asyncio.CancelledError
                self._meter.unsent.discard(task)
                began = time.monotonic()
                values = await calls[0].function.run([call.arguments for call in calls], self._threads)
                took = Provenance(
                    input_tokens=0,
                    output_tokens=0,
                    cached_tokens=0,
                    cost_usd=0.0,
                    latency_s=time.monotonic() - began,
                    attempts=1,
                )
                return [(value, took) for value in values]
        finally:
            self._meter.unsent.discard(task)
