"""A server with the rate limits of the API: continuous buckets, charged when a request arrives."""

import asyncio
import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pxt_assets.throttle import Limiter


@dataclass
class Meter:
    """One dimension of the server's limits."""

    limit: float
    level: float
    window: float = 60.0
    updated: float = 0.0

    def advance(self, now: float) -> None:
        self.level = min(self.limit, self.level + (now - self.updated) * self.limit / self.window)
        self.updated = now

    def resize(self, limit: float, now: float) -> None:
        self.advance(now)
        self.limit, self.level = limit, min(limit, self.level)

    def headers(self, dimension: str) -> dict[str, str]:
        reset = (self.limit - self.level) / self.limit * self.window
        return {
            f"x-ratelimit-limit-{dimension}": f"{self.limit:.0f}",
            f"x-ratelimit-remaining-{dimension}": f"{math.floor(self.level)}",
            f"x-ratelimit-reset-{dimension}": go_duration(reset),
        }


def go_duration(seconds: float) -> str:
    """Print a duration as Go does, floored to milliseconds."""
    milliseconds = int(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, milliseconds = divmod(milliseconds, 60_000)
    text = f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + text


@dataclass
class Server:
    """Answers requests after `latency()` seconds with status 200, or at once with 429."""

    meters: dict[str, Meter]
    latency: Callable[[], float] = lambda: 0.3
    on_the_way: Callable[[], float] = lambda: 0.005
    silent: bool = False
    """Whether answers carry no rate-limit headers."""
    arrivals: list[float] = field(default_factory=list)
    """Times at which requests were let in."""
    rejections: int = 0

    def charge(self, costs: Mapping[str, float]) -> float:
        """Charge a request if every meter allows, and return 0, else the seconds until they would."""
        now = asyncio.get_running_loop().time()
        wait = 0.0
        for dimension, meter in self.meters.items():
            meter.advance(now)
            missing = costs.get(dimension, 0.0) - meter.level
            wait = max(wait, missing / meter.limit * meter.window)
        if wait <= 0:
            for dimension, meter in self.meters.items():
                meter.level -= costs.get(dimension, 0.0)
        return wait

    async def request(self, costs: Mapping[str, float]) -> tuple[int, dict[str, str]]:
        await asyncio.sleep(self.on_the_way())
        wait = self.charge(costs)
        headers = {}
        if not self.silent:
            for dimension, meter in self.meters.items():
                headers |= meter.headers(dimension)
        if wait > 0:
            self.rejections += 1
            await asyncio.sleep(0.02)
            return 429, headers | {
                "retry-after": str(math.ceil(wait)),
                "retry-after-ms": str(math.ceil(wait * 1000)),
            }
        self.arrivals.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.latency())
        return 200, headers

    async def others(self, costs: Mapping[str, float], per_second: float, source: random.Random) -> None:
        """Send requests of somebody else on the same account, at random times, for ever."""
        while True:
            await asyncio.sleep(source.expovariate(per_second))
            self.charge(costs)


@dataclass(frozen=True)
class Outcome:
    """What a run of requests came to."""

    seconds: float
    """Until the last request was let in."""
    rejections: int
    utilization: float
    rate_limited: int


async def send_all(
    limiter: Limiter,
    server: Server,
    requests: Iterable[Mapping[str, float]],
    charged: Callable[[Mapping[str, float]], Mapping[str, float]] = lambda costs: costs,
) -> Outcome:
    """Send all requests through a limiter, again when rejected; `charged` maps estimate to true cost."""
    start = asyncio.get_running_loop().time()

    async def send(costs: Mapping[str, float]) -> None:
        requeued = False
        while True:
            permit = await limiter.acquire(costs, requeued=requeued)
            status, headers = await server.request(charged(costs))
            if status == 200:
                permit.answered(headers)
                return
            permit.rejected(headers)
            requeued = True

    async with asyncio.TaskGroup() as group:
        for costs in requests:
            group.create_task(send(costs))
    statistics = limiter.statistics()
    assert statistics.utilization is not None or server.silent
    return Outcome(
        seconds=server.arrivals[-1] - start,
        rejections=server.rejections,
        utilization=statistics.utilization or 0.0,
        rate_limited=statistics.rate_limited,
    )


def log_normal(median: float, sigma: float, source: random.Random) -> Callable[[], float]:
    return lambda: source.lognormvariate(math.log(median), sigma)
