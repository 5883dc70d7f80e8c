"""What a server takes for a request, learned from what is left afterwards.

Each answer tells what was left when its request arrived. Between two of them the server took what the requests in
between cost, and nobody says how much that is for one of them: whether `max_tokens`, tools or images count differs
between endpoints, servers and years. So every request's size is counted up, and what was taken between two answers
is set against what was counted between them: a linear regression, kept up to date by a Kalman filter whose state is
the price of each part of a size, and the level that the server has.
"""

import math
from typing import NamedTuple

from pxt_assets.throttle.bucket import BURST_SECONDS, Burst
from pxt_assets.throttle.cost import TOKENS_PER_IMAGE, Size

_SEED = (0.0, 1.0, 1.0, float(TOKENS_PER_IMAGE), 1.0)
"""Prices at first: none for a request as such, one token for each of text, of outputs and of tools."""
_SEED_SPREAD = (20.0, 0.3, 1.0, 500.0, 1.0)
"""How far off, one standard deviation, each of them may be."""
_DRIFT = 1e-4
"""Part of that spread, squared, by which prices may change from one answer to the next."""
_N = len(_SEED)
_DISORDER = 0.4
"""Spread of the level an answer tells of, as a part of what the burst of its request costs."""
_OUTLIER = 5.0
"""Standard deviations beyond which an answer tells of something else than prices."""
_OUTLIERS = 8
"""Outliers in a row, all to the same side, after which it is the prices that were wrong."""
_OTHERS_SHARE = 0.02
"""Part of what flows in that others may take unseen: the spread of the level, grown with the square root of time."""
_SPACING_SECONDS = 0.02
"""Answers to requests granted closer together are not compared once the prices are known well."""
_JUDGED_EVERY = 8
_KNOWN_WELL = 0.02
"""Relative spread of a request's cost that is good enough."""


class Mark(NamedTuple):
    """What had been counted when a request was granted."""

    sequence: int
    """1 for the first, one more for each."""
    at: float
    """Time of the grant."""
    counted: tuple[float, ...]
    """Sizes of all requests until this one, with it: requests, text, outputs, images, tools."""
    others: float
    """Units that others are known to have taken until then."""
    burst: Burst
    """The requests granted at about the same time, which may have arrived in any order."""


