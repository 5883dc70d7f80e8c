"""Backfills of a deployment's columns, asked for as the page of an asset does, and what came of them."""

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.tags import BACKFILL_ID_TAG

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.simulator import SimulatorOptions, SimulatorServer
from tests.distributed.processes import wait_until

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def definitions() -> dg.Definitions:
    """The deployment's as they were first deployed; loaded once its world's environment is this process's."""
    from tests.distributed.location import defs

    return defs


def store_table(instance: dg.DagsterInstance) -> None:
    """Materializes all days of the table, in one run in this process."""
    from tests.distributed.location import tickets

    days = all_days()
    span = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
    resources = definitions().resources
    dg.materialize([tickets], instance=instance, resources=resources, tags=span, run_config=QUIET)


def all_days() -> list[str]:
    """The table's partitions, oldest first."""
    from tests.distributed.location import DAYS

    return list(DAYS.get_partition_keys())


@dataclass(frozen=True)
class Backfill:
    """Some partitions of a column, which were asked for."""

    instance: dg.DagsterInstance
    id: str
    key: dg.AssetKey
    days: Sequence[str]

    def runs(self) -> list[dg.DagsterRun]:
        """Its runs by now, oldest first, those that retry others included."""
        found = self.instance.get_run_records(dg.RunsFilter(tags={BACKFILL_ID_TAG: self.id}), ascending=True)
        return [record.dagster_run for record in found]

    def materialized(self) -> set[str]:
        """The partitions that the instance knows as materialized."""
        return self.instance.get_materialized_partitions(self.key)

    def until_done(self) -> None:
        """Waits until all partitions are materialized and no run is under way."""
        wait_until(
            self._how_far,
            lambda: self.materialized() >= set(self.days),
            every=0.5,
        )
        wait_until(
            self._how_far, lambda: all(run.status in FINISHED_STATUSES for run in self.runs()), every=0.5
        )

    def _how_far(self) -> str:
        backfill = self.instance.get_backfill(self.id)
        runs = [f"{run.status.value} {self.errors(run)}" for run in self.runs()]
        return (
            f"{self.key.to_user_string()}: {len(self.materialized())} of {len(self.days)} days; backfill "
            f"{backfill.status.value if backfill else None} {backfill.error if backfill else None}; runs: {runs}"
        )

    def errors(self, run: dg.DagsterRun) -> list[str]:
        """What that run and its steps failed with."""
        failed = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.STEP_FAILURE}
        entries = self.instance.all_logs(run.run_id, of_type=failed)
        return [str(entry.dagster_event.message if entry.dagster_event else entry) for entry in entries]

    def metadata(self, day: str) -> dict[str, Any]:
        """Of that partition's latest materialization."""
        event = self._materialization(day)
        return {name: value.value for name, value in event.metadata.items()}

    def code_version(self, day: str) -> str | None:
        """Of the code that materialized that partition last."""
        return (self._materialization(day).tags or {}).get("dagster/code_version")

    def _materialization(self, day: str) -> dg.AssetMaterialization:
        of_day = dg.AssetRecordsFilter(asset_key=self.key, asset_partitions=[day])
        (record,) = self.instance.fetch_materializations(of_day, limit=1).records
        assert record.asset_materialization is not None
        return record.asset_materialization


def ask_for(instance: dg.DagsterInstance, column: str, days: Sequence[str]) -> Backfill:
    """Asks for these partitions of a column; Dagster's daemon does the rest."""
    key = dg.AssetKey(["tickets", column])
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=uuid.uuid4().hex[:8],
        asset_graph=definitions().get_repository_def().asset_graph,
        partition_names=list(days),
        asset_selection=[key],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=QUIET,
    )
    instance.add_backfill(backfill)
    return Backfill(instance, backfill.backfill_id, key, days)


def stored(column: str, days: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a column in the bucket, day after day: id, digest of the request, text of the answer."""
    store = definitions().resources["columns"].process_config_and_initialize()
    files = [store.file(dg.AssetKey(["tickets", column]), day).path for day in days]
    return [row for file in files for row in _rows(pq.read_table(file.path, filesystem=file.fs), column)]


def undisturbed(column: str, days: Sequence[str], prompt: str, folder: Path) -> list[dict[str, Any]]:
    """The same rows as one run in this process computes them, of one partition and under no limit."""
    from tests.distributed.location import columns, rows_of

    @dg.asset(name="tickets", io_manager_key="columns")
    def rows() -> pa.Table:
        return pa.concat_tables(rows_of(day) for day in days)

    key = dg.AssetKey(["tickets", column])
    store = ColumnStore(base_path=str(folder))
    with SimulatorServer(SimulatorOptions()) as server:
        openai = OpenAIResource(base_url=server.base_url, api_key="sk-of-the-deployment", ledger="memory")
        dg.materialize(
            [rows, *columns(rows, prompt).assets],
            selection=[rows, key],
            resources={"columns": store, "openai": openai},
            run_config=QUIET,
        )
    return _rows(pq.read_table(store.file(key, None).path.path), column)


def _rows(table: pa.Table, column: str) -> list[dict[str, Any]]:
    answers = [json.loads(answer) for answer in table[column].to_pylist()]
    texts = [answer["choices"][0]["message"]["content"] for answer in answers]
    return [
        {"id": row, "digest": digest, "text": text}
        for row, digest, text in zip(
            table["id"].to_pylist(), table["_digest"].to_pylist(), texts, strict=True
        )
    ]
