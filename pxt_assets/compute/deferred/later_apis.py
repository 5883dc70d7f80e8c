"""What an account has for answers that come later."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from pxt_assets.api.batches import BackgroundApi, BatchApi
from pxt_assets.compute.deferred.queue import Queue


class LaterApis(Protocol):
    """An account: an OpenAIResource is one."""

    def batch_api(self) -> AbstractAsyncContextManager[BatchApi]:
        """Its batches."""

    def background_api(self) -> AbstractAsyncContextManager[BackgroundApi]:
        """Its responses that are made in the background."""

    def batch_queue(self) -> Queue:
        """The room in its queues of batches."""
