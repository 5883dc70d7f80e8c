"""Single-run backfills: what each partition costs beyond Dagster's own events, and how much of the limit is used.

    python tests/benchmarks/backfill.py small [--partitions 1000]
    python tests/benchmarks/backfill.py used [--partitions 20] [--rows 200] [--rpm 1200]

`small`: partitions of one row each, beside an asset that logs as many materializations with the same metadata; both on
an instance on disk. `used`: partitions under a limit, then all their rows as one partition under the same; real time,
Dagster's own start and end included, against what the limit allows. The simulator is a process of its own.
"""

import argparse
import datetime
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pyarrow as pa
from versus import QUIET, simulator

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.demo.models import CHAT_MODEL
from pxt_assets.functions import chat_completions

FIRST = datetime.date(2020, 1, 1)
KEY = dg.AssetKey(["tickets", "response"])


class Backfill:
    """A table of daily partitions with `rows` rows each, and a chat column."""

    def __init__(self, partitions: int, rows: int) -> None:
        end = FIRST + datetime.timedelta(days=partitions)
        days = dg.DailyPartitionsDefinition(FIRST.isoformat(), end_date=end.isoformat())
        self.keys = days.get_partition_keys()
        self.days = days

        @dg.multi_asset(
            name="tickets",
            specs=[dg.AssetSpec("tickets", partitions_def=days).with_io_manager_key("columns")],
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
        def tickets(context: dg.AssetExecutionContext) -> Any:
            def table(day: str) -> pa.Table:
                texts = [f"Ticket {i} of {day}: the zip broke." for i in range(rows)]
                return pa.table({"id": range(rows), "body": texts})

            return dg.MaterializeResult(value={day: table(day) for day in context.partition_keys})

        self.tickets = tickets
        tbl = Table(tickets, key="id")
        self.column = tbl.add_computed_column(
            response=chat_completions(
                [{"role": "user", "content": tbl.body}], model=CHAT_MODEL, max_tokens=16
            )
        )

    def run(
        self, assets: list[Any], resources: Mapping[str, Any], instance: dg.DagsterInstance
    ) -> tuple[float, dg.ExecuteInProcessResult]:
        """Seconds, and what came of it."""
        started = time.perf_counter()
        result = dg.materialize(
            [*assets, *([] if self.tickets in assets else [self.tickets])],
            selection=assets,
            resources=resources,
            instance=instance,
            run_config=QUIET,
            tags={
                "dagster/asset_partition_range_start": self.keys[0],
                "dagster/asset_partition_range_end": self.keys[-1],
            },
        )
        return time.perf_counter() - started, result


def small(partitions: int) -> None:
    backfill = Backfill(partitions, 1)
    with (
        tempfile.TemporaryDirectory() as folder,
        simulator(0.0) as base_url,
        dg.DagsterInstance.local_temp(folder) as instance,
    ):
        resources = {
            "openai": OpenAIResource(api_key="sk-benchmark", base_url=base_url),
            "columns": ColumnStore(base_path=f"{folder}/columns"),
        }
        backfill.run([backfill.tickets], resources, instance)
        ours, result = backfill.run([backfill.column], resources, instance)
        events = [e.materialization for e in result.get_asset_materialization_events()]
        assert len(events) == partitions

        @dg.multi_asset(
            name="plain",
            specs=[dg.AssetSpec("plain", deps=["tickets"], partitions_def=backfill.days)],
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
        def plain(context: dg.AssetExecutionContext) -> None:
            for event in events:
                context.log.info("tickets/response: 1 rows, 1 computed, 0 reused, 0 failed")
                context.log_event(
                    dg.AssetMaterialization(
                        "plain", partition=event.partition, metadata=event.metadata, tags=event.tags
                    )
                )

        dagsters, _ = backfill.run([plain], resources, instance)
    print(f"{partitions} partitions of one row: {ours:.1f} s, {1e3 * ours / partitions:.0f} ms each")
    print(f"Dagster's own events: {dagsters:.1f} s, {1e3 * dagsters / partitions:.0f} ms each")
    print(f"beyond these: {1e3 * (ours - dagsters) / partitions:.1f} ms each")


def used(partitions: int, rows: int, rpm: int) -> None:
    for shape in ((partitions, rows), (1, partitions * rows)):
        backfill = Backfill(*shape)
        with (
            tempfile.TemporaryDirectory() as folder,
            simulator(0.3, "--rpm", str(rpm)) as base_url,
            dg.DagsterInstance.local_temp(folder) as instance,
        ):
            resources = {
                "openai": OpenAIResource(api_key="sk-benchmark", base_url=base_url),
                "columns": ColumnStore(base_path=f"{folder}/columns"),
            }
            backfill.run([backfill.tickets], resources, instance)
            seconds, result = backfill.run([backfill.column], resources, instance)
        said = [e.materialization.metadata for e in result.get_asset_materialization_events()]
        limited = sum(int(one["pxt/rate_limited"].value) for one in said)
        least = max(0, shape[0] * shape[1] - rpm) / (rpm / 60)  # a full bucket is there at once
        print(
            f"{shape[0]} partitions of {shape[1]} rows at {rpm} RPM: {seconds:.1f} s, {least:.1f} s at least by the limit: "
            f"{least / seconds:.1%} (with Dagster's own start and end); {limited} 429s, "
            f"{said[-1]['pxt/limit_utilization'].value:.1%} used by our own count"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["small", "used"])
    parser.add_argument("--partitions", type=int)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rpm", type=int, default=1_200)
    given = parser.parse_args()
    if given.what == "small":
        small(given.partitions or 1_000)
    else:
        used(given.partitions or 20, given.rows, given.rpm)


if __name__ == "__main__":
    main()
