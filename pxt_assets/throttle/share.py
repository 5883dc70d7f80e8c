"""What keeps a pool's buckets: this process alone, or a ledger that several processes share."""

import dataclasses
import math
import threading
from collections.abc import Callable
from typing import Any, Protocol

from pxt_assets.throttle.bucket import Bucket, Burst
from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.in_flight_search import InFlightSearch
from pxt_assets.throttle.pace import Pace


class Gauge(Protocol):
    """The numbers of a bucket or a pace that utilization is computed from."""

    @property
    def level(self) -> float:
        """Units in it at the last `advance`."""

    @property
    def rate(self) -> float:
        """Units a second that flow in."""

    @property
    def taken(self) -> float:
        """Units taken altogether and not given back."""

    @property
    def spilled(self) -> float:
        """Units that flowed in while it was full, and were lost."""

    def advance(self, now: float) -> None:
        """Add what has flowed in since the last call."""


class SharedBucket(Gauge, Protocol):
    """A bucket with the methods of `Bucket`; only the bucket itself reads its grants."""

    @property
    def limit(self) -> float:
        """Units the full bucket holds; infinite while not known."""

    @property
    def taken_by_others(self) -> float:
        """Units that other processes are known to have taken."""

    @property
    def limit_known(self) -> bool:
        """Whether the limit is known."""

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` can be taken, infinite if only an exchange with the ledger can tell."""

    def take(self, cost: float, now: float) -> Any:
        """Take `cost`, and return what to `observe` the answer with."""

    def observe(
        self, grant: Any, reading: Reading, now: float, *, charged: bool = True, cost_share: float = 1.0
    ) -> bool:
        """Apply what the answer to `grant` reported; return whether the limit changed."""

    def give_back(self, grant: Any, now: float) -> None:
        """Return the cost of a grant that was not charged."""


class SharedPace(Gauge, Protocol):
    """A pace with the methods of `Pace`."""

    def wait(self, cost: float, now: float) -> float:
        """Return the seconds until `cost` requests can pass, infinite if only an exchange with the ledger can tell."""

    def take(self, cost: float, now: float) -> None:
        """Let `cost` requests pass now."""

    def give_back(self, cost: float) -> None:
        """Return what was taken for a request that was never sent."""

    def reject(self, granted_at: float, now: float) -> None:
        """Lower the rate for a 429."""


class Share(Protocol):
    """A pool's buckets, and what is known of the other processes that draw on the same limits."""

    lock: threading.Lock
    """Guards everything in here, and the pool's own state."""
    buckets: dict[str, Any]
    """The `SharedBucket`s by dimension; those that the ledger knows are added."""
    held_until: float
    """Time until which the pool is held, by any process."""
    processes: int
    """Processes that draw on it, this one included."""

    def join(
        self,
        wake: Callable[[], None],
        waiting: Callable[[], int],
        search: InFlightSearch | None = None,
    ) -> None:
        """Set the callback to `wake` when more may be taken, and the one that counts the `waiting` requests.

        `search` finds what may be in flight; what it found is shared.
        """

    def wait(self, now: float) -> float:
        """Return 0, or infinity before the first exchange with the ledger."""

    def new_bucket(self, now: float) -> SharedBucket:
        """Return a bucket of unknown limit, to be put into `buckets`."""

    def sibling_bucket(self, bucket: Any, now: float) -> SharedBucket:
        """Return a bucket of unknown limit that has granted the same requests as `bucket`."""

    def new_pace(self, rpm: float) -> SharedPace:
        """Return the pace of `rpm` requests/minute."""

    def rejected(self, held_until: float, now: float) -> None:
        """Report a 429, and hold the pool until `held_until`."""

    def release(self, now: float) -> None:
        """Report that the server is well again, and end the hold."""

    def unreached(self, since: float) -> str | None:
        """Return which ledger was not reached at some time from `since` on, and why; None if it always was."""


class LocalShare:
    """The share of a process that shares its limits with no other: plain buckets."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.buckets: dict[str, Any] = {}
        self.held_until = -math.inf
        self.processes = 1

    def join(
        self,
        wake: Callable[[], None],
        waiting: Callable[[], int],
        search: InFlightSearch | None = None,
    ) -> None:
        """Do nothing: no other process can wake this one."""

    def wait(self, now: float) -> float:  # noqa: ARG002
        """Return 0: there is no ledger."""
        return 0.0

    def new_bucket(self, now: float) -> Bucket:
        """Return a bucket of unknown limit."""
        return Bucket(updated_at=now)

    def sibling_bucket(self, bucket: Any, now: float) -> Bucket:
        """Return a bucket of unknown limit that has granted the same requests as `bucket`.

        Grants are compared by differences only, so those of `bucket` serve to observe the sibling with.
        """
        bucket.advance(now)
        sibling: Bucket = dataclasses.replace(bucket, limit=math.inf, rate=0.0, burst=Burst(-math.inf))
        return sibling

    def new_pace(self, rpm: float) -> Pace:
        """Return the pace of `rpm` requests/minute."""
        return Pace(rpm)

    def rejected(self, held_until: float, now: float) -> None:  # noqa: ARG002
        """Hold the pool."""
        self.held_until = max(self.held_until, held_until)

    def release(self, now: float) -> None:  # noqa: ARG002
        """End the hold."""
        self.held_until = -math.inf

    def unreached(self, since: float) -> None:
        """Return None: there is no ledger."""
