"""Batches that do not end though their time is over: they are cancelled, and given up where even that does not end them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from pxt_assets.compute.deferred.record import BatchRecord

if TYPE_CHECKING:
    from pxt_assets.api.batches import BatchApi, BatchState

_LATE = 86_400.0 + 3_600.0
"""Seconds after which a batch, which has 24 hours, is late."""
CANCELLED_WITHIN = 660.0
"""Seconds within which a batch that was cancelled has ended. Source: https://platform.openai.com/docs/guides/batch"""
_log = logging.getLogger("pxt_assets.compute.batches")


def is_late(record: BatchRecord, now: float) -> bool:
    """Whether a submitted batch should have ended long ago."""
    return now - (record.submitted_at or record.created_at) > _LATE


class LateBatches:
    """Cancels the late batches of an account; `clock` gives seconds since 1970."""

    def __init__(self, api: BatchApi, clock: Callable[[], float]) -> None:
        self._api, self._clock = api, clock
        self._cancelled: dict[str, float] = {}
        """When each one was cancelled, or seen to be."""

    async def is_given_up(self, record: BatchRecord, state: BatchState) -> bool:
        """Whether nothing more is expected of a batch that has not ended. One that is late is cancelled first.

        Raises RunError where the server refuses that.
        """
        now = self._clock()
        if state.is_ended or not is_late(record, now):
            return False
        if state.is_cancelling and is_late(record, now - CANCELLED_WITHIN):
            return True  # a process that does not wait may have cancelled it
        if record.name not in self._cancelled:
            if not state.is_cancelling:
                _log.warning(
                    "the batch %s has not ended within 24 hours; it is cancelled, what it has finished is kept, and the rest "
                    "is asked for now",
                    state.id,
                )
                await self._api.cancel(state.id)
            self._cancelled[record.name] = now
        return now - self._cancelled[record.name] > CANCELLED_WITHIN
