"""The queues of batches of one account, by model: the room that is left in them, whoever of its processes asks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from pxt_assets.api.batches.queue_limit import read_queue_limit
from pxt_assets.throttle.batch_queue import BatchQueue, MemoryBatchQueue
from pxt_assets.throttle.ledger import LedgerUnavailable

Result = TypeVar("Result")

_log = logging.getLogger("pxt_assets")


class AccountQueue:
    """The queues of `account` in `queue`. Its calls may take seconds: a database is asked.

    Models of one group share a queue. `configured` are limits by model or group. Where the ledger cannot be reached, this
    process goes on with what it knows itself.
    """

    def __init__(
        self, queue: BatchQueue, account: str, group_of: Callable[[str], str], configured: Mapping[str, float]
    ) -> None:
        self._queue, self._account, self._group_of = queue, account, group_of
        self._configured = configured
        self._alone = MemoryBatchQueue()
        self._is_alone = False
        self._unreleased: set[str] = set()
        """Batches that have ended, of which the ledger does not know yet."""

    def limit(self, model: str) -> float:
        """Tokens that may be on their way at once; infinite while no limit is known."""
        return self._of(model, lambda queue, group: queue.limit(self._account, group))

    def room(self, model: str) -> float:
        """Tokens that may be enqueued now, 0 or more; infinite while no limit is known."""
        return self._of(model, lambda queue, group: queue.room(self._account, group))

    def enqueue(self, name: str, model: str, tokens: float) -> bool:
        """Claims room for the batch `name` for an hour, until `submitted`; whether there is enough, as in an empty queue."""
        return self._of(model, lambda queue, group: queue.enqueue(name, self._account, group, tokens))

    def submitted(self, name: str) -> None:
        """Notes that the batch is on its way."""
        self._ask(lambda queue: queue.submitted(name))

    def release(self, name: str) -> None:
        """Makes room again: the batch has ended, or was never made."""
        self._unreleased.add(name)
        self._ask(lambda _: None)

    def learn(self, model: str, message: str) -> int | None:
        """The limit that a refusal for the queue's tokens names, which holds from now on; None if it names none."""
        limit = read_queue_limit(message)
        if limit is not None:
            self._of(model, lambda queue, group: queue.learn_limit(self._account, group, limit))
        return limit

    def _of(self, model: str, call: Callable[[BatchQueue, str], Result]) -> Result:
        group = self._group_of(model)
        configured = self._configured.get(model, self._configured.get(group))

        def configured_call(queue: BatchQueue) -> Result:
            if configured is not None:
                queue.configure(self._account, group, configured)
            return call(queue, group)

        return self._ask(configured_call)

    def _ask(self, call: Callable[[BatchQueue], Result]) -> Result:
        try:
            for name in list(self._unreleased):
                self._queue.release(name)
                self._unreleased.discard(name)
            result = call(self._queue)
            self._is_alone = False
            return result
        except LedgerUnavailable as e:
            if not self._is_alone:
                _log.warning("The room in queues of batches is not shared with other processes: %s", e)
            self._is_alone = True
            for name in self._unreleased:
                self._alone.release(name)
            return call(self._alone)
