"""What a partition of one row costs beyond Dagster's own: materializing a column of one new row, beside an asset of the
same shape that only hands its input on.

    python tests/benchmarks/one_row.py [--rounds 30]

Both run in one process on one instance, in turns, with one input from the ColumnStore, one output and one check. The
simulator runs without latency in a process of its own.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow as pa
from versus import QUIET, simulator

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.demo.models import CHAT_MODEL
from pxt_assets.functions import chat_completions


def _plain(upstream: dg.AssetKey) -> dg.AssetsDefinition:
    """An asset that returns its input, with a check."""
    key = dg.AssetKey("plain")
    spec = dg.AssetSpec(key, deps=[upstream]).with_io_manager_key("columns")
    check = dg.AssetCheckSpec("fine", asset=key)

    @dg.multi_asset(
        name="plain", specs=[spec], ins={"rows": dg.AssetIn(upstream)}, check_specs=[check], can_subset=True
    )
    def plain(rows: pa.Table) -> Iterator[Any]:
        yield dg.MaterializeResult(asset_key=key, value=rows)
        yield dg.AssetCheckResult(check_name="fine", passed=True)

    return plain


def main() -> None:
    """Prints the medians, in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    asked = iter(range(1_000_000))

    @dg.asset(io_manager_key="columns")
    def tickets() -> pa.Table:
        return pa.table({"id": [1], "body": [f"Ticket {next(asked)}: the zip broke."]})

    tbl = Table(tickets, key="id")
    column = tbl.add_computed_column(
        response=chat_completions([{"role": "user", "content": tbl.body}], model=CHAT_MODEL, max_tokens=16)
    )
    sides = {"column": column, "plain asset": _plain(tickets.key)}
    took: dict[str, list[float]] = {name: [] for name in sides}
    with (
        tempfile.TemporaryDirectory() as folder,
        simulator(0.0) as base_url,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        resources = {
            "openai": OpenAIResource(api_key="sk-benchmark", base_url=base_url),
            "columns": ColumnStore(base_path=folder),
        }

        def run(asset: dg.AssetsDefinition) -> float:
            started = time.perf_counter()
            dg.materialize(
                [asset, tickets],
                selection=[asset],
                resources=resources,
                instance=instance,
                run_config=QUIET,
            )
            return time.perf_counter() - started

        for number in range(options.rounds + 3):
            dg.materialize([tickets], resources=resources, instance=instance, run_config=QUIET)
            for name, asset in sides.items():
                seconds = run(asset)
                if number >= 3:  # imports and caches are warm
                    took[name].append(seconds)
    for name, seconds in took.items():
        print(
            f"{name:12} {1_000 * statistics.median(seconds):6.1f} ms (from {1_000 * min(seconds):.1f} to {1_000 * max(seconds):.1f})"
        )
    column_s, plain_s = (statistics.median(seconds) for seconds in took.values())
    print(f"beyond       {1_000 * (column_s - plain_s):6.1f} ms")


if __name__ == "__main__":
    main()
