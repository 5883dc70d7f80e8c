"""Rate limits: a copy of the server's token buckets, and the queue before it. Imports the standard library alone."""

from pxt_assets.throttle.admission import RequestTooLarge, SizedRequest
from pxt_assets.throttle.batch_queue import BatchQueue, batch_queues
from pxt_assets.throttle.breaker import CircuitBreaker, OutageError
from pxt_assets.throttle.bucket import Bucket, Grant
from pxt_assets.throttle.cost import RequestSize, request_size
from pxt_assets.throttle.groups import model_group
from pxt_assets.throttle.headers import Reading, parse_duration, read_rate_limits, retry_after
from pxt_assets.throttle.hold import HoldReport
from pxt_assets.throttle.learned_cost import LearnedCost
from pxt_assets.throttle.limiter import Limiter
from pxt_assets.throttle.pace import Pace
from pxt_assets.throttle.permit import Permit
from pxt_assets.throttle.pool import Pool
from pxt_assets.throttle.registry import PoolRegistry
from pxt_assets.throttle.retry import FailureKind, Verdict, backoff_seconds, classify_failure
from pxt_assets.throttle.utilization import LimitUtilization, Statistics
from pxt_assets.throttle.window import InFlightWindow

pools = PoolRegistry()
"""The pools of this process."""

__all__ = [
    "BatchQueue",
    "Bucket",
    "CircuitBreaker",
    "FailureKind",
    "Grant",
    "HoldReport",
    "InFlightWindow",
    "LearnedCost",
    "LimitUtilization",
    "Limiter",
    "OutageError",
    "Pace",
    "Permit",
    "Pool",
    "PoolRegistry",
    "Reading",
    "RequestSize",
    "RequestTooLarge",
    "SizedRequest",
    "Statistics",
    "Verdict",
    "backoff_seconds",
    "batch_queues",
    "classify_failure",
    "model_group",
    "parse_duration",
    "pools",
    "read_rate_limits",
    "request_size",
    "retry_after",
]
