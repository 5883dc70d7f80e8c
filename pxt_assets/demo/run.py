"""Runs the demo: every asset, every partition, with progress on the terminal and a table at the end."""

from __future__ import annotations

import os
import shlex
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import dagster as dg

from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.table import Table
from pxt_assets.demo.graph import DEMO_DAYS, demo_definitions, demo_tables
from pxt_assets.demo.progress_display import show_progress
from pxt_assets.demo.results import print_failed_rows, print_results
from pxt_assets.demo.terminal import DemoConsole, printable
from pxt_assets.demo.user_files import UserFiles, in_options
from pxt_assets.demo.user_table import user_partitions, user_table
from pxt_assets.values.wording import counted

_INSTANCE_CONFIG = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
_QUIET_RUN_CONFIG = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_MEANT_TO_FAIL = (
    "They are meant to: one of the demo's tickets is longer than the model takes, and another has no text. Their errors are "
    "stored beside the other rows' results."
)
_INTERRUPTED = "Interrupted. Finished answers are kept: the same command goes on from here."
_FAILED = "Their errors are stored beside the other rows' results; the next run asks for them again."


@dataclass(frozen=True)
class DemoGraph:
    """What a run of the demo is about."""

    tables: Sequence[Table]
    partitions: Sequence[str]
    """Those that are materialized, none for files without partitions."""
    files: UserFiles | None = None
    """The user's own files, in place of the demo's."""


def demo_graph(files: UserFiles | None) -> DemoGraph:
    """The demo's tables, or that of the user's own files. Raises DefinitionError."""
    if files is None:
        return DemoGraph(demo_tables(), DEMO_DAYS.get_partition_keys())
    return DemoGraph([user_table(files)], files.partitions, files)


def run_demo(console: DemoConsole, graph: DemoGraph, *, out: Path, live: bool) -> bool:
    """Materializes the whole graph and prints what it took; returns whether it succeeded. Raises DefinitionError."""
    store = str((out / "columns").resolve())
    home = _dagster_home(out)
    settings = {"DAGSTER_HOME": home, "PXT_DEMO_STORE": store, **({"PXT_LIVE": "1"} if live else {})}
    if graph.files is not None:
        settings |= graph.files.environment()
    pointers = _Pointers(console, store, settings)
    started = time.monotonic()
    try:
        result = _materialize(console, graph, store, live=live)
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        click.echo(_INTERRUPTED, err=True)
        pointers.print()
        return False
    print_results(console, result, graph.tables)
    print_failed_rows(console, result, _MEANT_TO_FAIL if graph.files is None else _FAILED)
    if result.success:
        console.print(f"Done in {time.monotonic() - started:.1f} s.")
    else:
        _print_failure(result, graph.files)
    pointers.print()
    return result.success


def _materialize(
    console: DemoConsole, graph: DemoGraph, store: str, *, live: bool
) -> dg.ExecuteInProcessResult:
    definitions = demo_definitions(graph.tables, live=live, store=store)
    assets = [definition for table in graph.tables for definition in table.assets]
    of_partitions = f", {counted(len(graph.partitions), 'partition')}" if graph.partitions else ""
    console.print(
        f"Materializing {counted(len(assets), 'asset')}{of_partitions}, with "
        f"{'the OpenAI API' if live else 'the simulator: no key, no cost, invented answers'}.",
        soft_wrap=True,
    )
    columns = {
        asset.key.to_user_string(): None if asset.partitions_def is None else len(graph.partitions)
        for asset in assets
    }
    tags = {}
    if graph.partitions:
        tags["dagster/asset_partition_range_start"] = graph.partitions[0]
        tags["dagster/asset_partition_range_end"] = graph.partitions[-1]
    steps = {identifier(asset.key): asset.key.to_user_string() for asset in assets}
    run_id = str(uuid.uuid4())
    with show_progress(console, columns) as note_step, dg.DagsterInstance.get() as instance:

        def note_start(entry: dg.EventLogEntry) -> None:
            event = entry.dagster_event
            if event is not None and event.is_step_start and event.step_key in steps:
                note_step(steps[event.step_key])

        instance.add_event_listener(run_id, note_start)
        if graph.files is not None and graph.partitions:
            name = str(user_partitions(graph.files.pattern).name)
            _register_partitions(instance, name, list(graph.partitions))
        return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, raise_on_error=False, run_config=_QUIET_RUN_CONFIG, run_id=run_id, tags=tags
        )


@dataclass(frozen=True)
class _Pointers:
    """Where the results are, and the command that shows them in the browser."""

    console: DemoConsole
    store: str
    settings: dict[str, str]

    def print(self) -> None:
        """Prints them."""
        env = " ".join(f"{name}={shlex.quote(value)}" for name, value in self.settings.items())
        self.console.print(f"Parquet files, one a partition, in {self.store}/", soft_wrap=True, markup=False)
        self.console.print("To look at it in the browser (needs the extra [bold]dev[/]):", soft_wrap=True)
        self.console.print(f"  {env} dg dev -m pxt_assets.demo.definitions", soft_wrap=True, markup=False)
        self.console.print(
            'Then open http://127.0.0.1:3000 and choose "Lineage".', soft_wrap=True, markup=False
        )


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


def _print_failure(result: dg.ExecuteInProcessResult, files: UserFiles | None) -> None:
    """Prints why steps failed, each cause once."""
    causes = dict.fromkeys(_failure_cause(e) for e in result.all_events if e.is_step_failure)
    if _INTERRUPTED in causes:
        click.echo(_INTERRUPTED, err=True)
        return
    lines = [in_options(cause) for cause in causes] or ["the run failed; its page in the browser says why"]
    if files is not None:
        lines.append(
            f"(--key names the key column, now {files.key!r}, --text the text column, now {files.text!r})"
        )
    click.echo(printable("Error: " + "\n       ".join(lines)), err=True)


def _failure_cause(event: dg.DagsterEvent) -> str:
    """The message of the error that a step failed with, without the stack."""
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    if error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return _INTERRUPTED
    return error.message.strip().removeprefix(f"pxt_assets.errors.{error.cls_name}: ") if error else "unknown"
