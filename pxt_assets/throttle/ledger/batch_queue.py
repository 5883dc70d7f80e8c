"""The queues of batches in the ledger's database: the same for the processes of all hosts.

Their tables are made when a queue is first used: who sends no batches needs no right to create them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from pxt_assets.throttle.batch_queue import QueuedBatch, QueueLimit, checked_limit, has_room
from pxt_assets.throttle.ledger.tables import clock, create_queue_tables

Result = TypeVar("Result")
Transaction = Callable[[Callable[[Connection], Any]], Any]
"""Runs a function of a connection in one transaction, and returns its result; raises LedgerUnavailable."""

_FIND_LIMIT = (
    "SELECT tokens, configured, learned FROM pxt_batch_limits WHERE account = :account AND model = :model"
)
_NEW_LIMIT = text(
    "INSERT INTO pxt_batch_limits (account, model) VALUES (:account, :model) ON CONFLICT DO NOTHING"
)
_WRITE_LIMIT = text(
    "UPDATE pxt_batch_limits SET tokens = :tokens, configured = :configured, learned = :learned "
    "WHERE account = :account AND model = :model"
)
_FIND_BATCHES = text(
    "SELECT name, tokens, since, submitted FROM pxt_queued_batches WHERE account = :account AND model = :model"
)
_WRITE_BATCH = text(
    "INSERT INTO pxt_queued_batches (name, account, model, tokens, since, submitted) "
    "VALUES (:name, :account, :model, :tokens, :since, :submitted) ON CONFLICT (name) DO UPDATE SET "
    "account = :account, model = :model, tokens = :tokens, since = :since, submitted = :submitted"
)
_SUBMITTED = text("UPDATE pxt_queued_batches SET submitted = 1, since = :now WHERE name = :name")
_DELETE_BATCH = text("DELETE FROM pxt_queued_batches WHERE name = :name")


class SqlBatchQueue:
    """A BatchQueue in a database. Times are the database's."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    def limit(self, account: str, model: str) -> float:
        """As BatchQueue says."""
        return self._run(lambda connection: _Queue(connection, account, model).limit)

    def room(self, account: str, model: str) -> float:
        """As BatchQueue says."""

        def run(connection: Connection) -> float:
            queue = _Queue(connection, account, model)
            return max(0.0, queue.limit - queue.tokens_of_others(""))

        return self._run(run)

    def enqueue(self, name: str, account: str, model: str, tokens: float) -> bool:
        """As BatchQueue says."""

        def run(connection: Connection) -> bool:
            queue = _Queue(connection, account, model)
            queue.forget_what_is_over()
            if not has_room(tokens, queue.limit, queue.tokens_of_others(name)):
                return False
            before = queue.batches.get(name)
            row = {
                "name": name,
                "account": account,
                "model": model,
                "tokens": float(tokens),
                "since": queue.now,
            }
            is_submitted = before is not None and before.is_submitted
            connection.execute(_WRITE_BATCH, {**row, "submitted": int(is_submitted)})
            return True

        return self._run(run)

    def submitted(self, name: str) -> None:
        """As BatchQueue says."""
        self._run(lambda one: one.execute(_SUBMITTED, {"name": name, "now": clock(one)}) and None)

    def release(self, name: str) -> None:
        """As BatchQueue says."""
        self._run(lambda one: one.execute(_DELETE_BATCH, {"name": name}) and None)

    def learn_limit(self, account: str, model: str, limit: float) -> None:
        """As BatchQueue says."""
        tokens = checked_limit(limit)

        def run(connection: Connection) -> None:
            queue = _Queue(connection, account, model)
            queue.write(QueueLimit(tokens, queue.stated.configured, queue.now))

        self._run(run)

    def configure(self, account: str, model: str, limit: float) -> None:
        """As BatchQueue says."""
        tokens = checked_limit(limit)

        def run(connection: Connection) -> None:
            queue = _Queue(connection, account, model)
            if queue.stated.configured != tokens:
                queue.write(QueueLimit(tokens, tokens))

        self._run(run)

    def _run(self, run: Callable[[Connection], Result]) -> Result:
        def prepared(connection: Connection) -> Result:
            create_queue_tables(connection)
            return run(connection)

        result: Result = self._transaction(prepared)
        return result


class _Queue:
    """One queue, locked until the transaction ends, so that what is read of it stays true."""

    def __init__(self, connection: Connection, account: str, model: str) -> None:
        self._connection, self._key = connection, {"account": account, "model": model}
        suffix = " FOR UPDATE" if connection.dialect.name == "postgresql" else ""
        connection.execute(_NEW_LIMIT, self._key)
        self.stated = QueueLimit(*connection.execute(text(_FIND_LIMIT + suffix), self._key).one())
        self.now = clock(connection)
        self.batches = {
            name: QueuedBatch(tokens, since, bool(submitted))
            for name, tokens, since, submitted in connection.execute(_FIND_BATCHES, self._key)
        }

    @property
    def limit(self) -> float:
        """Tokens that may be on their way; infinite while none is known."""
        return self.stated.at(self.now)

    def tokens_of_others(self, name: str) -> float:
        """The tokens of all batches but that one."""
        return sum(
            batch.tokens for other, batch in self.batches.items() if other != name and batch.counts(self.now)
        )

    def forget_what_is_over(self) -> None:
        """Deletes the rows of batches that no longer count."""
        over = [{"name": name} for name, batch in self.batches.items() if not batch.counts(self.now)]
        if over:
            self._connection.execute(_DELETE_BATCH, over)

    def write(self, limit: QueueLimit) -> None:
        """Writes the limit."""
        values = {"tokens": limit.tokens, "configured": limit.configured, "learned": limit.learned_at}
        self._connection.execute(_WRITE_LIMIT, {**self._key, **values})
