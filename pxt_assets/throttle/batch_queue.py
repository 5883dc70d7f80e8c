"""How many tokens of batches an account may have on their way at once, for each model, and how many it has.

A queue has room until the tokens of the batches in it reach the limit. A limit is configured, or learned from the batch
that was refused for it, whichever was said last; while none is known there is room for all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

CLAIM_SECONDS = 3_600.0
"""Time after which a claim is void that no batch followed: its process has died. An upload of 200 MB takes less."""
BATCH_SECONDS = 25 * 3_600.0
"""Time after which a batch no longer counts: it has ended, and nobody said so."""
LIMIT_SECONDS = 30 * 86_400.0
"""Time for which a learned limit is believed: accounts are given higher ones."""


class BatchQueue(Protocol):
    """The queues of all accounts and models. Of processes that share a ledger, each sees what the others enqueue.

    Calls of a queue in a database raise LedgerUnavailable, and may take seconds then.
    """

    def limit(self, account: str, model: str) -> float:
        """Tokens that may be on their way at once; infinite while no limit is known."""

    def room(self, account: str, model: str) -> float:
        """Tokens that may be enqueued now, 0 or more; infinite while no limit is known."""

    def enqueue(self, name: str, account: str, model: str, tokens: float) -> bool:
        """Claims room for the batch `name`, and says whether there is enough.

        Claimed again it keeps its place, with the new number of tokens. In an empty queue there is room for any batch:
        the server then says what is too much. A claim is void after an hour unless `submitted` follows.
        """

    def submitted(self, name: str) -> None:
        """Notes that the batch is on its way: it counts until it is released, 25 hours at most."""

    def release(self, name: str) -> None:
        """Makes room again: the batch has ended, or was never made."""

    def learn_limit(self, account: str, model: str, limit: float) -> None:
        """Notes the limit that the server has named. Raises ValueError for one of 0 or less."""

    def configure(self, account: str, model: str, limit: float) -> None:
        """Sets a limit, where it is not the one that was set last: what was learned since then stands."""


@dataclass(frozen=True, slots=True)
class QueueLimit:
    """The limit of one model's queue. Times are in seconds of one clock."""

    tokens: float | None = None
    """What holds now, None for not known."""
    configured: float | None = None
    """What was configured last."""
    learned_at: float | None = None
    """When it was learned; None for one that was configured."""

    def at(self, now: float) -> float:
        """The tokens that hold now; those configured where what was learned is too old; infinite where none are known."""
        is_old = self.learned_at is not None and self.learned_at < now - LIMIT_SECONDS
        tokens = self.configured if is_old else self.tokens
        return float("inf") if tokens is None else tokens


@dataclass(frozen=True, slots=True)
class QueuedBatch:
    """A batch in the queue of a model."""

    tokens: float
    since: float
    is_submitted: bool = False

    def counts(self, now: float) -> bool:
        """Whether it takes room at that time."""
        return self.since > now - (BATCH_SECONDS if self.is_submitted else CLAIM_SECONDS)


def has_room(tokens: float, limit: float, others: float) -> bool:
    """Whether a batch fits in beside the tokens of others; an empty queue takes any."""
    return others == 0 or others + tokens <= limit


def checked_limit(limit: float) -> float:
    """The limit. Raises ValueError for one of 0 or less, or that is no number."""
    if not 0 < limit < float("inf"):
        msg = f"the token limit of a batch queue: got {limit}, allowed: more than 0 tokens"
        raise ValueError(msg)
    return float(limit)


@dataclass
class MemoryBatchQueue:
    """The queues of this process alone."""

    clock: Callable[[], float] = time.time
    _limits: dict[tuple[str, str], QueueLimit] = field(default_factory=dict)
    _queues: dict[tuple[str, str], dict[str, QueuedBatch]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def limit(self, account: str, model: str) -> float:
        """As BatchQueue says."""
        return self._limits.get((account, model), QueueLimit()).at(self.clock())

    def room(self, account: str, model: str) -> float:
        """As BatchQueue says."""
        with self._lock:
            return max(0.0, self.limit(account, model) - self._tokens_of_others("", account, model))

    def enqueue(self, name: str, account: str, model: str, tokens: float) -> bool:
        """As BatchQueue says."""
        with self._lock:
            if not has_room(tokens, self.limit(account, model), self._tokens_of_others(name, account, model)):
                return False
            queue = self._queues.setdefault((account, model), {})
            before = queue.get(name)
            queue[name] = QueuedBatch(tokens, self.clock(), before is not None and before.is_submitted)
            return True

    def submitted(self, name: str) -> None:
        """As BatchQueue says."""
        with self._lock:
            for queue in self._queues.values():
                if name in queue:
                    queue[name] = QueuedBatch(queue[name].tokens, self.clock(), is_submitted=True)

    def release(self, name: str) -> None:
        """As BatchQueue says."""
        with self._lock:
            for queue in self._queues.values():
                queue.pop(name, None)

    def learn_limit(self, account: str, model: str, limit: float) -> None:
        """As BatchQueue says."""
        with self._lock:
            before = self._limits.get((account, model), QueueLimit())
            self._limits[account, model] = QueueLimit(checked_limit(limit), before.configured, self.clock())

    def configure(self, account: str, model: str, limit: float) -> None:
        """As BatchQueue says."""
        with self._lock:
            before = self._limits.get((account, model), QueueLimit())
            if before.configured != checked_limit(limit):
                self._limits[account, model] = QueueLimit(limit, limit)

    def _tokens_of_others(self, name: str, account: str, model: str) -> float:
        now = self.clock()
        queue = self._queues.get((account, model), {})
        return sum(batch.tokens for other, batch in queue.items() if other != name and batch.counts(now))


batch_queues = MemoryBatchQueue()
"""The queues of this process."""
