"""Schedules of tables: which partitions a tick asks for."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, Table
from pxt_assets.errors import DefinitionError


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def table_of(partitions_def: dg.PartitionsDefinition[Any] | None) -> Table:
    table = Table.from_files(
        "tickets",
        "{partition_key}.csv" if partitions_def else "tickets.csv",
        key="id",
        partitions_def=partitions_def,
    )
    table.add_computed_column(c=table.body)
    return table


def requests(
    table: Table,
    instance: dg.DagsterInstance,
    at: datetime = datetime(2026, 3, 5, 6, tzinfo=UTC),
    others: Sequence[dg.AssetsDefinition] = (),
    **options: Any,
) -> Sequence[Any]:
    """The partition, or first and last of several, of each run that a tick of the table's schedule asks for."""
    schedule = table.schedule("0 6 * * *", **options)
    definitions = dg.Definitions(
        [*table.assets, *others], schedules=[schedule], resources={"columns": ColumnStore(base_path="x")}
    )
    repository = definitions.get_repository_def()
    context = dg.build_schedule_context(instance, at, repository_def=repository)
    with context:
        tick = schedule.evaluate_tick(context)
    return [
        run.partition_key
        or (
            run.tags.get("dagster/asset_partition_range_start"),
            run.tags.get("dagster/asset_partition_range_end"),
        )
        for run in tick.run_requests or ()
    ]


@pytest.mark.parametrize("prefixes", [["team"], ["team", "other"], []], ids=["one", "two", "none"])
def test_a_schedule_runs_the_assets_under_the_keys_that_they_were_loaded_with(prefixes: list[str]) -> None:
    """Its table's module may be loaded with a key prefix, or with several."""
    table, module = table_of(None), ModuleType("tickets_module")
    module.__dict__["tbl"] = table
    loaded = [a for prefix in prefixes for a in dg.load_assets_from_modules([module], key_prefix=prefix)]
    definitions = dg.Definitions(
        loaded or table.assets,
        schedules=[table.schedule("0 6 * * *")],
        resources={"columns": ColumnStore(base_path="x")},
    )
    job = definitions.resolve_job_def("tickets_schedule_job")
    keys = {"/".join(key.path) for key in job.asset_layer.executable_asset_keys}
    starts = [f"{prefix}/" for prefix in prefixes] or [""]
    assert keys == {start + key for start in starts for key in ("tickets", "tickets/c")}


def test_a_schedule_of_assets_that_are_not_there_is_refused() -> None:
    """By Dagster, which names them."""
    definitions = dg.Definitions(schedules=[table_of(None).schedule("0 6 * * *")])
    with pytest.raises(dg.DagsterInvalidDefinitionError) as raised:
        definitions.resolve_job_def("tickets_schedule_job")
    assert "tickets/c" in str(raised.value.__cause__)


def test_a_tick_honours_the_backfill_policies_of_columns(instance: dg.DagsterInstance) -> None:
    """Where one column wants a run for each partition, a tick does not make one run of them."""
    for policy, runs in ((None, [("a", "b")]), (dg.BackfillPolicy.multi_run(1), ["a", "b"])):
        table = table_of(dg.StaticPartitionsDefinition(["a", "b"]))
        table.add_computed_column(d=table.body, backfill_policy=policy)
        assert requests(table, instance) == runs


def test_a_schedule_of_a_table_without_partitions(instance: dg.DagsterInstance) -> None:
    """One run of everything."""
    assert requests(table_of(None), instance) == [(None, None)]


def test_a_schedule_by_time_takes_the_latest_complete_partition(instance: dg.DagsterInstance) -> None:
    """At six o'clock on the fifth that is the fourth."""
    assert requests(table_of(dg.DailyPartitionsDefinition("2026-03-01")), instance) == ["2026-03-04"]


def test_a_schedule_before_the_first_partition_skips(instance: dg.DagsterInstance) -> None:
    """There is nothing to materialize."""
    assert requests(table_of(dg.DailyPartitionsDefinition("2027-01-01")), instance) == []


def test_all_partitions_can_be_asked_for(instance: dg.DagsterInstance) -> None:
    """In one run, as backfills of the table are."""
    daily = dg.DailyPartitionsDefinition("2026-03-01")
    assert requests(table_of(daily), instance, partitions="all") == [("2026-03-01", "2026-03-04")]


