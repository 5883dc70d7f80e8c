"""Random histories of a limiter: a server, its limits and faults, processes that come and go, a ledger and its clock.

A history is drawn from a seed, and played on a virtual clock. It ends when every request is answered.
"""

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from pxt_assets.throttle import Limiter, Pool
from pxt_assets.throttle.ledger.arithmetic import PoolRows, exchange
from pxt_assets.throttle.ledger.messages import ExchangeAnswer, ExchangeRequest
from tests.throttle.ledger.virtual import MemoryLedger, Process
from tests.throttle.server import Meter, Server, log_normal

KEPT_WAITING_SECONDS = 150.0
"""The longest that one disturbance may cost beyond its own length: a hold is a minute at most, and so is a backoff."""
ODD_HEADERS: tuple[dict[str, str], ...] = (
    {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"},
    {"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "-1"},
    {"x-ratelimit-limit-requests": "nan", "x-ratelimit-remaining-requests": "inf"},
    {"x-ratelimit-limit-requests": "1e308", "x-ratelimit-remaining-requests": "1e308"},
    {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "6000"},
    {
        "x-ratelimit-limit-tokens": "1000000",
        "x-ratelimit-remaining-tokens": "999999",
        "x-ratelimit-reset-tokens": "0s",
    },
    {"retry-after": "3600"},
    {"retry-after": "Thu, 01 Jan 2099 00:00:00 GMT"},
    {"retry-after-ms": "1e300"},
    {"retry-after": "-5"},
    {"retry-after": "soon"},
    {},
)
"""What gateways and servers in trouble say; any answer may carry it."""


@dataclass
class SteppingLedger(MemoryLedger):
    """A ledger whose clock can be set, and whose rows are looked at after each exchange."""

    clock: float = 1e9
    """What its clock shows at the beginning."""

    def exchange(self, process: str, request: ExchangeRequest) -> ExchangeAnswer:
        self.exchanges += 1
        answer = exchange(self.pool, process, request, self.clock + asyncio.get_running_loop().time())
        assert 0 <= answer.hold_seconds <= KEPT_WAITING_SECONDS
        for row in self.pool.buckets.values():
            numbers = (row.level, row.rate, row.drain, row.corrections, row.leased, row.spilled)
            assert all(map(math.isfinite, numbers)), row
            assert not math.isnan(row.limit), row
        return answer


@dataclass
class FaultyServer(Server):
    """A server with the limits of the API that faults at times, and says odd things."""

    source: random.Random = field(default_factory=random.Random)
    fault_share: float = 0.0
    odd_share: float = 0.0
    down: bool = False

    async def request(self, costs: object) -> tuple[int, dict[str, str]]:
        await asyncio.sleep(self.on_the_way())
        odd = dict(self.source.choice(ODD_HEADERS)) if self.source.random() < self.odd_share else None
        if self.down or self.source.random() < self.fault_share:
            return self.source.choice((0, 500, 503)), odd or {}
        if odd is not None and self.source.random() < 0.5:
            self.rejections += 1
            return 429, odd
        status, headers = await super().request(costs)  # type: ignore[arg-type]
        return status, headers if odd is None else odd


@dataclass
class History:
    """One history: what is sent, to whom, by how many processes, and what happens meanwhile."""

    seed: int
    source: random.Random = field(init=False)
    server: FaultyServer = field(init=False)
    ledger: SteppingLedger | None = field(init=False)
    rpm: float | None = field(init=False)
    requests: list[dict[str, float]] = field(init=False)
    disturbances: int = 0
    disturbed_seconds: float = 0.0
    lowest_share: float = 1.0
    """The least of the limit that is ever left to these processes."""
    processes: list[Process] = field(default_factory=list)
    sent: dict[int, int] = field(default_factory=dict)
    """Requests sent and not rejected, by the number of the limiter that granted them."""
    answered: int = 0

    def __post_init__(self) -> None:
        self.source = source = random.Random(self.seed)
        limit = math.exp(source.uniform(math.log(20), math.log(6_000)))
        tokens = limit * math.exp(source.uniform(math.log(100), math.log(3_000)))
        self.server = FaultyServer(
            {
                "requests": Meter(limit, limit * source.random()),
                "tokens": Meter(tokens, tokens * source.random()),
            },
            log_normal(math.exp(source.uniform(-3, 2)), 0.5, source),
            silent=source.random() < 0.2,
            source=source,
            fault_share=source.choice((0.0, 0.0, 0.1, 0.3)),
            odd_share=source.choice((0.0, 0.0, 0.02, 0.1)),
        )
        self.ledger = SteppingLedger() if source.random() < 0.8 else None
        self.rpm = source.choice((None, None, None, 600.0))
        most = min(1_000.0, tokens / 4)
        self.requests = [
            {"requests": 1.0, "tokens": source.uniform(1, most)} for _ in range(source.randint(10, 60))
        ]

    @property
    def needed_seconds(self) -> float:
        """How long the server takes at least to let all requests in, from empty buckets."""
        return max(
            sum(request[dimension] for request in self.requests) / meter.limit * meter.window
            for dimension, meter in self.server.meters.items()
        )

    @property
    def bound_seconds(self) -> float:
        """The time by which all must be answered: nobody waits for ever."""
        slowest = self.needed_seconds / self.lowest_share
        return 60 + 4 * slowest + self.disturbed_seconds + KEPT_WAITING_SECONDS * (1 + self.disturbances)

    async def play(self) -> float:
        """Send all requests, disturbed; return the seconds it took."""
        loop = asyncio.get_running_loop()
        for name in range(self.source.randint(1, 3) if self.ledger else 1):
            self._start(str(name))
        for _ in range(self.source.randint(0, 4)):
            self._plan_disturbance(loop)
        async with asyncio.TaskGroup() as group:
            for number, costs in enumerate(self.requests):
                group.create_task(self._send(number, costs))
        return loop.time()

    def check(self) -> None:
        """Every request was answered, none is held, and what was taken is what was sent."""
        assert self.answered == len(self.requests)
        for process in self.processes:
            limiter = process.limiter
            assert limiter.waiting == 0
            totals = limiter.totals()
            assert all(math.isfinite(number) for pair in totals.values() for number in pair)
            taken = totals["requests"][0]
            assert abs(taken - self.sent.get(id(limiter), 0)) < 1e-6, (taken, self.sent.get(id(limiter)))
            share = limiter.statistics().utilization
            assert share is None or 0 <= share <= 1 + 1e-9

    def _start(self, name: str) -> None:
        if self.ledger is not None:
            process = Process.start(self.ledger, name, rpm=self.rpm, seconds=self.source.uniform(0.001, 0.05))
        else:
            pool = Pool(rpm=self.rpm)
            process = Process(None, pool, Limiter(pool))  # type: ignore[arg-type]
        self.processes.append(process)

    async def _send(self, number: int, costs: dict[str, float]) -> None:
        await asyncio.sleep(self.source.choice((0.0, 0.0, self.source.uniform(0, 20))))
        requeued = False
        faults = 0
        while True:
            limiter = self.processes[number % len(self.processes)].limiter
            permit = await limiter.acquire(costs, requeued=requeued)
            if self.source.random() < 0.02:
                permit.cancel()
                continue
            self.sent[id(limiter)] = self.sent.get(id(limiter), 0) + 1
            status, headers = await self.server.request(costs)
            if status == 200:
                permit.answered(headers)
                self.answered += 1
                return
            if status == 429:
                self.sent[id(limiter)] -= 1
                permit.rejected(
                    headers,
                    self.source.choice((None, "requests", "tokens", "images")),
                    slow_down=self.source.random() < 0.01,
                )
                await asyncio.sleep(permit.own_wait)
                requeued = True
                continue
            if status == 0:
                permit.lost()
            elif status == 503 and self.source.random() < 0.2:
                permit.overloaded(headers)
            else:
                permit.answered(headers)
            faults += 1
            await asyncio.sleep(min(30.0, 0.5 * 2**faults) * self.source.random())

    def _plan_disturbance(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let something happen at a random time, that may end after some seconds."""
        self.disturbances += 1
        at = self.source.uniform(0, 1.5 * min(600.0, self.needed_seconds))
        seconds = self.source.uniform(0.5, 60)
        begin, end = self.source.choice(
            (self._resize(), self._outage(), self._silence(), self._ledger_lost(), self._clock_step())
        )
        loop.call_at(at, begin)
        if end is not None:
            self.disturbed_seconds += seconds
            loop.call_at(at + seconds, end)

    def _resize(self) -> tuple[Callable[[], None], Callable[[], None] | None]:
        share = self.source.uniform(0.3, 3)
        self.lowest_share *= min(1.0, share)
        meter = self.server.meters[self.source.choice(("requests", "requests", "tokens"))]
        limit = max(
            meter.limit * share, 4 * max(one["tokens"] for one in self.requests) if meter.limit > 6_000 else 1
        )
        return lambda: meter.resize(limit, asyncio.get_running_loop().time()), None

    def _outage(self) -> tuple[Callable[[], None], Callable[[], None] | None]:
        def set_down(down: bool) -> None:
            self.server.down = down

        return lambda: set_down(True), lambda: set_down(False)

    def _silence(self) -> tuple[Callable[[], None], Callable[[], None] | None]:
        before = self.server.silent

        def set_silent(silent: bool) -> None:
            self.server.silent = silent

        return lambda: set_silent(not before), lambda: set_silent(before)

    def _ledger_lost(self) -> tuple[Callable[[], None], Callable[[], None] | None]:
        ledger = self.ledger
        if ledger is None:
            return self._outage()
        emptied = self.source.random() < 0.5

        def lose() -> None:
            ledger.reachable = False

        def find() -> None:
            ledger.reachable = True
            if emptied:
                ledger.pool = PoolRows()

        return lose, find

    def _clock_step(self) -> tuple[Callable[[], None], Callable[[], None] | None]:
        step = self.source.choice((-86_400.0, -3_600.0, -5.0, 5.0, 3_600.0, 1e9))

        def set_clock() -> None:
            if self.ledger is not None:
                self.ledger.clock += step

        return set_clock, None
