"""A process that leases from a ledger, and writes down how much."""

from pathlib import Path

from pxt_assets.throttle.ledger.messages import ExchangeRequest, LeaseRequest
from pxt_assets.throttle.ledger.sql import SqlLedger


def lease_a_hundred_times(url: str, pool: str, written: Path) -> None:
    """Settles each lease with the next exchange; writes their sum."""
    ledger = SqlLedger(url)
    spent = leased = 0.0
    for _ in range(100):
        request = ExchangeRequest((LeaseRequest("requests", spent, 0.0, 1.0, 3.0),))
        spent = ledger.exchange(pool, request).row_states["requests"].lease
        leased += spent
    written.write_text(str(leased))
