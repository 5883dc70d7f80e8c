"""Progress of a computation, for a log or a terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from pxt_assets.api.meter import Meter, spent_text
from pxt_assets.throttle import HoldReport, LimitUtilization

_LOG_SECONDS = 10.0
_REPORT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the computation of one column and partition is."""

    label: str
    """`tickets/response[2027-03-01]`"""
    done: int
    """Rows that are looked after: finished ones, reused ones included, and those that failed."""
    total: int
    seconds: float
    meter: Meter
    failed: int = 0
    """Those of `done` that failed."""
    found: int = 0
    """Those of `done` that were not asked for: they came at once, and say nothing of how fast the others come."""

    @property
    def answered(self) -> int:
        """Those of `done` that were asked for."""
        return max(0, self.done - self.found)

    def log_line(self) -> str:
        """One line for a log."""
        rate = self.answered / self.seconds if self.seconds > 0 else 0.0
        return _log_line(
            self.label,
            self.done,
            self.total,
            rate=rate,
            used=self.meter.limit_utilization,
            hold=self.meter.limit_usage.hold,
            in_flight=self.meter.limit_usage.in_flight,
            cost=spent_text([self.meter]),
            rate_limited=self.meter.rate_limited,
            failed=self.failed,
        )


Observer = Callable[[Progress], None]
_observer: ContextVar[Observer | None] = ContextVar("pxt_assets_progress", default=None)


@contextmanager
def observe_progress(observer: Observer) -> Iterator[None]:
    """Within the block, `observer` is called with each partition's progress, a few times a second at most."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def notify_observer(progress: Progress) -> None:
    """Passes the progress to the observer, if there is one."""
    observer = _observer.get()
    if observer is not None:
        observer(progress)


class ProgressDisplay:
    """Shows the progress of a run's partitions: of each one that is asking, and of those that ended.

    `name` is the column's name and `partitions` how many the run computes. `used` starts a new measurement of how much
    of the limits is used. `silence` tells why the server has answered nothing yet, None where there is nothing to tell.
    """

    def __init__(
        self,
        name: str = "",
        partitions: int = 1,
        used: Callable[[], LimitUtilization] = LimitUtilization,
        silence: Callable[[], str | None] | None = None,
    ) -> None:
        self._name = name
        self._silence = silence
        self._partitions = partitions
        self._start_measuring = used
        self._asking: dict[str, Callable[[], Progress]] = {}
        self._ended: dict[str, Progress] = {}
        self._answered_before = 0
        self._line_at = time.monotonic()
        self._used_since_line: LimitUtilization | None = None
        self._unreached_told: set[str] = set()

    @contextmanager
    def track(self, label: str, progress: Callable[[], Progress]) -> Iterator[None]:
        """Within the block, the partition is shown as asking; `progress` gives how far it is."""
        self._asking[label] = progress
        self._ended.pop(label, None)  # of an earlier pass over it
        try:
            yield
        finally:
            del self._asking[label]
            self.note_end(progress())

    def note_end(self, progress: Progress) -> None:
        """Notes a partition's last progress, once it has ended."""
        self._ended[progress.label] = progress
        notify_observer(progress)

    def last_progress(self, label: str) -> Progress | None:
        """The partition's progress, now or at its end; None if it never asked."""
        return self._asking[label]() if label in self._asking else self._ended.get(label)

    async def keep_reporting(self, log: Callable[[str], None], warn: Callable[[str], None]) -> None:
        """Notifies the observer a few times a second, and logs a line every ten seconds, until cancelled.

        What `warn_of_unreached` says is said at once.
        """
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            for progress in [asking() for asking in self._asking.values()]:
                notify_observer(progress)
                self._warn_of_unreached(progress, warn)
            if self._asking and time.monotonic() - self._line_at >= _LOG_SECONDS:
                log(self.log_line())

    def warn_of_unreached(self, warn: Callable[[str], None]) -> None:
        """Warns of each ledger that was not reached for some time, once in the run."""
        for progress in (*self._ended.values(), *(asking() for asking in self._asking.values())):
            self._warn_of_unreached(progress, warn)

    def _warn_of_unreached(self, progress: Progress, warn: Callable[[str], None]) -> None:
        for ledger in progress.meter.limit_usage.unreached:
            if ledger not in self._unreached_told:
                self._unreached_told.add(ledger)
                warn(
                    f"not reached: {ledger}; until it is, this process goes on with its part of the rate limits by itself"
                )

    def log_line(self) -> str:
        """One line about all partitions; its rates are those since the last line."""
        now = time.monotonic()
        seen = [*self._ended.values(), *(progress() for progress in self._asking.values())]
        done, total = sum(p.done for p in seen), sum(p.total for p in seen)
        answered, seconds = sum(p.answered for p in seen), now - self._line_at
        rate = max(0, answered - self._answered_before) / seconds if seconds > 0 else 0.0
        measured = (
            [p.meter.limit_usage for p in seen] if self._used_since_line is None else [self._used_since_line]
        )
        used = max((share for one in measured if (share := one.utilization) is not None), default=None)
        holds = [hold for p in seen if (hold := p.meter.limit_usage.hold) is not None]
        self._answered_before, self._line_at, self._used_since_line = answered, now, self._start_measuring()
        name = self._name
        if self._partitions == 1:
            name = seen[0].label if seen else name
        else:
            name = f"{name}: {len(self._ended)} of {self._partitions} partitions"
            total = round(total * self._partitions / max(len(seen), 1))
        return _log_line(
            name,
            done,
            total,
            rate=rate,
            used=used,
            hold=max(holds, default=None, key=lambda hold: hold.seconds),
            in_flight=min((n for p in seen if (n := p.meter.limit_usage.in_flight)), default=None),
            cost=spent_text(p.meter for p in seen),
            rate_limited=sum(p.meter.rate_limited for p in seen),
            failed=sum(p.failed for p in seen),
            silence=None if self._silence is None else self._silence(),
            about=self._partitions > len(seen),
        )


def _log_line(
    name: str,
    done: int,
    total: int,
    *,
    rate: float,
    used: float | None,
    hold: HoldReport | None,
    in_flight: int | None,
    cost: str,
    rate_limited: int,
    failed: int,
    silence: str | None = None,
    about: bool = False,
) -> str:
    """`silence` says why nothing has answered yet, `about` that the total is an estimate."""
    parts = [
        f"{name}: {done:,} of {'about ' if about else ''}{total:,} rows ({done / total if total else 1:.0%})",
        *([f"{failed:,} failed"] if failed else []),
        *([] if silence is None else [f"no answer yet: {silence}"]),
        f"{rate:,.1f} rows/s" if rate < 10 else f"{rate:,.0f} rows/s",
        *([] if used is None else [f"{used:.0%} of the limit in use"]),
        *([] if in_flight is None else [f"{in_flight} in flight at once, as the server's latency tells"]),
        *([] if hold is None else [str(hold)]),
        cost,
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
