"""Runs the demo: every asset, every partition, with progress on the terminal and a table at the end."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table as Grid

from pxt_assets.api.meter import cost_text
from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.table import Table
from pxt_assets.compute.asking import progress
from pxt_assets.demo.graph import DEMO_DAYS, demo_definitions, demo_tables, tickets_table
from pxt_assets.demo.user_files import user_files, user_partitions

_INSTANCE_CONFIG = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
_LINE_SECONDS = 10.0
_QUIET_RUN_CONFIG = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class DemoFailedError(Exception):
    """The run failed; the message is its cause."""


@dataclass
class _AssetTotals:
    """The counts, tokens and cost of one asset, over all its partitions."""

    stored: bool = False
    rows: int = 0
    failed: int = 0
    requests: int = 0
    tokens: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0
    """The seconds of the step: partitions overlap, so that theirs do not add up."""
    computed: bool = False
    simulated: bool = False


def run_demo(*, data: Path | None, key: str, text: str, out: Path, live: bool) -> None:
    """Materializes the whole graph and prints what it took. Raises DemoFailedError, SourceError, DefinitionError."""
    console = Console(highlight=False)
    dynamic: dg.DynamicPartitionsDefinition | None = None
    settings: dict[str, str] = {}
    if data is None:
        partitions = list(DEMO_DAYS.get_partition_keys())
        tables = demo_tables()
    else:
        files, partitions = user_files(data)
        dynamic = user_partitions(files)
        tables = [tickets_table(files, dynamic, key=key, text=text)]
        settings = {"PXT_DEMO_FILES": files, "PXT_DEMO_KEY": key, "PXT_DEMO_TEXT": text}
    store = str((out / "columns").resolve())
    definitions = demo_definitions(tables, live=live, store=store)
    home = _dagster_home(out)
    console.print(
        f"Materializing {sum(len(table.assets) for table in tables)} assets, {len(partitions)} partitions, "
        f"with {'the OpenAI API' if live else 'the simulator: no key, no cost, invented answers'}.",
        soft_wrap=True,
    )
    started = time.monotonic()
    with dg.DagsterInstance.get() as instance:
        if dynamic is not None:
            _register_partitions(instance, str(dynamic.name), partitions)
        with _progress_display(console, len(partitions)) as observer, progress.observe_progress(observer):
            result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                instance=instance,
                raise_on_error=False,
                run_config=_QUIET_RUN_CONFIG,
                tags={
                    "dagster/asset_partition_range_start": partitions[0],
                    "dagster/asset_partition_range_end": partitions[-1],
                },
            )
        console.print(_summary_table(result, tables))
        failures = [e for e in result.all_events if e.is_step_failure]
    if failures:
        hint = (
            []
            if data is None
            else [f"(--key names the key column, now {key!r}, --text the text column, now {text!r})"]
        )
        raise DemoFailedError("\n       ".join([*dict.fromkeys(_failure_cause(e) for e in failures), *hint]))
    console.print(
        f"Done in {time.monotonic() - started:.1f} s. Parquet files, one a partition, in {store}/",
        soft_wrap=True,
    )
    settings = {"DAGSTER_HOME": home, "PXT_DEMO_STORE": store, **settings}
    if live:
        settings["PXT_LIVE"] = "1"
    env = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
    console.print("To look at it in the browser (needs the extra [bold]dev[/]):", soft_wrap=True)
    console.print(f"  {env} dagster dev -m pxt_assets.demo.definitions", soft_wrap=True, markup=False)


def _dagster_home(out: Path) -> str:
    """The folder of the Dagster instance: DAGSTER_HOME if it is set, one beside the results otherwise."""
    if not os.environ.get("DAGSTER_HOME"):
        home = (out / "dagster").resolve()
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        if not config.exists():
            config.write_text(_INSTANCE_CONFIG)
        os.environ["DAGSTER_HOME"] = str(home)
    return os.environ["DAGSTER_HOME"]


def _register_partitions(instance: dg.DagsterInstance, name: str, partitions: list[str]) -> None:
    """Replaces the instance's partitions by these, in this order."""
    known = list(instance.get_dynamic_partitions(name))
    if known != partitions:
        for partition in known:
            instance.delete_dynamic_partition(name, partition)
        instance.add_dynamic_partitions(name, partitions)


