"""What a pool's requests cost in each dimension: as stated, or as learned from the answers."""

from collections import defaultdict
from collections.abc import Mapping

from pxt_assets.throttle.admission import Admission, RequestTooLarge, SizedRequest
from pxt_assets.throttle.bucket import level_of, window_of
from pxt_assets.throttle.dimension import MINUTE, unit_of
from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.learned_cost import GrantTotals, LearnedCost
from pxt_assets.throttle.oversize import SizeVerdicts
from pxt_assets.throttle.share import SharedBucket

_FULL_ERROR = 0.1
"""Standard deviation of what is in a bucket that is believed full, as a share of its limit."""

_UNSTATED_ERROR = 0.05
"""Spread of the cost of a request that is only known to be more than was left, as a share of that."""


class Tariff:
    """The prices of one pool, by dimension and kind of request."""

    def __init__(self) -> None:
        self.size_verdicts = SizeVerdicts()
        """What the server said of requests that were believed too large."""
        self._learned: dict[str, dict[str, LearnedCost]] = defaultdict(lambda: defaultdict(LearnedCost))
        self._taken_by_kind: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def costs(
        self,
        buckets: Mapping[str, SharedBucket],
        costs: Mapping[str, float],
        sized: SizedRequest | None,
        too_large: RequestTooLarge | None = None,
    ) -> dict[str, float]:
        """Return the units of each bucket that a request takes: no more than its limit, unless it is known as `too_large`.

        Raises `RequestTooLarge` for one that is believed to be, if it is not known as that.
        """
        taken = {}
        for dimension, bucket in buckets.items():
            cost = self.cost(dimension, costs, sized)
            if cost is None:
                continue
            if cost > bucket.limit:
                error = RequestTooLarge(dimension, self.least_cost(dimension, cost, sized), bucket.limit)
                if error.cost <= bucket.limit or self.size_verdicts.fits(error, sized):
                    cost = bucket.limit
                elif too_large is None:
                    raise error
            taken[dimension] = cost
        return taken

    def cost(self, dimension: str, costs: Mapping[str, float], sized: SizedRequest | None) -> float | None:
        """Return the units of a dimension that a request takes; None if it takes none."""
        stated = costs.get(dimension)
        if stated is not None:
            return stated
        unit = unit_of(dimension)
        if sized is None or unit in costs:
            return costs.get(unit)
        if unit == "images":
            return sized.size.images + sized.size.low_images or None
        return self._learned[dimension][sized.kind].estimate(sized.size) if unit == "tokens" else None

    def least_cost(self, dimension: str, cost: float, sized: SizedRequest | None) -> float:
        """Return the least that a request may take for which `cost` is expected."""
        return (
            min(cost, sized.size.least_tokens)
            if sized is not None and unit_of(dimension) == "tokens"
            else cost
        )

    def count(
        self, dimension: str, cost: float, sized: SizedRequest | None, now: float, taken_by_others: float
    ) -> GrantTotals | None:
        """Count a granted request; `taken_by_others` are the units that other processes are known to have taken."""
        if sized is None or unit_of(dimension) != "tokens":
            return None
        taken = self._taken_by_kind[dimension]
        taken[sized.kind] += cost
        rest = sum(taken.values()) - taken[sized.kind] if len(taken) > 1 else 0.0
        return self._learned[dimension][sized.kind].count(sized.size, now, taken_by_others + rest)

    def learn_from_answer(self, dimension: str, admission: Admission, reading: Reading) -> float:
        """Learn from what was left when a request arrived; return its highest cost as a share of what it took."""
        totals, sized = admission.grant_totals.get(dimension), admission.sized
        if totals is None or sized is None or reading.limit <= 0:
            return 1.0
        learned = self._learned[dimension][sized.kind]
        window = window_of(reading, MINUTE)
        level = level_of(reading, window)
        learned.observe(totals, level, limit=reading.limit, rate=reading.limit / window)
        taken = max(1.0, admission.costs[dimension])
        return (
            min(1.0, learned.highest_estimate(sized.size) / taken)
            if learned.estimate(sized.size) < taken / 2
            else 1.0
        )

    def learn_from_full(self, admission: Admission, readings: Mapping[str, Reading]) -> None:
        """Learn from the answer to a request that was believed too large, and met a full bucket: it took the rest."""
        error, sized = admission.too_large, admission.sized
        if error is None or sized is None or not admission.from_full:
            return
        reading = readings.get(error.dimension)
        if reading is None or reading.limit != error.limit or error.dimension not in admission.grant_totals:
            return
        cost = reading.limit - level_of(reading, window_of(reading, MINUTE))
        learned = self._learned[error.dimension][sized.kind]
        learned.observe_charge(sized.size, cost, _FULL_ERROR * reading.limit)

    def learn_from_rejection(
        self,
        admission: Admission,
        readings: Mapping[str, Reading],
        retry_after: float | None,
        short_dimension: str | None,
    ) -> None:
        """Learn from a 429: the cost is what was left of the short dimension, plus its refill until `retry_after`.

        Without that, it is more than was left. Where the server does not name the dimension that fell short, it is
        the only one that can have.
        """
        self.not_charged(admission)
        sized = admission.sized
        if sized is None:
            return
        if short_dimension is None or short_dimension not in readings:
            short_dimension = _short_dimension(admission, sized, readings)
        if short_dimension is None or short_dimension not in admission.grant_totals:
            return
        reading = readings[short_dimension]
        window = window_of(reading, MINUTE)
        rate = reading.limit / window
        level = level_of(reading, window)
        learned = self._learned[short_dimension][sized.kind]
        if retry_after:
            cost = level + rate * retry_after
            error = rate * (1.0 if float(retry_after).is_integer() else 0.002) + 1.0
        else:
            cost, error = level + 1.0, _UNSTATED_ERROR * level + 1.0
            if learned.estimate(sized.size) >= cost:
                return
        if 0 < cost <= reading.limit:
            learned.observe_charge(sized.size, cost, error)

    def not_charged(self, admission: Admission) -> None:
        """Count a request that the server did not charge."""
        for dimension in admission.grant_totals:
            for learned in self._learned[dimension].values():
                learned.skip_earlier_grants()


def _short_dimension(
    admission: Admission, sized: SizedRequest, readings: Mapping[str, Reading]
) -> str | None:
    """Return the only dimension of a 429's readings that can have had too little; None where there are several."""
    short = [
        dimension
        for dimension, reading in readings.items()
        if reading.remaining
        < (
            sized.size.most_tokens
            if dimension in admission.grant_totals
            else admission.costs.get(dimension, admission.costs.get(unit_of(dimension), 0.0))
        )
    ]
    return short[0] if len(short) == 1 else None
