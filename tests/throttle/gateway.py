"""A server that names no limits: it answers, or says 429, and why is for the client to find out."""

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pxt_assets.throttle import Limiter, Permit, Pool
from tests.virtual_time import run


@dataclass
class Gateway:
    """Answers after `latency()` seconds, or at once with a 429: for whatever of its limits is reached."""

    latency: Callable[[], float] = lambda: 0.05
    most: float = math.inf
    """Requests that it works on at once."""
    rate: float = math.inf
    """Requests a second that flow into a bucket, ..."""
    burst: float = 1.0
    """... which holds so many."""
    window: float = 0.0
    """Seconds after which `per_window` requests more may come, ..."""
    per_window: int = 0
    """... however many of the earlier ones were used."""
    share: float = 0.0
    """Of the requests, by chance, that meet a 429 for no reason."""
    rejects: Callable[[float, int], bool] = lambda now, number: False
    """Whether the request with that number, from 1, meets a 429 at that time."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those of a 429."""
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    on_the_way: Callable[[], float] = lambda: 0.001
    seed: int = 1
    accepted: list[float] = field(default_factory=list)
    """Times at which requests were let in."""
    rejected: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._level, self._level_at = self.burst, 0.0
        self._in_window, self._windows = 0, -1
        self._at_work = 0
        self._number = 0

    async def request(self) -> tuple[int, Mapping[str, str]]:
        await asyncio.sleep(self.on_the_way())
        now = asyncio.get_running_loop().time()
        if not self._lets_in(now):
            self.rejected.append(now)
            await asyncio.sleep(self.on_the_way())
            return 429, self.headers
        self.accepted.append(now)
        self._at_work += 1
        await asyncio.sleep(self.latency())
        self._at_work -= 1
        await asyncio.sleep(self.on_the_way())
        return 200, self.answer_headers

    def _lets_in(self, now: float) -> bool:
        self._number += 1
        if self.rate < math.inf:
            self._level = min(self.burst, self._level + (now - self._level_at) * self.rate)
            self._level_at = now
        if self.window and int(now / self.window) > self._windows:
            self._windows, self._in_window = int(now / self.window), 0
        if (
            self._at_work >= self.most
            or (self.rate < math.inf and self._level < 1 - 1e-9)
            or (self.window and self._in_window >= self.per_window)
            or self._random.random() < self.share
            or self.rejects(now, self._number)
        ):
            return False
        self._level -= 1
        self._in_window += 1
        return True


@dataclass(frozen=True)
class Measured:
    """What came of sending for some time, not counting the first seconds."""

    per_second: float
    """Requests let in."""
    rejected: float
    """Share of the requests that met a 429."""


async def keep_sending(
    limiters: list[Limiter], gateway: Gateway, seconds: float, in_flight: int = 400
) -> None:
    """Send through the limiters for so long, each request again until it is answered, `in_flight` at once."""

    async def send(limiter: Limiter) -> None:
        requeued = False
        while True:
            permit: Permit = await limiter.acquire({"requests": 1.0}, requeued=requeued)
            status, headers = await gateway.request()
            if requeued := status == 429:
                permit.rejected(headers)
                if permit.own_wait:
                    await asyncio.sleep(permit.own_wait)
            else:
                permit.answered(headers)

    senders = [asyncio.create_task(send(limiters[n % len(limiters)])) for n in range(in_flight)]
    await asyncio.wait(senders, timeout=seconds)
    for sender in senders:
        sender.cancel()
    for one in await asyncio.gather(*senders, return_exceptions=True):
        if not isinstance(one, asyncio.CancelledError):
            raise one


def measure(
    gateway: Gateway, seconds: float, after: float = 5.0, *, pool: Pool | None = None, in_flight: int = 400
) -> Measured:
    """Send for so many seconds, and count from the second `after` on."""

    async def main() -> None:
        await keep_sending([Limiter(pool or Pool())], gateway, seconds, in_flight)

    run(main())
    return measured(gateway, after, seconds)


def measured(gateway: Gateway, since: float, until: float) -> Measured:
    """Count what the gateway let in and rejected between two times."""
    accepted = sum(since <= at < until for at in gateway.accepted)
    rejected = sum(since <= at < until for at in gateway.rejected)
    return Measured(accepted / (until - since), rejected / max(1, accepted + rejected))
