"""What a server charges for a request, learned from what is left afterwards.

Each answer reports what was left when its request arrived. Between two answers the server charged for the
requests in between, but not visibly for each: whether `max_tokens`, tools or images count differs between
endpoints, servers and years. So the sizes of all requests are added up, and what was charged between two
answers is compared with the sizes granted between them. This is a linear regression, updated by a Kalman
filter whose state is the price of each part of a size, and the level of the server's bucket.
"""

import math
from typing import NamedTuple

from pxt_assets.throttle.bucket import BURST_SECONDS, Burst
from pxt_assets.throttle.cost import TOKENS_PER_IMAGE, TOKENS_PER_LOW_IMAGE, RequestSize

_SEED = (0.0, 1.0, 1.0, float(TOKENS_PER_IMAGE), 1.0, float(TOKENS_PER_LOW_IMAGE))
"""First prices: none for a request as such, one token for each token of text, outputs and tools."""
_SEED_SPREAD = (20.0, 0.3, 1.0, 500.0, 1.0, 85.0)
"""One standard deviation of each first price."""
_DRIFT = 1e-4
"""Share of that spread, squared, by which prices may change from one answer to the next."""
_N = len(_SEED)
_DISORDER = 0.4
"""Spread of the level that an answer reports, as a share of the cost of its request's burst."""
_OUTLIER = 5.0
"""Standard deviations beyond which an answer is no evidence about prices."""
_OUTLIERS = 8
"""Outliers in a row, all to the same side, that show the prices to be wrong."""
_OTHERS_SHARE = 0.02
"""Share of the refill that others may take unseen: it makes the spread of the level grow with time's square root."""
_SPACING_SECONDS = 0.02
"""Answers to requests granted closer together are skipped once the prices are known well."""
_JUDGE_EVERY = 8
_GOOD_SPREAD = 0.02
"""Relative spread of a request's cost below which the prices are known well."""


class GrantTotals(NamedTuple):
    """Totals of everything granted up to and including one request."""

    sequence: int
    """1 for the first request, one more for each."""
    at: float
    """Time of the grant."""
    sizes: tuple[float, ...]
    """Sum of the sizes of all requests up to this one: requests, text, outputs, images, tools, low images."""
    taken_by_others: float
    """Units that others are known to have taken by then."""
    burst: Burst
    """The requests granted at about the same time, which may have arrived in any order."""


