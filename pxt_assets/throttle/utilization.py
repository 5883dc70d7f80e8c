"""How much of what the limits allow is used."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pxt_assets.throttle.dimension import unit_of
from pxt_assets.throttle.hold import HoldReport
from pxt_assets.throttle.share import Gauge


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a limiter has counted so far."""

    rate_limited: int
    """Requests rejected with a 429."""
    seconds_throttled: float
    """Seconds that requests waited for the limit, summed over all requests."""
    utilization: float | None
    """Share, 0 to 1, of what the limit allowed between the first and the last grant that was used, of the
    dimension used most. What others took on the same account does not count as allowed. None while no limit
    is known."""


class _Used(Protocol):
    """A `Limiter`."""

    @property
    def fault(self) -> str | None:
        """What has failed in its accounting, None if nothing has."""

    def hold(self) -> HoldReport | None:
        """Return for how long the server asked to send nothing, None if it did not."""

    def unreached(self) -> str | None:
        """Return which ledger was not reached for some of the time, and why; None if it always was."""

    def totals(self) -> dict[str, tuple[float, float]]:
        """Return the units taken and lost of each dimension up to now."""

    def utilization(self, since: Mapping[str, tuple[float, float]]) -> float | None:
        """Return the used share of what the limit allowed from `since`, a `totals`, on."""


def gauges(buckets: Mapping[str, Gauge], pace: Gauge | None, now: float) -> list[tuple[str, Gauge]]:
    """Return the buckets and the pace of a pool by name, with their numbers up to now."""
    found = [*buckets.items(), *((("pace", pace),) if pace is not None else ())]
    for _, gauge in found:
        gauge.advance(now)
    return found


def used_share(
    gauges: Iterable[tuple[str, Gauge]],
    since: Mapping[str, tuple[float, float]],
    until: float,
    now: float,
) -> float | None:
    """Return the used share, 0 to 1, of what buckets allowed from `since`, units taken and lost by name, to `until`.

    It is that of the bucket used most; None while none has a rate. `gauges` are up to date at the time `now`.
    """
    shares = []
    for name, gauge in gauges:
        taken, spilled = since.get(name) or since.get(unit_of(name)) or (0.0, 0.0)
        taken = gauge.taken - taken
        if taken > 0 and gauge.rate > 0:
            # What flowed in since `until` is in the bucket or was lost: both are subtracted.
            unused = gauge.level + gauge.spilled - spilled - gauge.rate * max(0.0, now - until)
            shares.append(taken / (taken + max(0.0, unused)))
    return max(shares, default=None)


class LimitUtilization:
    """How much of the limits of some limiters is used, of each since it was added.

    Example: `used = LimitUtilization([limiter])`, and some requests later `used.utilization`, such as 0.98.
    """

    def __init__(self, limiters: Iterable[_Used] = ()) -> None:
        self._since = {limiter: limiter.totals() for limiter in limiters}

    def add(self, limiter: _Used) -> None:
        """Measure this limiter from now on, unless it is measured already."""
        if limiter not in self._since:
            self._since[limiter] = limiter.totals()

    @property
    def fault(self) -> str | None:
        """What has failed in the limiters' own accounting, and what goes on in its place; None if nothing has."""
        faults = dict.fromkeys(limiter.fault for limiter in self._since)
        return "; ".join(fault for fault in faults if fault is not None) or None

    @property
    def unreached(self) -> tuple[str, ...]:
        """Which ledgers were not reached for some of the time, and why, such as `the ledger at … (refused)`."""
        reasons = dict.fromkeys(limiter.unreached() for limiter in self._since)
        return tuple(reason for reason in reasons if reason is not None)

    @property
    def utilization(self) -> float | None:
        """The used share, 0 to 1, of what the limit allowed, of the limiter used most; None while no limit is known."""
        shares = [limiter.utilization(since) for limiter, since in self._since.items()]
        return max((share for share in shares if share is not None), default=None)

    @property
    def hold(self) -> HoldReport | None:
        """The longest hold of the limiters, by the servers' wish; None while none is held."""
        holds = [hold for limiter in self._since if (hold := limiter.hold()) is not None]
        return max(holds, default=None, key=lambda hold: hold.seconds)
