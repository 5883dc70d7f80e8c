"""The table of `pxt-assets limits`, laid out for the width that there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pxt_assets.api.embedded_simulator import ACCOUNT as SIMULATOR
from pxt_assets.throttle.ledger import IN_FLIGHT, PoolReport
from pxt_assets.values.wording import counted

IDLE_SECONDS = 86_400.0
"""Keys that nobody has used for so long are hidden."""
_ACCOUNT, _MODELS, _LIMIT_OF, _LEFT, _IN_USE = "account", "models", "limit of", "left", "in use"
_SHARE, _PROCESSES, _REJECTED, _HELD = "share", "processes", "429s", "held"
_COLUMNS = (_ACCOUNT, _MODELS, _LIMIT_OF, "per min", _LEFT, _IN_USE, _SHARE, _PROCESSES, _REJECTED, _HELD)
_LEFT_OUT_FIRST = (_PROCESSES, _SHARE, _ACCOUNT, _IN_USE)
"""Columns that are left out where all do not fit, one after the other; accounts then stand above their models."""
_ACCOUNT_LETTERS = 8
_MODEL_LETTERS, _FEWEST_MODEL_LETTERS = 22, 12
"""Letters of a line of a model's name, at least, before columns are left out for it: for the others of them, fewer do."""
_MILLION = 1e6
_WORDS = {
    _LEFT: "left: what can be sent at once",
    _IN_USE: "in use: per minute, over the last 10 s",
    _SHARE: "share: of the limit per minute",
    _REJECTED: "429s: of the last minute",
    _HELD: "held: a 429 asked to send nothing for so long, --clear ends it and forgets the limits that are remembered",
}


class _Account(NamedTuple):
    """How an account is shown: in the table, and in a line below it if there is more to be said."""

    name: str
    options: str = ""


class LimitsTable:
    """The pools as a table, those in use first; idle ones only if `everything`. Something of each is known."""

    def __init__(self, pools: Sequence[PoolReport], *, everything: bool = False) -> None:
        recent = [pool for pool in pools if everything or pool.idle_seconds <= IDLE_SECONDS]
        self._hidden = len({pool.key for pool in pools if _is_known(pool)} - {pool.key for pool in recent})
        self._pools = sorted(
            filter(_is_known, recent), key=lambda pool: (-pool.processes, pool.key, pool.dimension)
        )
        self._accounts = _accounts(recent)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._pools:
            columns, spaces = self._layout(options.max_width)
            yield self._table(columns, spaces)
            yield Text("; ".join(words for column, words in _WORDS.items() if column in columns), style="dim")
            shown = {pool.key[0] for pool in self._pools}
            for key, account in self._accounts.items():
                if account.options and key in shown:
                    yield Text(f"{account.name}: {account.options}")
        else:
            yield Text("No limit is in use, or known yet.")
        if self._hidden:
            idle = counted(self._hidden, "idle key")
            yield Text(f"{idle} hidden; --all shows {'it' if self._hidden == 1 else 'them'}")

    def _layout(self, width: int) -> tuple[list[str], int]:
        """As many columns as fit in a width, and the spaces between them."""
        columns = [
            column
            for column in _COLUMNS
            if (column != _HELD or any(pool.held_seconds for pool in self._pools))
            and (column != _ACCOUNT or len(self._accounts) > 1 or self._has_simulator())
        ]
        needed = self._needed(columns)
        if needed + 2 * len(columns) + 1 <= width:
            return columns, 2
        for column in _LEFT_OUT_FIRST:
            letters = _FEWEST_MODEL_LETTERS if column in (_ACCOUNT, _IN_USE) else _MODEL_LETTERS
            if self._needed(columns, letters) + len(columns) + 1 <= width:
                break
            if column in columns:
                columns.remove(column)
        return columns, 1

    def _needed(self, columns: Sequence[str], model_letters: int = _MODEL_LETTERS) -> int:
        """The letters that columns need; long names of models may be folded."""
        rows = [self._cells(pool, is_apart=False) for pool in self._pools]
        widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in columns}
        widths[_MODELS] = min(widths[_MODELS], model_letters)
        return sum(widths.values())

    def _has_simulator(self) -> bool:
        return any(key.startswith(SIMULATOR) for key in self._accounts)

    def _table(self, columns: Sequence[str], spaces: int) -> Table:
        table = Table(box=SIMPLE_HEAD, padding=(0, spaces - 1, 0, 0))
        for column in columns:
            is_text = column in (_ACCOUNT, _MODELS, _LIMIT_OF)
            table.add_column(
                column,
                justify="left" if is_text else "right",
                no_wrap=column != _MODELS,
                overflow="fold",
            )
        is_apart = _ACCOUNT not in columns and (len(self._accounts) > 1 or self._has_simulator())
        for pool in self._pools:
            cells = self._cells(pool, is_apart=is_apart)
            table.add_row(*(escape(cells[column]) for column in columns))
        return table

    def _cells(self, pool: PoolReport, *, is_apart: bool) -> dict[str, str]:
        """The texts of a row by column; if `is_apart`, the account is a line of its own above the models."""
        name = self._accounts[pool.key[0]].name
        limit = pool.limit_per_minute
        return {
            _ACCOUNT: name,
            _MODELS: f"{name}\n{pool.group}" if is_apart else pool.group,
            _LIMIT_OF: f"{pool.limit:.0f} in flight" if pool.dimension == IN_FLIGHT else pool.dimension,
            "per min": "" if pool.dimension == IN_FLIGHT else _number_text(limit),
            _LEFT: _number_text(pool.remaining),
            _IN_USE: "" if pool.dimension == IN_FLIGHT else _number_text(pool.per_minute),
            # Beside what flows in, what was left is spent: by that alone is no more than the limit in use.
            _SHARE: f"{min(1.0, pool.per_minute / limit):.0%}" if limit else "",
            _PROCESSES: str(pool.processes),
            _REJECTED: str(pool.rejected),
            _HELD: f"{pool.held_seconds:.0f} s" if pool.held_seconds else "",
        }


def _is_known(pool: PoolReport) -> bool:
    """Whether a row would say anything."""
    return pool.limit is not None or bool(pool.per_minute or pool.rejected or pool.held_seconds)


def _accounts(pools: Sequence[PoolReport]) -> dict[str, _Account]:
    """How each account is shown: a simulator as such, with its options below the table; others by their fingerprint."""
    keys = sorted({pool.key[0] for pool in pools})
    simulators = [key for key in keys if key.startswith(SIMULATOR)]
    shown: dict[str, _Account] = {}
    for key in keys:
        if key in simulators:
            number = f" {simulators.index(key) + 1}" if len(simulators) > 1 else ""
            options = key.split(" ", 2)[2:]
            shown[key] = _Account(f"{SIMULATOR}{number}", *(options or ["no limits"]))
        else:
            shown[key] = _Account(key[:_ACCOUNT_LETTERS])
    return shown


def _number_text(value: float | None) -> str:
    if value is None:
        return "unknown"
    if value < _MILLION:
        return f"{value:,.0f}"
    return f"{value / _MILLION:,.1f}M" if value < 1_000 * _MILLION else f"{value / _MILLION / 1_000:,.1f}B"
