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


def clear_limits(url: str, models: str) -> str:
    """Clears the holds and the remembered limits of the pools of `models`, of all for "all"; says which.

    Raises LedgerUnavailable, ValueError, also where no pool is of that name.
    """
    ledger = open_ledger(url)
    cleared = ledger.clear(lambda key: models in ("all", key[-1]))
    if cleared:
        names = ", ".join(dict.fromkeys(key[-1] for key in cleared))
        return (
            f"Cleared: {names}. Processes at work take notice within seconds, and measure their limits anew."
        )
    if models == "all":
        return "There was nothing to clear: no process has sent a request through this ledger."
    known = ", ".join(dict.fromkeys(pool.group for pool in ledger.pools()))
    msg = f"no pool is of {models!r}; there are: {known or 'none'}. --clear without a name clears all of them"
    raise ValueError(msg)


def limits_table(pools: Sequence[PoolReport]) -> Table | Text:
    """The pools as a table, those in use first."""
    if not pools:
        return Text("No limits yet: no process has sent a request through this ledger.")
    table = Table(title="Rate limits", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    one_account = len({pool.key[0] for pool in pools}) == 1
    columns = (*_COLUMNS, "held") if any(pool.held_seconds for pool in pools) else _COLUMNS
    for number, column in enumerate(columns[one_account:], one_account):
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
            f"{pool.held_seconds:.0f} s" if pool.held_seconds else "",
        )
        table.add_row(*cells[one_account : len(columns)])
    if len(columns) > len(_COLUMNS):
        table.caption = "held: a 429 asked to send nothing for so long; --clear ends it, and forgets the limits that are remembered"
        table.caption_justify = "left"
    return table


def _read_pools(url: str) -> list[PoolReport]:
    return open_ledger(url).pools()


def _number_text(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if value < _MILLION else f"{value / _MILLION:,.1f}M"


__all__ = [
    "LedgerUnavailable",
    "clear_limits",
    "follow_limits",
    "instance_ledger",
    "limits_table",
    "print_limits",
]
