"""Servers that name no limit and reject nothing: what they do not work on waits in silence. And clients before them."""

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pxt_assets.throttle import Limiter, Pool
from tests.virtual_time import run


@dataclass
class QueueingServer:
    """Works on `slots` requests at once, in the order they came, whether or not somebody still waits for the answer."""

    slots: int
    seconds: Callable[[], float] = lambda: 1.0
    """What a request takes once it has a slot."""
    headers: Mapping[str, str] = field(default_factory=dict)
    waiting: int = 0
    most_waiting: int = 0
    """Requests that waited for a slot or had one at once, at most."""

    def __post_init__(self) -> None:
        self._queue: list[asyncio.Future[None]] = []
        self._at_work = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def request(self) -> Mapping[str, str]:
        task = asyncio.ensure_future(self._work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)
        return self.headers

    def resize(self, slots: int) -> None:
        self.slots = slots
        self._next()

    async def _work(self) -> None:
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._next()
        await turn
        await asyncio.sleep(self.seconds())
        self._at_work -= 1
        self.waiting -= 1
        self._next()

    def _next(self) -> None:
        while self._queue and self._at_work < self.slots:
            self._at_work += 1
            self._queue.pop(0).set_result(None)


@dataclass
class BatchingServer:
    """Works on up to `most` requests at once, each the slower the more there are (vLLM); the others queue."""

    most: int = 256
    seconds: Callable[[], float] = lambda: 1.0
    """What a request takes alone."""
    slowing: float = 1 / 128
    """How much slower each other one makes it."""
    step: float = 0.02
    """Seconds in which it works on all of them once."""
    headers: Mapping[str, str] = field(default_factory=dict)
    most_waiting: int = 0

    def __post_init__(self) -> None:
        self._queue: list[tuple[float, asyncio.Future[None]]] = []
        self._batch: list[list] = []
        self._worker: asyncio.Task[None] | None = None

    async def request(self) -> Mapping[str, str]:
        done = asyncio.get_running_loop().create_future()
        self._queue.append((self.seconds(), done))
        self.most_waiting = max(self.most_waiting, len(self._queue) + len(self._batch))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.ensure_future(self._work())
        await done
        return self.headers

    async def _work(self) -> None:
        while self._queue or self._batch:
            while self._queue and len(self._batch) < self.most:
                self._batch.append(list(self._queue.pop(0)))
            await asyncio.sleep(self.step * (1 + self.slowing * (len(self._batch) - 1)))
            for one in self._batch:
                one[0] -= self.step
                if one[0] <= 1e-9 and not one[1].done():
                    one[1].set_result(None)
            self._batch = [one for one in self._batch if one[0] > 1e-9]


@dataclass
class Run:
    """What came of asking for some rows."""

    seconds: float
    """Until the last row was answered."""
    sent: int
    """Requests."""
    lost: int
    """Those that met the timeout."""
    rows: int
    in_flight: list[tuple[float, int]]
    """Times, and what was in flight then."""

    @property
    def in_vain(self) -> float:
        """Share of the rows that was sent once more."""
        return (self.sent - self.rows) / self.rows

    def when(self, in_flight: int) -> float:
        """The time at which so many were in flight first."""
        return next((at for at, number in self.in_flight if number >= in_flight), math.inf)


async def ask(
    limiter: Limiter,
    server: QueueingServer | BatchingServer,
    rows: int,
    *,
    max_in_flight: int = 1000,
    seconds: float | None = None,
) -> Run:
    """Ask for rows, each again until it is answered within so many seconds, as the client does."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    outcome = Run(0, 0, 0, rows, [])
    window = asyncio.Semaphore(max_in_flight)
    in_flight = 0

    async def one() -> None:
        nonlocal in_flight
        while True:
            async with window:
                permit = await limiter.acquire({"requests": 1.0})
                outcome.sent += 1
                in_flight += 1
                outcome.in_flight.append((loop.time() - start, in_flight))
                try:
                    async with asyncio.timeout(seconds):
                        headers = await server.request()
                except TimeoutError:
                    permit.lost()
                    outcome.lost += 1
                else:
                    permit.answered(headers)
                    return
                finally:
                    in_flight -= 1
            await asyncio.sleep(random.uniform(0.2, 1.0))

    await asyncio.gather(*(one() for _ in range(rows)))
    outcome.seconds = loop.time() - start
    return outcome


def play(
    server: QueueingServer | BatchingServer,
    rows: int,
    *,
    max_in_flight: int = 1000,
    timeout: float | None = None,
    pool: Pool | None = None,
    events: tuple[tuple[float, Callable[[], object]], ...] = (),
) -> Run:
    """Ask for rows on a virtual clock, from few upwards unless a pool is given."""

    async def main() -> Run:
        for when, event in events:
            asyncio.get_running_loop().call_at(when, event)
        limiter = Limiter(pool or Pool(from_few=True))
        return await ask(limiter, server, rows, max_in_flight=max_in_flight, seconds=timeout)

    return run(main())
