"""Rate limits: a copy of the server's token buckets, and the queue before it. Standard library only."""

from pxt_assets.throttle.admission import RequestTooLarge, Sized
from pxt_assets.throttle.breaker import Breaker, OutageError
from pxt_assets.throttle.bucket import Bucket, Grant
from pxt_assets.throttle.cost import Size, size_of
from pxt_assets.throttle.groups import model_group
from pxt_assets.throttle.headers import Reading, parse_duration, read_rate_limits, retry_after
from pxt_assets.throttle.learned import LearnedCost
from pxt_assets.throttle.limiter import Limiter, Permit, Statistics, Used
from pxt_assets.throttle.pace import Pace
from pxt_assets.throttle.pool import Pool, PoolRegistry
from pxt_assets.throttle.retry import Kind, Verdict, backoff, classify
from pxt_assets.throttle.window import Window

pools = PoolRegistry()
"""The pools of this process."""

__all__ = [
    "Breaker",
    "Bucket",
    "Grant",
    "Kind",
    "LearnedCost",
    "Limiter",
    "OutageError",
    "Pace",
    "Permit",
    "Pool",
    "PoolRegistry",
    "Reading",
    "RequestTooLarge",
    "Size",
    "Sized",
    "Statistics",
    "Used",
    "Verdict",
    "Window",
    "backoff",
    "classify",
    "model_group",
    "parse_duration",
    "pools",
    "read_rate_limits",
    "retry_after",
    "size_of",
]
