"""Processes that share a ledger in memory, all on one virtual clock."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pxt_assets.throttle import Limiter, Pool
from pxt_assets.throttle.ledger.arithmetic import exchange
from pxt_assets.throttle.ledger.ledger_share import LedgerShare
from pxt_assets.throttle.ledger.messages import ExchangeAnswer, ExchangeRequest
from pxt_assets.throttle.ledger.pool_rows import PoolRows
from tests.throttle.server import Outcome, Server


@dataclass
class MemoryLedger:
    """A ledger in memory, whose clock shows another time than everybody else's."""

    pool: PoolRows = field(default_factory=PoolRows)
    exchanges: int = 0
    reachable: bool = True

    def exchange(self, process: str, request: ExchangeRequest) -> ExchangeAnswer:
        self.exchanges += 1
        return exchange(self.pool, process, request, 1e6 + asyncio.get_running_loop().time())


@dataclass
class LoopWorker:
    """Runs exchanges by the loop's timers; each takes `seconds`."""

    ledger: MemoryLedger
    process: str
    seconds: Callable[[], float] = lambda: 0.004
    alive: bool = True
    timer: asyncio.TimerHandle | None = None

    def time(self) -> float:
        return asyncio.get_running_loop().time()

    def notify(self, share: LedgerShare) -> None:
        if self.timer is not None:
            self.timer.cancel()
        loop = asyncio.get_running_loop()
        self.timer = loop.call_at(max(share.due, loop.time()), self._begin, share)

    def _begin(self, share: LedgerShare) -> None:
        if self.alive:
            loop = asyncio.get_running_loop()
            loop.call_later(
                self.seconds() / 2, self._exchange, share, share.request(loop.time()), loop.time()
            )

    def _exchange(self, share: LedgerShare, request: ExchangeRequest, sent: float) -> None:
        loop = asyncio.get_running_loop()
        if self.ledger.reachable:
            answer = self.ledger.exchange(self.process, request)
            loop.call_later(self.seconds() / 2, lambda: share.settle(request, answer, sent, loop.time()))
        else:
            share.fail("not reachable", loop.time(), request=request)


@dataclass
class Process:
    """One simulated process."""

    worker: LoopWorker
    pool: Pool
    limiter: Limiter

    @staticmethod
    def start(
        ledger: MemoryLedger,
        name: str,
        *,
        rpm: float | None = None,
        seconds: float = 0.004,
        from_few: bool = False,
    ) -> "Process":
        worker = LoopWorker(ledger, name, lambda: seconds)
        pool = Pool(rpm=rpm, share=LedgerShare("pool", worker), from_few=from_few)
        return Process(worker, pool, Limiter(pool))


async def send_shared(
    processes: Sequence[Process],
    server: Server,
    requests: Sequence[dict[str, float]],
    *,
    charged: Callable[[dict[str, float]], dict[str, float]] = lambda costs: costs,
    lost: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Send requests, dealt out to processes, again when rejected."""
    start = asyncio.get_running_loop().time()

    async def send(limiter: Limiter, costs: dict[str, float]) -> None:
        requeued = False
        while True:
            permit = await limiter.acquire(costs, requeued=requeued)
            status, headers = await server.request(charged(costs))
            if status != 200:
                permit.rejected(headers)
                requeued = True
            elif lost():
                permit.lost()
                return
            else:
                permit.answered(headers)
                return

    async with asyncio.TaskGroup() as group:
        for number, costs in enumerate(requests):
            group.create_task(send(processes[number % len(processes)].limiter, costs))
    statistics = [process.limiter.statistics() for process in processes]
    return Outcome(
        seconds=server.arrivals[-1] - start,
        rejections=server.rejections,
        utilization=min(each.utilization or 0.0 for each in statistics),
        rate_limited=sum(each.rate_limited for each in statistics),
    )
