"""Progress of a computation, for whoever watches: a log, a terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from pxt_assets.api.meter import Meter, dollars, total_cost
from pxt_assets.throttle import LimitUtilization

_LOG_SECONDS = 10.0
_REPORT_SECONDS = 0.2


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
        return _line(
            self.label,
            self.done,
            self.total,
            rate=rate,
            used=self.meter.limit_utilization,
            cost_usd=self.meter.cost_usd,
            rate_limited=self.meter.rate_limited,
        )


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


class Board:
    """The progress of the partitions that a run computes, each of which is on it while it is asking.

    `name` is the column's and `partitions` how many there are, for a run of several; `used` begins to measure what is
    used of the limits.
    """

    def __init__(
        self, name: str = "", partitions: int = 1, used: Callable[[], LimitUtilization] = LimitUtilization
    ) -> None:
        self._name = name
        self._partitions = partitions
        self._used = used
        self._asking: dict[str, Callable[[], Progress]] = {}
        self._ended: dict[str, Progress] = {}
        self._done_before = 0
        self._line_at = time.monotonic()
        self._used_since_line: LimitUtilization | None = None

    @contextmanager
    def showing(self, label: str, progress: Callable[[], Progress]) -> Iterator[None]:
        """Within the block, the partition is asking, and `progress` tells how far it is."""
        self._asking[label] = progress
        try:
            yield
        finally:
            del self._asking[label]
            self.note_end(progress())

    def note_end(self, progress: Progress) -> None:
        """Takes in where a partition stands that has ended."""
        self._ended[progress.label] = progress
        report(progress)

    def last(self, label: str) -> Progress | None:
        """Where the partition stands or stood at its end, None if it never asked."""
        return self._asking[label]() if label in self._asking else self._ended.get(label)

    async def keep_telling(self, log: Callable[[str], None]) -> None:
        """Tells whoever observes a few times a second, and the log a line every ten seconds."""
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            for progress in list(self._asking.values()):
                report(progress())
            if self._asking and time.monotonic() - self._line_at >= _LOG_SECONDS:
                log(self.line())

    def line(self) -> str:
        """One line about all partitions, with what happened since the last one."""
        now = time.monotonic()
        seen = [*self._ended.values(), *(progress() for progress in self._asking.values())]
        done, total = sum(p.done for p in seen), sum(p.total for p in seen)
        rate = (done - self._done_before) / (now - self._line_at) if now > self._line_at else 0.0
        since = [p.meter.used for p in seen] if self._used_since_line is None else [self._used_since_line]
        used = max((share for one in since if (share := one.utilization) is not None), default=None)
        self._done_before, self._line_at, self._used_since_line = done, now, self._used()
        name = self._name
        if self._partitions == 1:
            name = seen[0].label if seen else name
        else:
            name = f"{name}: {len(self._ended)} of {self._partitions} partitions"
            total = round(total * self._partitions / max(len(seen), 1))
        return _line(
            name,
            done,
            total,
            rate=rate,
            used=used,
            cost_usd=total_cost(p.meter for p in seen),
            rate_limited=sum(p.meter.rate_limited for p in seen),
            about=self._partitions > len(seen),
        )


def _line(
    name: str,
    done: int,
    total: int,
    *,
    rate: float,
    used: float | None,
    cost_usd: float | None,
    rate_limited: int,
    about: bool = False,
) -> str:
    """`about` says that the total is an estimate."""
    parts = [
        f"{name}: {done:,} of {'about ' if about else ''}{total:,} rows ({done / total if total else 1:.0%})",
        f"{rate:,.1f} rows/s" if rate < 10 else f"{rate:,.0f} rows/s",
        *([] if used is None else [f"{used:.0%} of the limit in use"]),
        dollars(cost_usd),
        f"{rate_limited or 'no'} 429{'' if rate_limited == 1 else 's'}",
    ]
    if rate and done < total:
        parts.append(f"about {_duration((total - done) / rate)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"
