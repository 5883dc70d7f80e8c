"""How many cells the server takes in one request, as far as it is known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(eq=False)
class BatchSize:
    """How many cells of one kind a request may carry: as many as have been answered, once more have been refused."""

    most: int
    """The most that the endpoint or the user allows."""
    answered: int = 0
    """The most cells that one request was answered with."""
    refused: int | None = None
    """The fewest cells that were refused for their number, None if none were."""
    searched: bool = False
    """Whether it is known of one refused request if its number or its cells were at fault."""
    misnamed: bool = False
    """Whether a cell that a refusal named was answered when it was alone."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a search is going on, so that one request finds the limit for all."""

    @property
    def limit(self) -> int:
        """How many cells a request should carry."""
        return self.most if self.refused is None else max(1, min(self.most, self.answered))

    @property
    def next_to_try(self) -> int | None:
        """A number between those that were answered and refused, None if the limit is known."""
        if self.refused is None or self.refused - self.answered <= 1:
            return None
        return (self.refused + self.answered) // 2

    def note_answered(self, cells: int) -> None:
        """Notes that so many cells were answered at once."""
        self.answered = max(self.answered, cells)
        if self.refused is not None and self.refused <= self.answered:
            self.refused = None  # something else was at fault

    def note_refused(self, cells: int) -> None:
        """Notes that so many were refused that were all answered in smaller requests."""
        if cells > self.answered and (self.refused is None or cells < self.refused):
            self.refused = cells


class BatchSizes:
    """The batch sizes of a run, by what a request is for. `most` is what the user allows, None for the endpoint's."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._sizes: dict[bytes, BatchSize] = {}

    def of(self, pack_key: bytes, max_cells: int) -> BatchSize:
        """The size of requests whose cells have that key, of which the endpoint takes `max_cells`."""
        known = self._sizes.get(pack_key)
        if known is None:
            most = max_cells if self._most is None else min(self._most, max_cells)
            known = self._sizes[pack_key] = BatchSize(most)
        return known
