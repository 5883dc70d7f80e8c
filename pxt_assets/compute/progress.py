"""Progress of a computation, for whoever watches: a log, a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from pxt_assets.meter import Meter, dollars


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the computation of one column and partition stands."""

    label: str
    """`tickets/response[2027-03-01]`"""
    done: int
    """Rows that are finished, reused ones included."""
    total: int
    seconds: float
    meter: Meter

    def line(self) -> str:
        """One line for a log."""
        rate = self.done / self.seconds if self.seconds > 0 else 0.0
        left = (
            f", about {(self.total - self.done) / rate:.0f} s left" if rate and self.done < self.total else ""
        )
        limited = f", {self.meter.rate_limited} times rate-limited" if self.meter.rate_limited else ""
        return f"{self.label}: {self.done:,} of {self.total:,} rows, {rate:,.0f} rows/s, {dollars(self.meter.cost_usd)}{limited}{left}"


Observer = Callable[[Progress], None]
_observer: ContextVar[Observer | None] = ContextVar("pxt_assets_progress", default=None)


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Within the block, `observer` is called with each partition's progress, a few times a second at most."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def report(progress: Progress) -> None:
    """Tells whoever observes."""
    observer = _observer.get()
    if observer is not None:
        observer(progress)
