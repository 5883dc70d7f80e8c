"""What a pass over cells whose answers come later goes by: where answers are, what becomes of the rest, and its counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from pxt_assets.api.batches import LineAnswer
from pxt_assets.api.later_budget import LaterBudget
from pxt_assets.api.request import Request

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pxt_assets.compute.cells.digest_index import Digests


class AnswersOfColumn(Protocol):
    """What is known of a column's answers that come later, by the digests of requests, `S16[n]`."""

    def kept_mask(self, digests: Digests, partition: str | None, since: float = 0.0) -> npt.NDArray[np.bool_]:
        """Which have an answer that was kept at `since` or later."""

    def take(
        self, digests: Digests, partition: str | None, since: float = 0.0
    ) -> Iterator[tuple[LineAnswer, bool]]:
        """The kept answers, all of which are there by `kept_mask`, in that order, and whether each is counted here."""

    def on_its_way(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Of which an answer may still come."""

    def also_waits(self, partition: str | None, digests: Digests) -> None:
        """Notes that a partition waits for what is on its way."""

    def is_overdue(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Which are to be asked for now."""

    def want(self, request: Request, partition: str | None, cost_usd: float | None = 0.0) -> None:
        """Has a request submitted. Raises CellError for one that cannot be."""


@dataclass(frozen=True)
class LaterWay:
    """How the missing cells of a pass are dealt with."""

    answers: AnswersOfColumn
    rest: Literal["ask", "want", "leave"]
    """Whether what nobody has asked for is asked for now, is to be submitted, or is left to another pass."""
    asks_overdue: bool
    """Whether what was waited for too long is asked for now; if not, another pass does."""
    expected_usd: Callable[[Request], float | None]
    """What a request is expected to cost in US dollars."""
    budget: LaterBudget | None = None


@dataclass
class LaterCounts:
    """What became of a partition's missing cells in a pass, each cell counted once."""

    taken: int = 0
    """Answered, and in the journal."""
    on_its_way: int = 0
    wanted: int = 0
    """To be submitted."""
    overdue: int = 0
    """To be asked for now, by another pass."""
    left: int = 0
    """Left to another pass, as they are neither answered nor on their way."""
    without_budget: int = 0
    """For which the budget has no room."""
    expected_usd: float | None = 0.0
    """What is expected of those that wait; None where a price is not known."""
    set_aside_usd: float = 0.0
    """What of the run's budget is set aside for them."""

    @property
    def waiting(self) -> int:
        """Cells that are neither finished nor asked for now."""
        return self.on_its_way + self.wanted + self.overdue + self.left + self.without_budget
