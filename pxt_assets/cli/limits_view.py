"""What `pxt-assets limits` shows: every pool of a ledger, as it is now."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from pxt_assets.api.ledger_url import default_ledger_url
from pxt_assets.cli.dagster_home import check_dagster_home
from pxt_assets.cli.limits_table import LimitsTable
from pxt_assets.throttle.ledger import LedgerUnavailable, PoolReport, open_ledger

REFRESH_SECONDS = 1.0
_ELSEWHERE = (
    "A `dg dev` without DAGSTER_HOME keeps its ledger elsewhere, in the .tmp_dagster_home_… of its folder: "
    "run this in a shell with the same DAGSTER_HOME, or give --ledger URL."
)
NO_INSTANCE = (
    f"DAGSTER_HOME is not set: this is the ledger of processes without a Dagster instance. {_ELSEWHERE}"
)
"""What is to be known of the ledger that is read where neither an instance nor a ledger is named."""


def instance_ledger() -> str:
    """The URL of the ledger that the processes of this machine share by default.

    With DAGSTER_HOME set it lies in the storage directory of that instance. Raises ValueError if that is no folder.
    """
    check_dagster_home()
    if not os.environ.get("DAGSTER_HOME"):
        return default_ledger_url(None)
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        return default_ledger_url(Path(instance.storage_directory()))


def print_limits(url: str, *, everything: bool = False, note: str = "") -> None:
    """Prints the pools of the ledger at `url` once, a `note` above; idle ones only if `everything`.

    Raises LedgerUnavailable, ValueError.
    """
    console, pools = Console(), _read_pools(url)
    console.print(_heading(url), soft_wrap=True)
    if note:
        console.print(Text(note))
    console.print(limits_table(pools, everything=everything, is_elsewhere_told=bool(note)))


def follow_limits(url: str, *, everything: bool = False, note: str = "") -> None:
    """The same until it is interrupted, again and again. Raises LedgerUnavailable, ValueError."""

    def now() -> Group:
        table = limits_table(_read_pools(url), everything=everything, is_elsewhere_told=bool(note))
        return Group(_heading(url), *([Text(note)] if note else []), table)

    with Live(now(), auto_refresh=False) as live:
        while True:
            try:
                time.sleep(REFRESH_SECONDS)
            except KeyboardInterrupt:
                return
            live.update(now(), refresh=True)


def clear_limits(url: str, models: str) -> str:
    """Clears the holds and the remembered limits of the pools of `models`, of all for "all"; says which, and where.

    Raises LedgerUnavailable, ValueError, also where no pool is of that name.
    """
    ledger = open_ledger(url)
    with _named(url):
        cleared = ledger.clear(lambda key: models in ("all", key[-1]))
        known = [] if cleared else list(dict.fromkeys(pool.group for pool in ledger.pools()))
    if cleared:
        names = ", ".join(dict.fromkeys(key[-1] for key in cleared))
        return (
            f"Cleared: {names}; in the ledger at {ledger.address}. "
            "Processes at work take notice within seconds, and measure their limits anew."
        )
    if models == "all":
        return f"There was nothing to clear: the ledger at {ledger.address} has no pools. {_ELSEWHERE}"
    if not known:
        msg = f"no pool is of {models!r}: the ledger at {ledger.address} has no pools. {_ELSEWHERE}"
        raise ValueError(msg)
    msg = (
        f"no pool in the ledger at {ledger.address} is of {models!r}; there are: {', '.join(known)}. "
        "--clear without a name clears all of them"
    )
    raise ValueError(msg)


def limits_table(
    pools: Sequence[PoolReport], *, everything: bool = False, is_elsewhere_told: bool = False
) -> LimitsTable | Text:
    """The pools as a table, those in use first; without idle ones unless `everything`.

    Where there are none, it is said where else to look, unless it is told already.
    """
    if not pools:
        where = "" if is_elsewhere_told else f" {_ELSEWHERE}"
        return Text(f"None yet: no process has sent a request through this ledger.{where}")
    return LimitsTable(pools, everything=everything)


def _heading(url: str) -> Text:
    return Text(f"Rate limits in the ledger at {open_ledger(url).address}", overflow="fold")


def _read_pools(url: str) -> list[PoolReport]:
    with _named(url):
        return open_ledger(url).pools()


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Within the block, errors of the ledger say which one it is."""
    try:
        yield
    except LedgerUnavailable as e:
        msg = f"the ledger at {open_ledger(url).address}: {e}"
        raise LedgerUnavailable(msg) from None


__all__ = [
    "NO_INSTANCE",
    "LedgerUnavailable",
    "clear_limits",
    "follow_limits",
    "instance_ledger",
    "limits_table",
    "print_limits",
]
