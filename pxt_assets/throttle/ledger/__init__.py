"""One budget for all processes on one API key: buckets in a database, leased in small slices.

SQLAlchemy is imported when a ledger is opened.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pxt_assets.throttle.ledger.in_flight_row import IN_FLIGHT
from pxt_assets.throttle.ledger.messages import LedgerUnavailable
from pxt_assets.throttle.ledger.report import PoolReport
from pxt_assets.throttle.registry import PoolRegistry

if TYPE_CHECKING:
    from pxt_assets.throttle.ledger.sql import SqlLedger

_lock = threading.Lock()
_ledgers: dict[str, SqlLedger] = {}
_pools: dict[str, PoolRegistry] = {}


def open_ledger(url: str) -> SqlLedger:
    """Return the ledger at a SQLAlchemy URL of SQLite or PostgreSQL, the same one each time.

    It connects at the first exchange; a ledger that cannot be reached delays nothing. Raises ValueError for
    a URL of another database, or if the database's driver is not installed.
    """
    from pxt_assets.throttle.ledger.sql import SqlLedger

    with _lock:
        if url not in _ledgers:
            _ledgers[url] = SqlLedger(url)
        return _ledgers[url]


def ledger_pools(url: str) -> PoolRegistry:
    """Return this process's pools of the ledger at a URL. Raises ValueError as `open_ledger` does."""
    ledger = open_ledger(url)
    with _lock:
        return _pools.setdefault(url, PoolRegistry(ledger.share))


__all__ = ["IN_FLIGHT", "LedgerUnavailable", "PoolReport", "ledger_pools", "open_ledger"]
