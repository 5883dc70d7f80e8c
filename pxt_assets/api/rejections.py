"""How long a model has answered nothing but 429s: a limit that is reached refills, a quota that is spent does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pxt_assets.api.failure import Failure
from pxt_assets.errors import RunError
from pxt_assets.throttle import RequestSize, read_rate_limits, retry_after
from pxt_assets.throttle.dimension import MINUTE, unit_of

FEWEST = 3
"""So few 429s show nothing: a request may have waited for hours between two of them."""
FIRST_REPORT_SECONDS = 60.0
"""After so long it is said that nothing else comes; then each time that this time has doubled."""


@dataclass
class _Streak:
    """The 429s of one model in a row."""

    since: float
    count: int = 0
    next_report: float = FIRST_REPORT_SECONDS


class Rejections:
    """The 429s of each model since its last answer. Times are seconds of one clock.

    After `timeout` seconds of nothing else the run is to fail, since a spent quota looks like that, whatever code it has.
    `say` is told while they last.
    """

    def __init__(self, timeout: float, say: Callable[[str], None]) -> None:
        self._timeout = timeout
        self._say = say
        self._streaks: dict[tuple[str, str], _Streak] = {}

    def note_other(self, path: str, model: str) -> None:
        """Notes that a request of the model met something else than a 429 or a fault: it was let in."""
        self._streaks.pop((path, model), None)

    def note(
        self, path: str, model: str, failure: Failure, size: RequestSize, now: float, where: str
    ) -> None:
        """Notes a 429 of the API at `where`. Raises RunError if nothing else has come for too long."""
        streak = self._streaks.setdefault((path, model), _Streak(now))
        streak.count += 1
        seconds = now - streak.since
        refill = _refill_seconds(failure, size)
        if streak.count >= FEWEST and seconds >= self._timeout:
            raise _stopped_error(failure, where, model, seconds, refill)
        if seconds >= streak.next_report:
            streak.next_report = 2 * seconds
            self._say(
                f"the API at {where} has answered requests to {model!r} with nothing but 429s for {seconds:.0f} s "
                f"({failure.message}); the run fails after {self._timeout:.0f} s of that"
            )


def _stopped_error(
    failure: Failure, where: str, model: str, seconds: float, refill: float | None
) -> RunError:
    wait = retry_after(failure.headers) or refill
    later = "" if wait is None else f" It names a wait of {_duration(wait)}."
    return RunError(
        f"the API at {where} has answered requests to {model!r} with nothing but 429s for {seconds:.0f} s; it last said: "
        f"{failure.message}.{later} If the account's quota is spent, see its billing page. Finished cells are kept; "
        "materialize again when it answers, to go on with the rest. outage_timeout of the OpenAIResource says how long "
        "this is waited for."
    )


def _refill_seconds(failure: Failure, size: RequestSize) -> float | None:
    """Seconds until a limit is full again that has less left than a request takes; None if the headers show none."""
    needs = {"tokens": max(1.0, size.least_tokens + size.outputs + size.tools)}
    resets = [
        (reading.window or MINUTE) if reading.reset is None else reading.reset
        for name, reading in read_rate_limits(failure.headers).items()
        if reading.limit > 0 and reading.remaining < needs.get(unit_of(name), 1.0)
    ]
    return max(resets, default=None)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
