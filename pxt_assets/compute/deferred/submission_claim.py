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

_LONGEST_WAIT = 1_800.0
"""Seconds to wait for another process that submits."""
_PAUSE = 2.0
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
    another one has not ended after half an hour.
    """
    file = ParquetFile(folder / "submission.parquet")
    given_up_at = clock() + _LONGEST_WAIT
    async with AsyncExitStack() as stack:
        while True:
            try:
                check_claim = await stack.enter_async_context(hold_claim(file, run_id))
                break
            except ClaimedError as e:
                if clock() > given_up_at:
                    raise
                _log.info("%swaits for another process that submits its batches: %s", label, e)
            await sleep(_PAUSE)
        yield check_claim
