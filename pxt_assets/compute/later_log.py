"""What the log of a run says of answers that come later: what was submitted, what waits, and how old it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pxt_assets.api.meter import cost_text
from pxt_assets.compute.deferred.record import BatchRecord
from pxt_assets.compute.deferred.submission import Submitted
from pxt_assets.values.wording import counted

_LOG_S = 3_600.0
"""Seconds between lines that say what waits, as long as nothing changes."""


class LaterLog:
    """Writes lines of a run of the column `name` by `log`. `clock` gives seconds since 1970."""

    def __init__(self, log: Callable[[str], None], name: str, clock: Callable[[], float]) -> None:
        self._log = log
        self._name = name
        self._clock = clock
        self._said_at = 0.0
        self._said = ""
        self._lacking = ""

    def submitted(self, submitted: Submitted) -> None:
        """Says what was submitted, and what had no room."""
        for record in submitted.batches:
            cost = "" if record.cost_usd is None else f", for about {cost_text(record.cost_usd)}"
            self._log(
                f"{self._name}: submitted {counted(record.requests, 'row')} ({record.model}) as batch {record.batch_id}, to be "
                f"answered within 24 hours{cost}"
            )
        if submitted.without_room:
            self._log(
                f"{self._name}: {counted(submitted.without_room, 'row')} more wait until the queue of batches has room for "
                "their tokens"
            )

    def trial(self, within: str | None) -> None:
        """Says what a trial does though answers may come later."""
        if within is not None:
            self._log(
                f"{self._name}: in a trial rows are asked for now, whatever within={within!r} says, but for those that are "
                "answered by a batch, or on their way"
            )

    def left_out(self, rows: int) -> None:
        """Says which rows a trial is without."""
        if rows:
            are = "is on its way and" if rows == 1 else "are on their way and"
            self._log(
                f"{self._name}: {counted(rows, 'row')} of the trial {are} left out; it asks for none of them"
            )

    def without_budget(self, text: str) -> None:
        """Says for which rows the budget has no room yet, where that has changed."""
        if text != self._lacking:
            self._lacking = text
            self._log(f"{self._name}: {text}. What comes back makes room, and these rows are asked for then")

    def cancelled(self, records: Sequence[BatchRecord]) -> None:
        """Says what is cancelled."""
        if records:
            rows = sum(record.requests for record in records)
            self._log(
                f"{self._name}: cancels {counted(len(records), 'batch', 'batches')} with {counted(rows, 'row')} on their way; "
                "what is finished of them is kept, the others are asked for now"
            )

    def waiting(self, records: Sequence[BatchRecord], rows: int) -> None:
        """Says what waits and how old it is, where that has changed or was not said for long."""
        views = [record.view(self._clock()) for record in records]
        told = "; ".join(
            f"{v.id or v.name} is {v.state}, {v.completed + v.failed:,} of {v.total:,} rows, {_duration(v.age_s)} old"
            for v in views
        )
        where = f": {told}" if told else " for room in the queue of batches"
        self._say("".join(f"{view.name} {view.state}" for view in views), rows, where)

    def in_background(self, rows: int, within: str | None) -> None:
        """Says how many rows wait for responses that are made in the background."""
        self._say("background", rows, f" for responses that are made in the background, within {within}")

    def _say(self, state: str, rows: int, what: str) -> None:
        now = self._clock()
        if state != self._said or now - self._said_at >= _LOG_S:
            self._said, self._said_at = state, now
            self._log(f"{self._name}: {counted(rows, 'row')} {'waits' if rows == 1 else 'wait'}{what}")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
