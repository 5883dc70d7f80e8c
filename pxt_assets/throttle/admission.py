"""What a request and its pool exchange: its size, its admission, and the error that it is too large."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pxt_assets.throttle.cost import RequestSize
from pxt_assets.throttle.dimension import unit_of
from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.learned_cost import GrantTotals


class SizedRequest(NamedTuple):
    """The kind and the size of a request. Requests of one kind are charged alike."""

    kind: str
    """The endpoint's path."""
    size: RequestSize


class RequestTooLarge(Exception):  # noqa: N818
    """A request is believed to take more than the whole limit of a dimension, so that it can never pass."""

    def __init__(self, dimension: str, cost: float, limit: float, refusal: str | None = None) -> None:
        super().__init__(dimension, cost, limit, refusal)
        self.dimension = dimension
        self.cost = cost
        """Units of the dimension that the request takes."""
        self.limit = limit
        """Units of the dimension that a full bucket holds."""
        self.refusal = refusal
        """The server's words for a request that is no larger, None while it has refused none."""

    def __str__(self) -> str:
        refusal = "" if self.refusal is None else f" The server has just refused one like it: {self.refusal}"
        return (
            f"A request takes about {self.cost:,.0f} {self.dimension}, and the limit is {self.limit:,.0f}. "
            f"Make the request smaller, or have the limit of the account raised.{refusal}"
        )


@dataclass(frozen=True, slots=True)
class Admission:
    """What a pool remembers of a request that it admitted."""

    costs: Mapping[str, float]
    """Units taken, by dimension."""
    grants: Mapping[str, Any]
    """The grant of each of the pool's buckets, by dimension."""
    at: float
    """Time of the grant."""
    sized: SizedRequest | None = None
    grant_totals: Mapping[str, GrantTotals] = field(default_factory=dict)
    """What had been granted until then, by dimension: from it the cost of such requests is learned."""
    in_flight: int = 1
    """Requests in flight right after the grant, this one included."""
    at_once: int = 1
    """The same of the whole pool in this process: of all that draw on it."""
    too_large: RequestTooLarge | None = None
    """What was believed of its size, if it was believed too large."""
    from_full: bool = False
    """Whether the bucket that it was believed too large for was full."""

    def falls_short(self, readings: Mapping[str, Reading]) -> bool:
        """Whether the readings of a 429 show that less was left than the request takes."""
        return any(
            self.costs.get(dimension, self.costs.get(unit_of(dimension), 0.0)) > reading.remaining
            for dimension, reading in readings.items()
        )


class Rejection(NamedTuple):
    """What a pool makes of a 429."""

    changed: bool
    """Whether a limit changed or became known."""
    own_wait: float
    """Seconds that this request alone has to wait, while others go on."""