class LearnedCost:
    """The prices of one kind of request in one bucket. Times are seconds, amounts the bucket's units.

    Example:
        ```python
        learned = LearnedCost()
        totals = learned.count(size, now)
        learned.observe(totals, level, limit=60_000, rate=1_000)  # what was left when the request arrived
        learned.estimate(size)
        ```
    """

    def __init__(self) -> None:
        self.prices = list(_SEED)
        """Units for a request, and for each token of text, of outputs, each image and token of tools in it."""
        self._spread = [[s * s if i == j else 0.0 for j in range(_N)] for i, s in enumerate(_SEED_SPREAD)]
        self._cross = [0.0] * _N  # covariance of the prices with the level
        self._level = 0.0
        self._level_spread = math.inf
        self._compared_totals: GrantTotals | None = None  # those at which the server's level was `_level`
        self._sizes = [0.0] * _N
        self._seen_parts = [0]  # the parts of sizes that occurred so far
        self._sequence = 0
        self._burst = Burst(-math.inf)
        self._skipped_until = 0
        self._outliers = 0
        self._known_well = False

    def estimate(self, size: RequestSize) -> float:
        """Return the units that a request takes."""
        requests, text, outputs, images, tools, low_images = self.prices
        cost = requests + text * size.text + outputs * size.outputs
        if size.images or size.tools or size.low_images:
            cost += images * size.images + tools * size.tools + low_images * size.low_images
        return cost if cost > 1.0 else 1.0

    def highest_estimate(self, size: RequestSize) -> float:
        """Return the estimate plus two standard deviations."""
        amounts = (1.0, *size)
        parts = [i for i in range(_N) if amounts[i]]
        variance = sum(amounts[i] * amounts[j] * self._spread[i][j] for i in parts for j in parts)
        return self.estimate(size) + 2 * math.sqrt(max(0.0, variance))

    def count(self, size: RequestSize, now: float, taken_by_others: float = 0.0) -> GrantTotals:
        """Count a granted request; `taken_by_others` are the units that others are known to have taken by now."""
        sizes = self._sizes
        sizes[0] += 1.0
        for part, amount in enumerate(size, 1):
            if amount:
                sizes[part] += amount
                if part not in self._seen_parts:
                    self._seen_parts.append(part)
        if now - self._burst.start > BURST_SECONDS:
            self._burst = Burst(now)
        # The geometric mean of the least possible cost and the expected one, which at first is the highest.
        self._burst.cost += math.sqrt(max(1.0, size.least_tokens) * self.estimate(size))
        self._sequence += 1
        return GrantTotals(self._sequence, now, tuple(sizes), taken_by_others, self._burst)

    def observe_charge(self, size: RequestSize, cost: float, error: float) -> None:
        """Learn from a server that says what a request costs, with a standard deviation of `error`."""
        amounts = (1.0, *size)
        parts = [i for i in range(_N) if amounts[i]]
        covariances = [sum(self._spread[i][j] * amounts[j] for j in parts) for i in range(_N)]
        variance = sum(amounts[i] * covariances[i] for i in parts) + error * error
        gain = (cost - sum(amounts[i] * self.prices[i] for i in parts)) / variance
        for i in range(_N):
            self.prices[i] = max(0.0, self.prices[i] + covariances[i] * gain)
            for j in range(_N):
                self._spread[i][j] -= covariances[i] * covariances[j] / variance
        self._seen_parts = sorted({*self._seen_parts, *parts})
        self._compared_totals = None

    def skip_earlier_grants(self) -> None:
        """Compare none of the requests granted so far, since the server did not charge one of them."""
        self._skipped_until = self._sequence
        self._compared_totals = None

    def observe(self, totals: GrantTotals, level: float, *, limit: float, rate: float) -> None:
        """Learn from the units that were left when a request had arrived and was charged."""
        last = self._compared_totals
        if totals.sequence <= self._skipped_until or not math.isfinite(level):
            return
        noise = (_DISORDER * totals.burst.cost + 1.0) ** 2
        if last is None:
            self._restart(totals, level, noise)
            return
        seconds = totals.at - last.at
        if totals.sequence <= last.sequence or (self._known_well and seconds < _SPACING_SECONDS):
            return
        refilled_level = self._level + rate * max(0.0, seconds)
        if refilled_level >= limit:
            # The bucket was full on the way, and what flowed in then was lost.
            if totals.sequence > last.sequence + 1:
                self._restart(totals, level, noise)
                return
            refilled_level, self._level_spread, self._cross = limit, 1.0, [0.0] * _N
        self._compared_totals = totals
        parts, prices, spread, cross = self._seen_parts, self.prices, self._spread, self._cross
        sizes = [totals.sizes[i] - last.sizes[i] for i in parts]
        # Bring the level forward to the present grant ...
        predicted = refilled_level - (totals.taken_by_others - last.taken_by_others)
        covariances = [0.0] * len(parts)
        for k, i in enumerate(parts):
            predicted -= sizes[k] * prices[i]
            row = spread[i]
            total = cross[i]
            for m, j in enumerate(parts):
                total -= sizes[m] * row[j]
            covariances[k] = total
        others = _OTHERS_SHARE * rate
        variance = self._level_spread + others * others * max(0.0, seconds)
        for k, i in enumerate(parts):
            variance -= sizes[k] * (cross[i] + covariances[k])
        variance = max(variance, 1e-9)
        # ... and compare it with what the server had.
        total = variance + noise
        surprise = level - predicted
        if surprise * surprise > _OUTLIER * _OUTLIER * total:
            self._outlier(totals, level, noise, surprise)
            return
        self._outliers = 0
        gain = surprise / total
        for k, i in enumerate(parts):
            prices[i] = max(0.0, prices[i] + covariances[k] * gain)
            row = spread[i]
            share = covariances[k] / total
            for m, j in enumerate(parts):
                row[j] -= share * covariances[m]
            row[i] = min(max(row[i], 0.0) + _DRIFT * _SEED_SPREAD[i] ** 2, _SEED_SPREAD[i] ** 2)
            cross[i] = covariances[k] * noise / total
        self._level = predicted + variance * gain
        self._level_spread = variance * noise / total
        self._judge_spread(totals)

    def _restart(self, totals: GrantTotals, level: float, noise: float) -> None:
        """Take over the server's level, and learn from the answers that follow."""
        self._compared_totals, self._level, self._level_spread = totals, level, noise
        self._cross = [0.0] * _N

    def _outlier(self, totals: GrantTotals, level: float, noise: float, surprise: float) -> None:
        """Take over the level and leave the prices, unless it is the last of many outliers to one side."""
        self._restart(totals, level, noise)
        side = 1 if surprise > 0 else -1
        self._outliers = self._outliers + side if self._outliers * side >= 0 else side
        if abs(self._outliers) >= _OUTLIERS:
            self._outliers = 0
            self._known_well = False
            self._spread = [[s * s if i == j else 0.0 for j in range(_N)] for i, s in enumerate(_SEED_SPREAD)]

    def _judge_spread(self, totals: GrantTotals) -> None:
        """Update whether the cost of an average request is known well."""
        if totals.sequence % _JUDGE_EVERY:
            return
        parts = self._seen_parts
        mean = [totals.sizes[i] / totals.sizes[0] for i in parts]
        variance = sum(
            a * b * self._spread[i][j]
            for a, i in zip(mean, parts, strict=True)
            for b, j in zip(mean, parts, strict=True)
        )
        cost = sum(a * self.prices[i] for a, i in zip(mean, parts, strict=True))
        self._known_well = variance < (_GOOD_SPREAD * cost) ** 2