@contextmanager
def _progress_display(console: Console, partitions: int) -> Iterator[Callable[[progress.Progress], None]]:
    """Draws a bar for each asset on a terminal; elsewhere prints a line for each partition, and every 10 s."""
    if not console.is_terminal:
        printed_at = time.monotonic()

        def print_line(p: progress.Progress) -> None:
            nonlocal printed_at
            if p.done == p.total or time.monotonic() - printed_at >= _LINE_SECONDS:
                printed_at = time.monotonic()
                console.print(p.log_line(), soft_wrap=True, markup=False)

        yield print_line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}
        shares: dict[str, dict[str, float]] = {}

        def update_bar(p: progress.Progress) -> None:
            asset = p.label.partition("[")[0]
            if asset not in tasks:
                tasks[asset] = bars.add_task(asset, total=partitions)
            done = shares.setdefault(asset, {})
            done[p.label] = p.done / p.total if p.total else 1.0
            bars.update(tasks[asset], completed=round(sum(done.values()), 2))

        yield update_bar


def _summary_table(result: dg.ExecuteInProcessResult, tables: Sequence[Table]) -> Grid:
    """A table of what each asset took, in the order in which the assets were added."""
    keys = [definition.key for table in tables for definition in table.assets]
    steps = {identifier(key): key.to_user_string() for key in keys}
    totals = {name: _AssetTotals() for name in steps.values()}
    for event in result.get_asset_materialization_events():
        metadata = {k: v.value for k, v in event.materialization.metadata.items()}
        _add_metadata(totals[event.materialization.asset_key.to_user_string()], metadata)
    for event in result.all_events:
        if event.is_step_success and event.step_key in steps:
            totals[steps[event.step_key]].seconds = event.step_success_data.duration_ms / 1_000
    simulated = any(f.simulated for f in totals.values())
    grid = Grid(box=None, pad_edge=False)
    grid.add_column("asset, and its folder", no_wrap=True)
    for name in (
        "rows",
        "failed",
        "requests",
        "tokens",
        "simulated cost" if simulated else "cost",
        "seconds",
    ):
        grid.add_column(name, justify="right", no_wrap=True)
    for table in tables:
        if grid.row_count:
            grid.add_row()
        for asset in (definition.key.to_user_string() for definition in table.assets):
            if totals[asset].stored:
                grid.add_row(asset, *_summary_cells(totals[asset]))
    return grid


def _summary_cells(totals: _AssetTotals) -> list[str]:
    f = totals
    if not f.computed:
        return [str(f.rows)]
    return [*map(str, (f.rows, f.failed, f.requests, f.tokens)), cost_text(f.cost), f"{f.seconds:.2f}"]


def _add_metadata(totals: _AssetTotals, metadata: dict[str, Any]) -> None:
    totals.stored = True
    totals.rows += metadata.get("dagster/partition_row_count", metadata.get("dagster/row_count", 0))
    if "pxt/requests" not in metadata:
        return
    totals.computed = True
    totals.failed += metadata["pxt/rows_failed"]
    totals.requests += metadata["pxt/requests"]
    totals.tokens += metadata["pxt/input_tokens"] + metadata["pxt/output_tokens"]
    totals.simulated = totals.simulated or metadata["pxt/simulated"]
    cost = metadata["pxt/cost_usd"]
    totals.cost = None if totals.cost is None or isinstance(cost, str) else totals.cost + cost


def _failure_cause(event: dg.DagsterEvent) -> str:
    """The message of the error that a step failed with, without the stack."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip().removeprefix(f"pxt_assets.errors.{error.cls_name}: ") if error else "unknown"
