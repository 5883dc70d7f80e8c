"""Partitions: definitions, mappings between them, ranges, backfills."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from tests.conformance.idioms.idiom import idiom
from tests.conformance.idioms.projects import COLUMN, UPSTREAM, NewProject, materialized, said

PAGE = "guides/build/partitions-and-backfills/partitioning-assets"
MAPPINGS = "guides/build/partitions-and-backfills/defining-dependencies-between-partitioned-assets"
BACKFILLS = "guides/build/partitions-and-backfills/backfilling-data"

DAYS = dg.DailyPartitionsDefinition("2026-03-01", end_date="2026-03-05")
LETTERS = dg.StaticPartitionsDefinition(["a", "b", "c"])
DEFINITIONS: dict[str, tuple[dg.PartitionsDefinition[Any], str]] = {
    "daily": (DAYS, "2026-03-02"),
    "hourly": (dg.HourlyPartitionsDefinition("2026-03-01-00:00", end_date="2026-03-02-00:00"), "2026-03-01-05:00"),
    "weekly": (dg.WeeklyPartitionsDefinition("2026-03-01", end_date="2026-04-01"), "2026-03-08"),
    "monthly": (dg.MonthlyPartitionsDefinition("2026-01-01", end_date="2026-06-01"), "2026-02-01"),
    "by time windows": (
        dg.TimeWindowPartitionsDefinition(
            start=datetime(2026, 3, 1, tzinfo=UTC), end=datetime(2026, 3, 8, tzinfo=UTC), cron_schedule="0 0 * * 1-5", fmt="%Y-%m-%d"
        ),
        "2026-03-03",
    ),
    "static": (LETTERS, "b"),
    "static with odd names": (dg.StaticPartitionsDefinition(["a b", "ü/..", "100%"]), "ü/.."),
    "of two dimensions": (dg.MultiPartitionsDefinition({"day": DAYS, "letter": LETTERS}), "2026-03-02|c"),
}  # fmt: skip


def _materializes(partitions_def: dg.PartitionsDefinition[Any], key: str) -> Callable[[NewProject], object]:
    def row(new: NewProject) -> object:
        project = new(partitions_def)
        result = project.materialize(partition_key=key)
        loaded = project.definitions().load_asset_value(COLUMN, partition_key=key)
        recorded = project.instance.get_materialized_partitions(COLUMN)
        return materialized(result), said(loaded), sorted(recorded)

    return row


for _name, (_definition, _key) in DEFINITIONS.items():
    idiom(PAGE, f"partitions: {_name}")(_materializes(_definition, _key))


@idiom("guides/build/partitions-and-backfills/partitioning-assets#dynamic-partitions", "partitions: dynamic")
def dynamic(new: NewProject) -> object:
    project = new(dg.DynamicPartitionsDefinition(name="customers"))
    project.instance.add_dynamic_partitions("customers", ["acme", "zenith"])
    result = project.materialize(partition_key="zenith")
    return materialized(result), said(result.asset_value(COLUMN))


@idiom(BACKFILLS, "a backfill of a range in one run")
def single_run(new: NewProject) -> object:
    project = new(DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    tags = {
        "dagster/asset_partition_range_start": "2026-03-02",
        "dagster/asset_partition_range_end": "2026-03-04",
    }
    result = project.materialize(tags=tags)
    return materialized(result), said(result.asset_value(COLUMN)), sorted(project.shouted)


@idiom(BACKFILLS, "a job with a partition")
def job_of_a_partition(new: NewProject) -> object:
    project = new(DAYS)
    job = dg.define_asset_job("daily", selection=dg.AssetSelection.all(), partitions_def=DAYS)
    resolved = project.definitions(jobs=[job]).resolve_job_def("daily")
    result = resolved.execute_in_process(partition_key="2026-03-03", instance=project.instance)
    return materialized(result)


MAPPED: dict[str, tuple[Any, Any, dg.PartitionMapping | None, str, list[str]]] = {
    "all partitions, by default": (DAYS, None, None, "", ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]),
    "AllPartitionMapping": (LETTERS, DAYS, dg.AllPartitionMapping(), "2026-03-02", ["a", "b", "c"]),
    "LastPartitionMapping": (DAYS, None, dg.LastPartitionMapping(), "", ["2026-03-04"]),
    "SpecificPartitionsPartitionMapping": (LETTERS, None, dg.SpecificPartitionsPartitionMapping(["c", "a"]), "", ["a", "c"]),
    "StaticPartitionMapping": (
        LETTERS, dg.StaticPartitionsDefinition(["1", "2"]),
        dg.StaticPartitionMapping({"a": "1", "b": "2", "c": "2"}), "2", ["b", "c"],
    ),
    "TimeWindowPartitionMapping with an offset": (
        DAYS, DAYS, dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1), "2026-03-02", ["2026-03-01"],
    ),
    "days of a week": (
        dg.DailyPartitionsDefinition("2026-03-01", end_date="2026-03-08"),
        dg.WeeklyPartitionsDefinition("2026-03-01", end_date="2026-03-08"), None, "2026-03-01",
        [f"2026-03-0{day}" for day in range(1, 8)],
    ),
    "a dimension of two": (
        DAYS, dg.MultiPartitionsDefinition({"day": DAYS, "letter": LETTERS}),
        dg.MultiToSingleDimensionPartitionMapping("day"), "2026-03-02|c", ["2026-03-02"],
    ),
    "one of a dimension of two upstream": (
        dg.MultiPartitionsDefinition({"day": DAYS, "letter": LETTERS}), DAYS, None, "2026-03-02",
        ["2026-03-02|a", "2026-03-02|b", "2026-03-02|c"],
    ),
}  # fmt: skip


def _maps(
    upstream: Any, own: Any, mapping: dg.PartitionMapping | None, key: str, needed: list[str]
) -> Callable[[NewProject], object]:
    def row(new: NewProject) -> object:
        options = {} if mapping is None else {"partition_mapping": mapping}
        project = new(own, upstream_partitions_def=upstream, **options)
        for one in needed:
            project.materialize(selection=[UPSTREAM], partition_key=one)
        result = project.materialize(selection=[COLUMN], partition_key=key or None)
        return materialized(result), sorted(said(result.asset_value(COLUMN))), sorted(project.shouted)

    return row


for _name, _mapped in MAPPED.items():
    idiom(MAPPINGS, f"mapped: {_name}")(_maps(*_mapped))
