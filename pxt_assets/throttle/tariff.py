"""What a pool's requests take of each dimension: as they say themselves, or as the answers have taught."""

from collections import defaultdict
from collections.abc import Mapping

from pxt_assets.throttle.admission import Admission, Sized, counted
from pxt_assets.throttle.bucket import MINUTE, level_of, window_of
from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.learned import LearnedCost, Mark


class Tariff:
    """The prices of one pool, by dimension and kind of request."""

    def __init__(self) -> None:
        self._learned: dict[str, dict[str, LearnedCost]] = defaultdict(lambda: defaultdict(LearnedCost))
        self._taken: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def cost(self, dimension: str, costs: Mapping[str, float], sized: Sized | None) -> float | None:
        """Return the units of a dimension that a request takes; None where it takes none."""
        stated = costs.get(dimension)
        if stated is not None:
            return stated
        unit = counted(dimension)
        if sized is None or unit in costs:
            return costs.get(unit)
        if unit == "images":
            return sized.size.images or None
        return self._learned[dimension][sized.kind].estimate(sized.size) if unit == "tokens" else None

    def least(self, dimension: str, cost: float, sized: Sized | None) -> float:
        """Return the least that a request may take for which `cost` is expected."""
        return min(cost, sized.size.least) if sized is not None and counted(dimension) == "tokens" else cost

    def granted(
        self, dimension: str, cost: float, sized: Sized | None, now: float, others: float
    ) -> Mark | None:
        """Count a request that takes `cost`; `others` are the units that other processes are known to have taken."""
        if sized is None or counted(dimension) != "tokens":
            return None
        taken = self._taken[dimension]
        taken[sized.kind] += cost
        rest = sum(taken.values()) - taken[sized.kind] if len(taken) > 1 else 0.0
        return self._learned[dimension][sized.kind].granted(sized.size, now, others + rest)

    def answered(self, dimension: str, admission: Admission, reading: Reading) -> float:
        """Learn from what was left when a request arrived; return what it costs at most, as a part of what it took."""
        mark, sized = admission.marks.get(dimension), admission.sized
        if mark is None or sized is None or reading.limit <= 0:
            return 1.0
        learned = self._learned[dimension][sized.kind]
        window = window_of(reading, MINUTE)
        level = level_of(reading, window)
        learned.observed(mark, level, limit=reading.limit, rate=reading.limit / window)
        taken = max(1.0, admission.costs[dimension])
        return (
            min(1.0, learned.highest(sized.size) / taken) if learned.estimate(sized.size) < taken / 2 else 1.0
        )

    def rejected(
        self,
        admission: Admission,
        readings: Mapping[str, Reading],
        retry_after: float | None,
        short: str | None,
    ) -> None:
        """Learn from a 429: of the dimension that fell `short`, what was left and comes in the wait is what it costs."""
        self.not_charged(admission)
        sized = admission.sized
        if (
            sized is None
            or not retry_after
            or short is None
            or short not in admission.marks
            or short not in readings
        ):
            return
        reading = readings[short]
        window = window_of(reading, MINUTE)
        rate = reading.limit / window
        cost = level_of(reading, window) + rate * retry_after
        if 0 < cost <= reading.limit:
            error = rate * (1.0 if float(retry_after).is_integer() else 0.002) + 1.0
            self._learned[short][sized.kind].charged(sized.size, cost, error)

    def not_charged(self, admission: Admission) -> None:
        """Tell of a request that the server did not charge."""
        for dimension in admission.marks:
            for learned in self._learned[dimension].values():
                learned.not_charged()
