"""Whether rejections are scattered as chance scatters them, or come one after another as limits make them."""

import math
from bisect import insort
from itertools import pairwise

from pxt_assets.throttle.guessed_rate import Grants

REJECTIONS_REMEMBERED = 60
FEWEST_REJECTIONS = 8
MOST_REJECTED = 0.5
"""Share of rejections above which they are no chance."""
_SPREADS = 2.5
"""Standard deviations by which more may be side by side than chance would put there."""
_UNLIKELY = 1e-8
"""How seldom a request begins a run that chance does not explain."""
_LONGEST_RUN = 24


class Scatter:
    """The latest rejected requests among the `grants` that were let in, in the order of their grants.

    Not in that of their answers: a rejection comes at once, and an answer late. Where each request is rejected with the
    same probability, the numbers let in between two rejections are geometrically distributed. Where a limit is reached
    all that follow are rejected: most of the numbers are 0, whatever their mean.
    """

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._rejected: list[float] = []  # times of grants, in order

    def add(self, granted_at: float) -> None:
        """Note a rejection."""
        insort(self._rejected, granted_at)
        if len(self._rejected) > REJECTIONS_REMEMBERED:
            del self._rejected[0]

    @property
    def share(self) -> float:
        """Share of the rejected among the latest requests, 0 to 1; 0 while too few were rejected to tell."""
        count = len(self._rejected) - 1
        if count < FEWEST_REJECTIONS:
            return 0.0
        return count / (count + self._grants.count(self._rejected[0], math.inf))

    def run_beyond_chance(self) -> int:
        """Return how many rejections in a row are no chance; 0 where the rejections do not look like any."""
        count, share = len(self._rejected) - 1, self.share
        if not 0 < share <= MOST_REJECTED:
            return 0
        side_by_side = sum(not self._grants.count(one, other) for one, other in pairwise(self._rejected))
        if side_by_side > count * share + _SPREADS * math.sqrt(count * share * (1 - share)) + 1:
            return 0
        return min(_LONGEST_RUN, math.ceil(math.log(_UNLIKELY) / math.log(share)))
