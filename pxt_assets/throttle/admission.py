"""What passes between a request and its pool: what it asks for, what it got, and why it never will."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pxt_assets.throttle.cost import Size
from pxt_assets.throttle.learned import Mark


class Sized(NamedTuple):
    """What a request holds, and of which kind it is: requests of a kind are charged alike."""

    kind: str
    """The endpoint's path."""
    size: Size


@dataclass(frozen=True, slots=True)
class Admission:
    """What a pool remembers of a request it let pass."""

    costs: Mapping[str, float]
    """Units taken, by dimension."""
    grants: Mapping[str, Any]
    """What each of the pool's buckets granted, by dimension."""
    at: float
    """Time of the grant."""
    sized: Sized | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """What is to be compared to learn what such requests cost, by dimension."""


class RequestTooLarge(Exception):  # noqa: N818
    """A request that takes more than the whole limit of a dimension: no waiting would let it pass."""

    def __init__(self, dimension: str, cost: float, limit: float) -> None:
        super().__init__(dimension, cost, limit)
        self.dimension = dimension
        self.cost = cost
        """Units of the dimension that the request takes."""
        self.limit = limit
        """Units of the dimension that a full bucket holds."""

    def __str__(self) -> str:
        return (
            f"A request takes about {self.cost:,.0f} {self.dimension}, and the limit is {self.limit:,.0f}. "
            "Make the request smaller, or have the limit of the account raised."
        )


def counted(dimension: str) -> str:
    """Return what a dimension counts: `project-tokens` and `tokens_usage_based` count `tokens`."""
    return dimension.rpartition("-")[2].removesuffix("_usage_based")