class LearnedCost:
    """The prices of one kind of request in one bucket. Times are seconds, amounts the bucket's units.

    Example:
        ```python
        learned = LearnedCost()
        mark = learned.granted(size, now)
        learned.observed(mark, level, limit=60_000, rate=1_000)  # what was left when the request arrived
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
        self._compared: Mark | None = None  # the grant at which the server's level was `_level`
        self._counted = [0.0] * _N
        self._active = [0]  # the parts of sizes that have been seen
        self._sequence = 0
        self._burst = Burst(-math.inf)
        self._ignored = 0
        self._outliers = 0
        self._well = False

    def estimate(self, size: Size) -> float:
        """Return the units that a request takes."""
        requests, text, outputs, images, tools = self.prices
        cost = requests + text * size.text + outputs * size.outputs
        if size.images or size.tools:
            cost += images * size.images + tools * size.tools
        return cost if cost > 1.0 else 1.0

    def highest(self, size: Size) -> float:
        """Return the units that a request takes at most, as far as is known: two standard deviations more."""
        held = (1.0, *size)
        active = [i for i in range(_N) if held[i]]
        variance = sum(held[i] * held[j] * self._spread[i][j] for i in active for j in active)
        return self.estimate(size) + 2 * math.sqrt(max(0.0, variance))

    def granted(self, size: Size, now: float, others: float = 0.0) -> Mark:
        """Count a request; `others` are the units that others are known to have taken until now."""
        counted = self._counted
        counted[0] += 1.0
        for part, amount in enumerate(size, 1):
            if amount:
                counted[part] += amount
                if part not in self._active:
                    self._active.append(part)
        if now - self._burst.start > BURST_SECONDS:
            self._burst = Burst(now)
        # Between the least it may be and what is expected, which at first is the most: by magnitude.
        self._burst.cost += math.sqrt(max(1.0, size.least) * self.estimate(size))
        self._sequence += 1
        return Mark(self._sequence, now, tuple(counted), others, self._burst)

    def charged(self, size: Size, cost: float, error: float) -> None:
        """Learn from a server that says what a request costs, give or take `error`."""
        held = (1.0, *size)
        active = [i for i in range(_N) if held[i]]
        moved = [sum(self._spread[i][j] * held[j] for j in active) for i in range(_N)]
        variance = sum(held[i] * moved[i] for i in active) + error * error
        gain = (cost - sum(held[i] * self.prices[i] for i in active)) / variance
        for i in range(_N):
            self.prices[i] = max(0.0, self.prices[i] + moved[i] * gain)
            for j in range(_N):
                self._spread[i][j] -= moved[i] * moved[j] / variance
        self._active = sorted({*self._active, *active})
        self._compared = None

    def not_charged(self) -> None:
        """Tell that the server did not charge a request: what has been granted so far is compared no more."""
        self._ignored = self._sequence
        self._compared = None

    def observed(self, mark: Mark, level: float, *, limit: float, rate: float) -> None:
        """Learn from the units that were left when a request arrived, itself charged."""
        compared = self._compared
        if mark.sequence <= self._ignored or not math.isfinite(level):
            return
        noise = (_DISORDER * mark.burst.cost + 1.0) ** 2
        if compared is None:
            self._restart(mark, level, noise)
            return
        seconds = mark.at - compared.at
        if mark.sequence <= compared.sequence or (self._well and seconds < _SPACING_SECONDS):
            return
        refilled = self._level + rate * max(0.0, seconds)
        if refilled >= limit:
            # The bucket was full on the way, and what flowed in then was lost.
            if mark.sequence > compared.sequence + 1:
                self._restart(mark, level, noise)
                return
            refilled, self._level_spread, self._cross = limit, 1.0, [0.0] * _N
        self._compared = mark
        active, prices, spread, cross = self._active, self.prices, self._spread, self._cross
        counted = [mark.counted[i] - compared.counted[i] for i in active]
        # Bring the level forward to the present grant ...
        predicted = refilled - (mark.others - compared.others)
        moved = [0.0] * len(active)
        for k, i in enumerate(active):
            predicted -= counted[k] * prices[i]
            row = spread[i]
            total = cross[i]
            for m, j in enumerate(active):
                total -= counted[m] * row[j]
            moved[k] = total
        others = _OTHERS_SHARE * rate
        variance = self._level_spread + others * others * max(0.0, seconds)
        for k, i in enumerate(active):
            variance -= counted[k] * (cross[i] + moved[k])
        variance = max(variance, 1e-9)
        # ... and compare it with what the server had.
        total = variance + noise
        surprise = level - predicted
        if surprise * surprise > _OUTLIER * _OUTLIER * total:
            self._outlier(mark, level, noise, surprise)
            return
        self._outliers = 0
        gain = surprise / total
        for k, i in enumerate(active):
            prices[i] = max(0.0, prices[i] + moved[k] * gain)
            row = spread[i]
            share = moved[k] / total
            for m, j in enumerate(active):
                row[j] -= share * moved[m]
            row[i] = min(max(row[i], 0.0) + _DRIFT * _SEED_SPREAD[i] ** 2, _SEED_SPREAD[i] ** 2)
            cross[i] = moved[k] * noise / total
        self._level = predicted + variance * gain
        self._level_spread = variance * noise / total
        self._judge(mark)

    def _restart(self, mark: Mark, level: float, noise: float) -> None:
        """Take the server's level as it is, and learn from what comes after."""
        self._compared, self._level, self._level_spread = mark, level, noise
        self._cross = [0.0] * _N

    def _outlier(self, mark: Mark, level: float, noise: float, surprise: float) -> None:
        """Take the level, and leave the prices: unless the same happens again and again."""
        self._restart(mark, level, noise)
        side = 1 if surprise > 0 else -1
        self._outliers = self._outliers + side if self._outliers * side >= 0 else side
        if abs(self._outliers) >= _OUTLIERS:
            self._outliers = 0
            self._well = False
            self._spread = [[s * s if i == j else 0.0 for j in range(_N)] for i, s in enumerate(_SEED_SPREAD)]

    def _judge(self, mark: Mark) -> None:
        """Note whether the cost of requests like those of late is known well."""
        if mark.sequence % _JUDGED_EVERY:
            return
        active = self._active
        mean = [mark.counted[i] / mark.counted[0] for i in active]
        variance = sum(
            a * b * self._spread[i][j]
            for a, i in zip(mean, active, strict=True)
            for b, j in zip(mean, active, strict=True)
        )
        cost = sum(a * self.prices[i] for a, i in zip(mean, active, strict=True))
        self._well = variance < (_KNOWN_WELL * cost) ** 2
