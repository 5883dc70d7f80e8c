"""A limiter whose bucket is known, its headers, and its time."""

import asyncio

from pxt_assets.throttle import Limiter, Pool

ONE = {"requests": 1.0}


def headers(limit: int, remaining: int, dimension: str = "requests") -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{dimension}": str(limit),
        f"x-ratelimit-remaining-{dimension}": str(remaining),
    }


async def measured(limit: int = 60, remaining: int = 0) -> Limiter:
    """A limiter whose bucket of requests has `remaining` left, and fills by one a second if of 60."""
    limiter = Limiter(Pool())
    (await limiter.acquire(ONE)).answered(headers(limit, remaining))
    return limiter


def now() -> float:
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Let every ready task run, without time passing."""
    for _ in range(10):
        await asyncio.sleep(0)
