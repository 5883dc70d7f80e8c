"""The command `pxt-assets`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

_PAGES = Path(__file__).parents[1] / "docs" / "README.md"


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"\b\nThe pages that tell how the package is used:\n{_PAGES}",
)
@click.version_option(package_name="pxt_assets")
def main() -> None:
    """OpenAI functions over tables as Dagster assets."""


@main.command()
@click.option(
    "--data",
    metavar="FILE|DIR",
    type=click.Path(path_type=Path),
    help="Run on a file of your own, or on the files of a folder, a partition a file.",
)
@click.option("--key", default="id", show_default=True, help="Column that identifies a row, with --data.")
@click.option("--text", default="body", show_default=True, help="Column that holds the text, with --data.")
@click.option(
    "--separator",
    help="Character between the columns of CSV files, with --data; found out where it is a comma, ;, | or a tab.",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the text, with --data.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(".pxt-demo"),
    show_default=True,
    help="Folder for all results.",
)
@click.option("--live", is_flag=True, help="Use the real API (needs OPENAI_API_KEY, and costs money).")
def demo(data: Path | None, out: Path, live: bool, **options: Any) -> None:
    """Materialize the demo's asset graph for all its partitions."""
    from pxt_assets.cli.dagster_home import check_dagster_home
    from pxt_assets.demo.terminal import demo_console, printable, starting

    if live and not os.environ.get("OPENAI_API_KEY"):
        msg = "--live needs the environment variable OPENAI_API_KEY; without --live the simulator answers"
        raise click.UsageError(msg)
    try:
        check_dagster_home()
    except ValueError as e:
        click.echo(printable(f"Error: {e}"), err=True)
        sys.exit(1)
    with demo_console() as console:
        with starting(console, "Starting Dagster ..."):
            from pxt_assets.demo.run import demo_graph, run_demo
            from pxt_assets.demo.user_files import find_user_files, in_options
            from pxt_assets.errors import PxtError

            mistake, found = "", ""
            try:
                files, found = (None, "") if data is None else find_user_files(data, **options)
                graph = demo_graph(files)
            except PxtError as e:
                mistake = in_options(str(e))
        if mistake:
            click.echo(printable(f"Error: {mistake}"), err=True)
            sys.exit(1)
        if found:
            console.print(printable(found), soft_wrap=True, markup=False)
        if not run_demo(console, graph, out=out, live=live):
            sys.exit(1)


@main.command()
@click.option("--ledger", help="Its database URL; by default that of the Dagster instance's processes.")
@click.option("--once", is_flag=True, help="Print the limits once, in place of following them.")
@click.option(
    "--all", "everything", is_flag=True, help="Show keys too that have not been used for more than a day."
)
@click.option(
    "--clear",
    metavar="[MODELS]",
    is_flag=False,
    flag_value="all",
    help="End the hold of these models, and forget their remembered limits; without a name, of all.",
)
def limits(ledger: str | None, once: bool, everything: bool, clear: str | None) -> None:
    """Show every rate limit in the ledger: what is left, the rate in use, who draws on it, and what is held."""
    from pxt_assets.cli.limits_view import (
        NO_INSTANCE,
        LedgerUnavailable,
        clear_limits,
        follow_limits,
        instance_ledger,
        print_limits,
    )

    try:
        url = ledger or instance_ledger()
        note = "" if ledger or os.environ.get("DAGSTER_HOME") else NO_INSTANCE
        if clear is not None:
            click.echo(clear_limits(url, clear))
        elif once or not sys.stdout.isatty():
            print_limits(url, everything=everything, note=note)
        else:
            follow_limits(url, everything=everything, note=note)
    except (ValueError, OSError, LedgerUnavailable) as e:
        click.echo(f"Error: {e}", err=True)
        sys.exit(1)


