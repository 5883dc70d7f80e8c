"""What `pxt-assets limits` shows: every pool of a ledger, as it is now."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pxt_assets.api.ledger_url import default_ledger_url
from pxt_assets.throttle.ledger import LedgerUnavailable, PoolReport, open_ledger

REFRESH_SECONDS = 1.0
_COLUMNS = ("account", "models", "limit of", "per min", "left", "in use", "share", "processes", "429s")
_ACCOUNT_LETTERS = 8
_MILLION = 1e6


def instance_ledger() -> str:
    """The URL of the ledger that the processes of this machine share by default.

    With DAGSTER_HOME set it lies in the storage directory of that instance.
    """
    if not os.environ.get("DAGSTER_HOME"):
        return default_ledger_url(None)
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        return default_ledger_url(Path(instance.storage_directory()))


def print_limits(url: str) -> None:
    """Prints the pools of the ledger at `url` once. Raises LedgerUnavailable, ValueError."""
    Console().print(limits_table(_read_pools(url)))


def follow_limits(url: str) -> None:
    """Shows the pools of the ledger at `url` until it is interrupted. Raises LedgerUnavailable, ValueError."""
    with Live(limits_table(_read_pools(url)), auto_refresh=False) as live:
        while True:
            try:
                time.sleep(REFRESH_SECONDS)
            except KeyboardInterrupt:
                return
            live.update(limits_table(_read_pools(url)), refresh=True)


def limits_table(pools: Sequence[PoolReport]) -> Table | Text:
    """The pools as a table, those in use first."""
    if not pools:
        return Text("No limits yet: no process has sent a request through this ledger.")
    table = Table(title="Rate limits", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    one_account = len({pool.key[0] for pool in pools}) == 1
    for number, column in enumerate(_COLUMNS[one_account:], one_account):
        table.add_column(column, justify="left" if number < 3 else "right", no_wrap=True)
    for pool in sorted(pools, key=lambda pool: (-pool.processes, pool.key, pool.dimension)):
        limit = pool.limit_per_minute
        cells = (
            escape(pool.key[0][:_ACCOUNT_LETTERS]),
            escape(pool.group),
            escape(pool.dimension),
            _number_text(limit),
            _number_text(pool.remaining),
            _number_text(pool.per_minute),
            f"{pool.per_minute / limit:.0%}" if limit else "?",
            str(pool.processes),
            str(pool.rejected),
        )
        table.add_row(*cells[one_account:])
    return table


def _read_pools(url: str) -> list[PoolReport]:
    return open_ledger(url).pools()


def _number_text(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if value < _MILLION else f"{value / _MILLION:,.1f}M"


__all__ = ["LedgerUnavailable", "follow_limits", "instance_ledger", "limits_table", "print_limits"]
