"""What a resource gives for answers that come later: batches, background responses, and the room in queues of batches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Self

from pxt_assets.api.base_url import is_azure
from pxt_assets.api.ledger_url import queues_at

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from pxt_assets.api.batches import AccountQueue, BackgroundApi, BatchApi
    from pxt_assets.api.batches.calls import Calls
    from pxt_assets.api.transport import Transport
    from pxt_assets.throttle import PoolRegistry


class LaterAnswers:
    """The part of an OpenAIResource that gives answers which come later."""

    if TYPE_CHECKING:
        api_version: str | None
        max_retries: int
        outage_timeout: float
        batch_queue_tokens: Mapping[str, float]
        _ledger_url: str | None

        def _with_environment_read(self) -> Self: ...
        def _opened(self) -> AbstractAsyncContextManager[tuple[Transport, tuple[str, ...]]]: ...
        def _base_url(self) -> str | None: ...
        def _pool_registry(self) -> PoolRegistry: ...
        def _account_id(self) -> str: ...
        def _model_group(self, model: str) -> str: ...

    @contextlib.asynccontextmanager
    async def batch_api(self, outage_timeout: float | None = None) -> AsyncIterator[BatchApi]:
        """The account's batches, for use within the running event loop. Raises as `client`.

        Faults are tried again for `outage_timeout` seconds, by default for those of the resource.
        """
        from pxt_assets.api.batches.official_batches import OfficialBatches

        async with self._calls(outage_timeout) as (calls, _):
            yield OfficialBatches(calls, time.time)

    @contextlib.asynccontextmanager
    async def background_api(self, outage_timeout: float | None = None) -> AsyncIterator[BackgroundApi]:
        """The account's responses that are made in the background. As `batch_api`."""
        from pxt_assets.api.batches.background import OfficialBackground

        async with self._calls(outage_timeout) as (calls, transport):
            yield OfficialBackground(calls, transport.get)

    def batch_queue(self) -> AccountQueue:
        """The room in the account's queues of batches, which a database may be asked for. Raises as `client`."""
        from pxt_assets.api.batches import AccountQueue

        read = self._with_environment_read()
        read._base_url()  # a simulator, whose account is named when it has started
        read._pool_registry()
        return AccountQueue(
            queues_at(read._ledger_url), read._account_id(), read._model_group, read.batch_queue_tokens
        )

    @contextlib.asynccontextmanager
    async def _calls(self, outage_timeout: float | None) -> AsyncIterator[tuple[Calls, Transport]]:
        from pxt_assets.api.batches.calls import Calls, Waiting

        read = self._with_environment_read()
        waiting = Waiting(read.max_retries, read.outage_timeout if outage_timeout is None else outage_timeout)
        async with read._opened() as (transport, secrets):
            azure = read.api_version is not None or is_azure(transport.base_url.host)
            url = transport.base_url
            yield Calls(transport.official, url, secrets=secrets, waiting=waiting, azure=azure), transport
