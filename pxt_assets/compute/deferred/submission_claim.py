"""One process at a time plans and submits the batches of a column; another one waits for it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from pxt_assets.compute.claims.claim import hold_claim
from pxt_assets.compute.claims.owner import ClaimedError
from pxt_assets.storage.parquet import ParquetFile

if TYPE_CHECKING:
    from upath import UPath

_LONGEST_WAIT = 86_400.0
"""Seconds to wait for another process: it may ask for all rows now, and who waits for batches can wait as long for it."""
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 30.0
_SAID_EVERY = 600.0
"""Seconds between two lines of the log that say whom it waits for."""
_log = logging.getLogger("pxt_assets.compute.batches")


@asynccontextmanager
async def hold_submission(
    folder: UPath,
    run_id: str | None,
    label: str,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
) -> AsyncIterator[Callable[[], None]]:
    """Within the block this process alone plans and submits the batches in `folder`; `label` stands before messages.

    The context value is a function that raises LostClaimError if another process has taken over. Raises ClaimedError if
    another one has not ended after a day.
    """
    file = ParquetFile(folder / "submission.parquet")
    began, said_at, pause = clock(), float("-inf"), _FIRST_PAUSE
    async with AsyncExitStack() as stack:
        while True:
            try:
                check_claim = await stack.enter_async_context(hold_claim(file, run_id))
                break
            except ClaimedError as e:
                if clock() - began > _LONGEST_WAIT:
                    msg = (
                        f"{label}{e.by} has had the batches of this column in hand for a day. Wait for it to end, or terminate "
                        "it, then materialize again"
                    )
                    raise ClaimedError(msg) from e
                if clock() - said_at >= _SAID_EVERY:
                    said_at = clock()
                    _log.info("%swaits for %s, which has the batches of this column in hand", label, e.by)
            await sleep(pause)
            pause = min(1.5 * pause, _LONGEST_PAUSE)
        yield check_claim