def test_static_partitions_are_taken_together(instance: dg.DagsterInstance) -> None:
    """In one run, as the table's backfills are by default."""
    static = dg.StaticPartitionsDefinition(["a", "b", "c"])
    assert requests(table_of(static), instance) == [("a", "c")]


def test_partitions_are_taken_one_by_one_where_the_backfill_policy_says_so(
    instance: dg.DagsterInstance,
) -> None:
    """The upstream's policy is the table's."""

    @dg.asset(
        partitions_def=dg.StaticPartitionsDefinition(["a", "b", "c"]),
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        io_manager_key="columns",
    )
    def tickets() -> None:
        """Never materialized here."""

    table = Table(tickets, key="id")
    table.add_computed_column(c=table.body)
    assert requests(table, instance, others=[tickets]) == ["a", "b", "c"]


def test_dynamic_partitions_are_those_there_are_at_the_tick(instance: dg.DagsterInstance) -> None:
    """Those added since the definitions were loaded included."""
    table = table_of(dg.DynamicPartitionsDefinition(name="customers"))
    assert requests(table, instance) == []
    instance.add_dynamic_partitions("customers", ["x"])
    assert requests(table, instance) == ["x"]
    instance.add_dynamic_partitions("customers", ["y"])
    assert requests(table, instance) == [("x", "y")]


def test_of_several_dimensions_the_latest_time_is_taken(instance: dg.DagsterInstance) -> None:
    """With every key of the others."""
    multi = dg.MultiPartitionsDefinition(
        {"day": dg.DailyPartitionsDefinition("2026-03-01"), "shop": dg.StaticPartitionsDefinition(["a", "b"])}
    )
    assert requests(table_of(multi), instance) == ["2026-03-04|a", "2026-03-04|b"]


@pytest.mark.parametrize(
    ("partitions_def", "partitions", "said"),
    [
        (None, "all", "without partitions"),
        (dg.StaticPartitionsDefinition(["a"]), "latest", "partitioning by time"),
        (dg.DailyPartitionsDefinition("2026-03-01"), "newest", "allowed: 'latest' or 'all'"),
    ],
)
def test_partitions_that_a_table_does_not_have_are_refused(
    partitions_def: Any, partitions: Any, said: str
) -> None:
    """While definitions load."""
    with pytest.raises(DefinitionError, match=said):
        table_of(partitions_def).schedule("0 6 * * *", partitions=partitions)


def test_a_schedule_is_off_until_somebody_switches_it_on() -> None:
    """Nothing spends money by default."""
    assert table_of(None).schedule("0 6 * * *").default_status is dg.DefaultScheduleStatus.STOPPED


def test_a_table_without_columns_has_no_schedule() -> None:
    """There would be nothing to pay for."""
    with pytest.raises(DefinitionError, match="no computed columns yet"):
        Table("tickets").schedule("0 6 * * *")


@pytest.mark.parametrize(
    ("partitions_def", "options", "said"),
    [
        (None, {}, "Materializes the assets of the table raw/t."),
        (dg.DailyPartitionsDefinition("2027-01-01"), {}, "Materializes the assets of the table raw/t: their latest partition."),
        (dg.DailyPartitionsDefinition("2027-01-01"), {"partitions": "all"}, "Materializes the assets of the table raw/t: all their partitions."),
        (dg.StaticPartitionsDefinition(["a"]), {}, "Materializes the assets of the table raw/t: all their partitions."),
        (None, {"description": "Mine."}, "Mine."),
    ],
)  # fmt: skip
def test_a_schedule_says_what_it_does(partitions_def: Any, options: Any, said: str) -> None:
    """In the list of schedules, unless it is told what to say."""
    table = Table("raw/t", key="id", partitions_def=partitions_def)
    table.add_computed_column(c=table.body)
    assert table.schedule("0 6 * * *", **options).description == said


@pytest.mark.parametrize(
    ("per_run", "expected"), [(2, [("a", "b"), ("c", "d"), ("e", "e")]), (5, [("a", "e")])]
)
def test_files_that_are_partitions_are_runs_of_bounded_size(
    instance: dg.DagsterInstance, per_run: int, expected: list[tuple[str, str]]
) -> None:
    """As many partitions each as the table's policy allows."""
    table = Table.from_files("tickets", "in/*.csv", partitions="files", partitions_per_run=per_run)
    table.add_computed_column(c=table.body)
    instance.add_dynamic_partitions("tickets_files", ["a", "b", "c", "d", "e"])
    assert requests(table, instance) == expected