@main.command()
@click.option("-m", "--module", help="Module with the definitions.")
@click.option(
    "-f",
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the definitions.",
)
@click.option(
    "-w",
    "--workspace",
    type=click.Path(path_type=Path),
    help="Workspace file, all of whose code locations count. Without -m, -f and -w: what `dagster` finds in this folder, "
    "a pyproject.toml with a block of Dagster's or a workspace.yaml.",
)
@click.option("--delete", is_flag=True, help="Remove it; without this, only say what could be removed.")
def gc(module: str | None, file: Path | None, workspace: Path | None, delete: bool) -> None:
    """Clean the stores of some code locations: what crashes left, and files of columns that are no longer defined.

    Name all code locations that use a store: a column which none of them defines counts as gone, if they make its table.
    Finished cells that wait for the next run are always kept.
    """
    from pxt_assets.cli.cleaning_view import clean
    from pxt_assets.errors import PxtError

    if sum(one is not None for one in (module, file, workspace)) > 1:
        msg = "got more than one of -m, -f and -w; give one of them, a workspace file for several code locations"
        raise click.UsageError(msg)
    try:
        clean(module=module, file=file, workspace=workspace, delete=delete)
    except (PxtError, OSError) as e:
        click.echo(f"Error: {e}", err=True)
        sys.exit(1)


@main.command()
@click.option("-m", "--module", help="Module with the definitions.")
@click.option(
    "-f",
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the definitions.",
)
@click.option(
    "-w",
    "--workspace",
    type=click.Path(path_type=Path),
    help="Workspace file, all of whose code locations are looked at. Without -m, -f and -w: what `dagster` finds in this "
    "folder, a pyproject.toml with a block of Dagster's or a workspace.yaml.",
)
@click.option(
    "--cancel",
    metavar="NAME|all",
    help="Cancel the batch of this name, or all. What it had finished is kept, and collected by the column's next run.",
)
def batches(module: str | None, file: Path | None, workspace: Path | None, cancel: str | None) -> None:
    """List the answers of all columns that come later: their batches, with state, age, counts and expected cost."""
    from pxt_assets.cli.batches_view import show_batches
    from pxt_assets.errors import PxtError

    if sum(one is not None for one in (module, file, workspace)) > 1:
        msg = "got more than one of -m, -f and -w; give one of them, a workspace file for several code locations"
        raise click.UsageError(msg)
    try:
        is_whole = show_batches(module=module, file=file, workspace=workspace, cancel=cancel)
    except (PxtError, OSError) as e:
        click.echo(f"Error: {e}", err=True)
        sys.exit(1)
    if not is_whole:
        sys.exit(1)


@main.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8_080, show_default=True, help="0 picks a free one."
)
@click.option("--rpm", type=float, help="Requests/minute of each model family.")
@click.option("--tpm", type=float, help="Tokens/minute of each model family.")
@click.option("--latency", type=float, default=0.0, show_default=True, help="Median seconds to an answer.")
@click.option("--latency-sigma", type=float, default=0.0, show_default=True, help="Its log-normal spread.")
@click.option(
    "--fault-rate", type=float, default=0.0, show_default=True, help="Share of requests that meet a fault."
)
@click.option(
    "--initial-level",
    type=float,
    default=1.0,
    show_default=True,
    help="Share of each limit that is there at first.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of latencies and faults.")
@click.option(
    "--batch-seconds", type=float, default=1.0, show_default=True, help="Seconds that a batch takes."
)
@click.option("--batch-queue-limit", type=float, help="Tokens of each model family that may wait in batches.")
@click.option(
    "--batch-expiry-rate", type=float, default=0.0, show_default=True, help="Share of batches that expire."
)
@click.option(
    "--batch-failure-rate", type=float, default=0.0, show_default=True, help="Share of batches that fail."
)
@click.option(
    "--background-seconds",
    type=float,
    default=1.0,
    show_default=True,
    help="Seconds that a response in the background takes.",
)
@click.option(
    "--background-failure-rate", type=float, default=0.0, show_default=True, help="Share of these that fail."
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="A model that is served beside those of the API, as of another server; may be repeated.",
)
def simulate(port: int, **options: Any) -> None:
    """Serve a simulated API on loopback: real limits and faults, no key of worth, no cost."""
    from pxt_assets.simulator import SimulatorOptions, serve

    try:
        simulator_options = SimulatorOptions(**options)
    except ValueError as e:
        raise click.UsageError(str(e)) from e
    serve(simulator_options, port, announce=click.echo)
