"""What the demo's run took, asset by asset, and the rows of it that failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from rich.table import Table as Grid

from pxt_assets.api.meter import cost_text
from pxt_assets.assets.declarations.checks import NO_FAILED_CELLS
from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.table import Table
from pxt_assets.demo.terminal import DemoConsole, printable
from pxt_assets.values.wording import counted

_LEFT_OUT_FIRST = ("seconds", "tokens", "requests", "null", "cost", "reused", "failed")
"""The columns that a narrow terminal does without, in that order."""
_FAILED_ROWS_SHOWN = 10
_MESSAGE_CHARACTERS = 160


@dataclass
class _AssetTotals:
    """The counts, tokens and cost of one asset, over all its partitions."""

    stored: bool = False
    rows: int = 0
    reused: int = 0
    null: int = 0
    failed: int = 0
    requests: int = 0
    tokens: int = 0
    known_cost: float = 0.0
    """US dollars, without the rows whose price is unknown."""
    unpriced: int = 0
    """The number of these."""
    seconds: float = 0.0
    """The seconds of the step: partitions overlap, so that theirs do not add up."""
    computed: bool = False
    simulated: bool = False

    def add(self, metadata: dict[str, Any]) -> None:
        """Adds the metadata of one materialization."""
        self.stored = True
        self.rows += metadata.get("dagster/partition_row_count", metadata.get("dagster/row_count", 0))
        if "pxt/requests" not in metadata:
            return
        self.computed = True
        self.reused += metadata["pxt/rows_reused"]
        self.null += metadata.get("pxt/rows_null", 0)
        self.failed += metadata["pxt/rows_failed"]
        self.requests += metadata["pxt/requests"]
        self.tokens += metadata["pxt/input_tokens"] + metadata["pxt/output_tokens"]
        self.simulated = self.simulated or metadata["pxt/simulated"]
        cost = metadata["pxt/cost_usd"]
        self.known_cost += 0.0 if isinstance(cost, str) else cost
        self.unpriced += metadata.get("pxt/rows_unpriced", int(isinstance(cost, str)))

    def cells(self) -> dict[str, str]:
        """Its figures as text, by the name of their column; of an asset that computes nothing only the rows."""
        if not self.computed:
            return {"rows": f"{self.rows:,}"}
        counts = {
            name: f"{getattr(self, name):,}"
            for name in ("rows", "reused", "null", "failed", "requests", "tokens")
        }
        return {
            **counts,
            "cost": _cost_cell(self.known_cost, self.unpriced),
            "seconds": f"{self.seconds:.2f}",
        }


def print_results(console: DemoConsole, result: dg.ExecuteInProcessResult, tables: Sequence[Table]) -> None:
    """Prints what each asset took, in the order in which the assets were added, and what the figures do not say."""
    totals = _totals(result, tables)
    computed = [t for t in totals.values() if t.computed]
    names = ["rows", "reused", *(["null"] if any(t.null for t in computed) else []), "failed"]
    names += ["requests", "tokens", "cost", "seconds"]
    grid, left_out = _fitting_grid(console, totals, tables, names)
    if not console.is_terminal:  # a file or a pipe has room for it
        console.width = max(console.width, _width(console, grid))
    console.print(grid)
    if left_out:
        console.print(f"Left out for want of room: {', '.join(left_out)}.", soft_wrap=True)
    if unknown := {name: t.unpriced for name, t in totals.items() if t.computed and t.unpriced}:
        rows = ", ".join(f"{counted(unpriced, 'row')} of {name}" for name, unpriced in unknown.items())
        console.print(
            f"The cost of {rows} is unknown: the price table has no price for "
            f"{'its model' if len(unknown) == 1 else 'their models'}, or the answers do not say what it counts.",
            soft_wrap=True,
            markup=False,
        )
    if any(t.simulated for t in computed):
        console.print("The cost is simulated: it is what the API would have charged.", soft_wrap=True)
    if any(t.reused for t in computed):
        console.print(
            "Reused rows have the answers of an earlier run: their inputs are the same, and nothing is sent for them.",
            soft_wrap=True,
        )


def _totals(result: dg.ExecuteInProcessResult, tables: Sequence[Table]) -> dict[str, _AssetTotals]:
    keys = [definition.key for table in tables for definition in table.assets]
    steps = {identifier(key): key.to_user_string() for key in keys}
    totals = {name: _AssetTotals() for name in steps.values()}
    for event in result.get_asset_materialization_events():
        metadata = {k: v.value for k, v in event.materialization.metadata.items()}
        totals[event.materialization.asset_key.to_user_string()].add(metadata)
    for event in result.all_events:
        if event.is_step_success and event.step_key in steps:
            totals[steps[event.step_key]].seconds = event.step_success_data.duration_ms / 1_000
    return totals


def _fitting_grid(
    console: DemoConsole, totals: dict[str, _AssetTotals], tables: Sequence[Table], names: list[str]
) -> tuple[Grid, list[str]]:
    """The widest grid that the terminal has room for, and the columns that it has none for."""
    left_out: list[str] = []
    for gone in (None, *(name for name in _LEFT_OUT_FIRST if name in names)):
        left_out += [] if gone is None else [gone]
        kept = [name for name in names if name not in left_out]
        for gap in (2, 1):
            grid = _grid(totals, tables, kept, gap)
            if not console.is_terminal or _width(console, grid) <= console.width:
                return grid, [name for name in names if name in left_out]
    return grid, left_out


def _width(console: DemoConsole, grid: Grid) -> int:
    return console.measure(grid, options=console.options.update(max_width=1_000)).maximum


def _grid(totals: dict[str, _AssetTotals], tables: Sequence[Table], names: list[str], gap: int) -> Grid:
    grid = Grid(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    grid.add_column("asset, and its folder" if len(names) > 3 else "asset", no_wrap=True)
    for name in names:
        grid.add_column(name, justify="right", no_wrap=True)
    for table in tables:
        if grid.row_count:
            grid.add_row()
        for asset in (definition.key.to_user_string() for definition in table.assets):
            if totals[asset].stored:
                cells = totals[asset].cells()
                grid.add_row(asset, *(cells.get(name, "") for name in names))
    sums = _sums([one for one in totals.values() if one.computed])
    if sums and any(name in names for name in sums):
        grid.add_row()
        grid.add_row("total", *(sums.get(name, "") for name in names))
    return grid


def _sums(computed: Sequence[_AssetTotals]) -> dict[str, str]:
    """What all assets took together, as text, by the name of its column."""
    if not computed:
        return {}
    known = sum(one.known_cost for one in computed)
    cost = _cost_cell(known, sum(one.unpriced for one in computed))
    requests, tokens = sum(one.requests for one in computed), sum(one.tokens for one in computed)
    return {"requests": f"{requests:,}", "tokens": f"{tokens:,}", "cost": cost}


def _cost_cell(known: float, unpriced: int) -> str:
    """`$0.12`, `more than $0.12` where some rows have no price that is known, `unknown` where none has."""
    if not unpriced:
        return cost_text(known)
    return f"more than {cost_text(known)}" if known else "unknown"


def print_failed_rows(console: DemoConsole, result: dg.ExecuteInProcessResult, meaning: str) -> None:
    """Prints which rows failed and why, if any did, and then `meaning`."""
    failed = list(dict.fromkeys(_failed_rows(result)))
    counts = [
        e.metadata["pxt/rows_failed"].value for e in _failed_checks(result) if "pxt/rows_failed" in e.metadata
    ]
    count = sum(one for one in counts if isinstance(one, int))
    if not count:
        return
    console.print(f"{counted(count, 'row')} failed:")
    for line in failed[:_FAILED_ROWS_SHOWN]:
        console.print(f"  {printable(line)}", soft_wrap=True, markup=False)
    if count > min(len(failed), _FAILED_ROWS_SHOWN):
        console.print(f"  and {count - min(len(failed), _FAILED_ROWS_SHOWN):,} more")
    console.print(meaning, soft_wrap=True, markup=False)


def _failed_checks(result: dg.ExecuteInProcessResult) -> Iterator[dg.AssetCheckEvaluation]:
    for evaluation in result.get_asset_check_evaluations():
        if evaluation.check_name == NO_FAILED_CELLS and not evaluation.passed:
            yield evaluation


def _failed_rows(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    """A line for each failed row that the checks name."""
    for evaluation in _failed_checks(result):
        table = evaluation.metadata.get("pxt/failed_rows")
        for record in table.records if isinstance(table, dg.TableMetadataValue) else ():
            row = record.data
            where = [evaluation.asset_key.to_user_string(), row.get("partition"), f"row {row['row']}"]
            message = " ".join(str(row["message"]).split())
            if len(message) > _MESSAGE_CHARACTERS:
                message = f"{message[:_MESSAGE_CHARACTERS]}..."
            yield f"{', '.join(str(w) for w in where if w)}: {row['error']}: {message}"
