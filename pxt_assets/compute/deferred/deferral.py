"""How a run deals with answers that come later, and what an account has for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from pxt_assets.api.batches import BackgroundApi, BatchApi
from pxt_assets.compute.cells.segments import names_in
from pxt_assets.compute.deferred.queue import Queue
from pxt_assets.storage.layout import BACKGROUND_SUFFIX

if TYPE_CHECKING:
    from upath import UPath


class LaterApis(Protocol):
    """An account: an OpenAIResource is one."""

    def batch_api(self) -> AbstractAsyncContextManager[BatchApi]:
        """Its batches."""

    def background_api(self) -> AbstractAsyncContextManager[BackgroundApi]:
        """Its responses that are made in the background."""

    def batch_queue(self) -> Queue:
        """The room in its queues of batches."""


@dataclass(frozen=True)
class Deferral:
    """How a run deals with answers that come later."""

    within: Literal["24h", "8h", "2h"] | None
    """How long an answer may take; None for now, which ends what is on its way."""
    wait: bool
    """Whether the run waits for the answers; if not, it ends once they are submitted."""
    folder: UPath
    """Where the column's batches are on record."""
    apis: LaterApis
    """The account's: an OpenAIResource has them."""
    is_trial: bool = False
    """Whether only some first rows are computed: these are asked for now, and what is on its way stays so."""
    run_id: str | None = None
    """The run, which is on record with what it submits."""
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def is_plain(self) -> bool:
        """Whether all is asked for now, and nothing of the column is on record, by batch or in the background."""
        if self.within is not None:
            return False
        try:
            names = names_in(self.folder.parent)
        except OSError:
            return False  # whoever looks again says what is wrong
        return not any(name == self.folder.name or name.endswith(BACKGROUND_SUFFIX) for name in names)
