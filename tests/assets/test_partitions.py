from collections.abc import Mapping
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from tests.runs import ask, failure, materialize, message, metadata, stored, values
from tests.scripted_server import ScriptedServer, chat, refusal, resource_of

DAYS = dg.DailyPartitionsDefinition("2026-03-02", end_date="2026-03-16")
LETTERS = dg.StaticPartitionsDefinition(["b", "a", "c"])
STRANGE_KEYS = ["a|b", "../x", "..", "ü/ö", "a b", "per%cent", "x" * 300, "x" * 300 + "y"]


def partitioned(
    partitions_def: dg.PartitionsDefinition[Any] | None, name: str = "tickets", rows: int = 2, **options: Any
) -> dg.AssetsDefinition:
    """An asset each of whose partitions has rows that tell its key: ids 0, 1 … and bodies `<key> 0`, …"""

    @dg.multi_asset(
        name=name,
        specs=[dg.AssetSpec(name, partitions_def=partitions_def).with_io_manager_key("columns")],
        backfill_policy=dg.BackfillPolicy.single_run() if partitions_def else None,
    )
    def upstream(context: dg.AssetExecutionContext) -> Any:
        def table(key: str) -> pa.Table:
            return pa.table({"id": range(rows), "body": [f"{key} {i}" for i in range(rows)]})

        if partitions_def is None:
            return dg.MaterializeResult(value=table("all"))
        return dg.MaterializeResult(value={key: table(key) for key in context.partition_keys})

    return upstream


def answers(store: ColumnStore, partition: str | None = None, asset: str = "tickets/answer") -> list[Any]:
    return values(store, asset, partition)


def with_answer(upstream: dg.AssetsDefinition, **options: Any) -> tuple[Table, list[dg.AssetsDefinition]]:
    """A table over `upstream` whose column `response` asks, and whose column `answer` is what was said."""
    table = Table(upstream, key="id", **options)
    table.add_computed_column(response=ask(table.body))
    table.add_computed_column(answer=table.response.choices[0].message.content)
    return table, [upstream, *table.assets]


def test_a_table_without_partitions_is_one_file(store: ColumnStore, openai: OpenAIResource) -> None:
    """Unpartitioned assets are stored in one file, whose rows are counted under dagster/row_count."""
    _, assets = with_answer(partitioned(None))
    result = materialize(assets, store, openai)
    assert answers(store) == ["re: all 0", "re: all 1"]
    assert metadata(result, "tickets/answer")["dagster/row_count"] == 2


@pytest.mark.parametrize(
    ("partitions_def", "key"),
    [
        (LETTERS, "a"),
        (DAYS, "2026-03-04"),
        (dg.HourlyPartitionsDefinition("2026-03-02-00:00"), "2026-03-02-07:00"),
        (dg.WeeklyPartitionsDefinition("2026-03-01"), "2026-03-08"),
        (dg.MultiPartitionsDefinition({"day": DAYS, "letter": LETTERS}), "2026-03-04|a"),
    ],
    ids=["static", "daily", "hourly", "weekly", "multi"],
)
def test_one_partition_reads_its_own_rows(
    partitions_def: dg.PartitionsDefinition[Any], key: str, store: ColumnStore, openai: OpenAIResource
) -> None:
    """A run of one partition computes that partition of the upstream, and says so in its materialization."""
    _, assets = with_answer(partitioned(partitions_def))
    result = materialize(assets, store, openai, partition=key)
    assert answers(store, key) == [f"re: {key} 0", f"re: {key} 1"]
    said = metadata(result, "tickets/answer", key)
    assert said["dagster/partition_row_count"] == 2
    assert "dagster/row_count" not in said


def test_dynamic_partitions(store: ColumnStore, openai: OpenAIResource) -> None:
    """Dynamic partitions, known to the instance alone, are computed one at a time and several in a run."""
    _, assets = with_answer(partitioned(dg.DynamicPartitionsDefinition(name="shops")))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("shops", ["north", "east", "south"])
        materialize(assets, store, openai, partition="east", instance=instance)
        materialize(assets, store, openai, span=("north", "south"), instance=instance)
    assert answers(store, "south") == ["re: south 0", "re: south 1"]
    assert answers(store, "north") == ["re: north 0", "re: north 1"]


@pytest.mark.parametrize("key", STRANGE_KEYS, ids=lambda key: f"{key[:8]}{len(key)}")
def test_any_partition_key_names_a_file(key: str, store: ColumnStore, openai: OpenAIResource) -> None:
    """Whatever characters a partition's key has, it is stored in one file inside the asset's folder."""
    _, assets = with_answer(partitioned(dg.DynamicPartitionsDefinition(name="odd"), rows=1))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("odd", [key])
        result = materialize(assets, store, openai, partition=key, instance=instance)
    assert answers(store, key) == [f"re: {key} 0"]
    path = store.file(dg.AssetKey(["tickets", "answer"]), key).path
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert metadata(result, "tickets/answer", key)["dagster/partition_row_count"] == 1


def test_no_two_partition_keys_share_a_file(store: ColumnStore) -> None:
    """Keys that differ in anything have files that differ."""
    files = {store.file(dg.AssetKey(["t", "c"]), key).uri for key in [*STRANGE_KEYS, "a%7Cb", "_"]}
    assert len(files) == len(STRANGE_KEYS) + 2


def test_a_range_is_one_run_with_figures_of_each_partition(
    store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """A single-run backfill computes its partitions in order; each has its own materialization and metadata."""
    sizes: Mapping[str, int] = {"b": 1, "a": 2, "c": 3}

    @dg.multi_asset(
        specs=[dg.AssetSpec("tickets", partitions_def=LETTERS).with_io_manager_key("columns")],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def tickets(context: dg.AssetExecutionContext) -> Any:
        keys = context.partition_keys
        return dg.MaterializeResult(
            value={
                k: pa.table({"id": range(sizes[k]), "body": [f"{k} {i}" for i in range(sizes[k])]})
                for k in keys
            }
        )

    _, assets = with_answer(tickets)
    result = materialize(assets, store, openai, span=("b", "c"))
    assert len(server.asked) == 6
    for key, size in sizes.items():
        said = metadata(result, "tickets/response", key)
        assert said["dagster/partition_row_count"] == said["pxt/requests"] == size
        assert said["dagster/uri"] == store.file(dg.AssetKey(["tickets", "response"]), key).uri
        assert metadata(result, "tickets", key)["dagster/partition_row_count"] == size
    done = [
        event.partition
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(["tickets", "response"])
    ]
    assert sorted(str(key) for key in done) == ["a", "b", "c"]


def test_one_table_for_several_partitions(store: ColumnStore) -> None:
    """An asset that returns one table in a run of several partitions is told to return one for each."""

    @dg.multi_asset(
        specs=[dg.AssetSpec("tickets", partitions_def=LETTERS).with_io_manager_key("columns")],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def tickets() -> Any:
        return dg.MaterializeResult(value=pa.table({"id": [1]}))

    said = message(materialize([tickets], store, span=("b", "c"), fails=True))
    assert "tickets: got Table for 3 partitions, allowed: a dict of tables by partition key" in said


def test_partitions_of_an_earlier_run_stay(store: ColumnStore, openai: OpenAIResource) -> None:
    """Computing one partition leaves the files of the others alone."""
    _, assets = with_answer(partitioned(LETTERS))
    materialize(assets, store, openai, span=("b", "a"))
    before = store.file(dg.AssetKey(["tickets", "answer"]), "b").path.stat().st_mtime_ns
    materialize(assets, store, openai, partition="c")
    assert store.file(dg.AssetKey(["tickets", "answer"]), "b").path.stat().st_mtime_ns == before


def test_unpartitioned_rows_in_partitioned_columns(store: ColumnStore, openai: OpenAIResource) -> None:
    """A table without partitions is read whole by each partition of columns that have some."""
    _, assets = with_answer(partitioned(None), partitions_def=LETTERS)
    materialize(assets[:1], store, openai)
    materialize(assets, store, openai, span=("b", "c"), only=["tickets/response", "tickets/answer"])
    for key in ["a", "b", "c"]:
        assert answers(store, key) == ["re: all 0", "re: all 1"]


def test_weekly_columns_of_daily_rows(store: ColumnStore, openai: OpenAIResource) -> None:
    """Columns of another time window read the upstream's partitions inside it, in time order."""
    weeks = dg.WeeklyPartitionsDefinition("2026-03-02", day_offset=1, end_date="2026-03-16")
    upstream = partitioned(DAYS, rows=1)
    table = Table(upstream, partitions_def=weeks)
    table.add_computed_column(
        response=ask(table.body),
        partition_mapping=dg.TimeWindowPartitionMapping(),
    )
    table.add_computed_column(answer=table.response.choices[0].message.content)
    assets = [upstream, *table.assets]
    materialize(assets[:1], store, span=("2026-03-02", "2026-03-15"))
    columns = ["tickets/response", "tickets/answer"]
    materialize(assets, store, openai, partition="2026-03-02", only=columns)
    assert answers(store, "2026-03-02") == [f"re: 2026-03-{day:02} 0" for day in range(2, 9)]
    materialize(assets, store, openai, span=("2026-03-02", "2026-03-09"), only=columns)
    assert answers(store, "2026-03-09") == [f"re: 2026-03-{day:02} 0" for day in range(9, 16)]


def test_partitions_that_differ_in_what_is_not_read(store: ColumnStore, openai: OpenAIResource) -> None:
    """A column that appears on a day, and one that changes its type, are nothing to whoever reads neither."""
    days = dg.StaticPartitionsDefinition(["mon", "tue"])
    rows = {
        "mon": pa.table({"id": [1], "body": ["a"], "usd": [1]}),
        "tue": pa.table({"id": [2.0], "body": ["b"], "usd": ["2"], "campaign": ["spring"]}),
    }

    @dg.asset(partitions_def=days, io_manager_key="columns")
    def tickets(context: dg.AssetExecutionContext) -> Any:
        return rows[context.partition_key]

    def week(**columns: Any) -> list[dg.AssetsDefinition]:
        table = Table(dg.AssetKey("tickets"), key="id", partitions_def=dg.StaticPartitionsDefinition(["all"]))
        added = {name: table[upstream] for name, upstream in columns.items()}
        for name, ref in added.items():
            table.add_computed_column(
                **{name: {"said": ref}},
                partition_mapping=dg.StaticPartitionMapping({"mon": "all", "tue": "all"}),
            )
        return [tickets, *table.assets]

    for day in rows:
        materialize([tickets], store, openai, partition=day)
    assets = week(w="body", c="campaign", u="usd")
    materialize(assets, store, openai, partition="all", only=["tickets/w", "tickets/c"])
    assert values(store, "tickets/w", "all") == ['{"said":"a"}', '{"said":"b"}']
    assert values(store, "tickets/c", "all") == ['{"said":null}', '{"said":"spring"}']
    said = failure(
        materialize(assets, store, openai, partition="all", only=["tickets/u"], fails=True)
    ).description
    assert "the column 'usd' is int64 in mon, string in tue, which have nothing in common" in said


def test_an_unpartitioned_column_of_all_partitions(store: ColumnStore, openai: OpenAIResource) -> None:
    """A column without partitions reads all of the upstream's, in the order of its definition."""
    upstream = partitioned(LETTERS, rows=1)
    table = Table(upstream.key)  # a key alone tells of no partitions
    table.add_computed_column(response=ask(table.body), partition_mapping=dg.AllPartitionMapping())
    table.add_computed_column(answer=table.response.choices[0].message.content)
    assets = [upstream, *table.assets]
    materialize(assets[:1], store, span=("b", "c"))
    materialize(assets, store, openai, only=["tickets/response", "tickets/answer"])
    assert answers(store) == ["re: b 0", "re: a 0", "re: c 0"]


def test_the_first_of_the_partitions_is_missing(store: ColumnStore, openai: OpenAIResource) -> None:
    """A partition that was never materialized is named, with where it should be."""
    _, assets = with_answer(partitioned(LETTERS))
    result = materialize(assets, store, openai, partition="a", only=["tickets/response"], fails=True)
    (event,) = [event for event in result.all_events if event.is_step_failure]
    assert "tickets[a] is not stored at" in event.step_failure_data.error.to_string()


def test_a_failure_names_its_partition(store: ColumnStore, serve: Any) -> None:
    """The failure of a run of several partitions says in which of them it met the error."""
    server = serve(lambda asked: refusal(400, "bad text") if asked.text == "a 1" else chat(asked))
    _, assets = with_answer(partitioned(LETTERS))
    result = materialize(assets, store, resource_of(server), span=("b", "c"), fails=True)
    assert "tickets/response[a]" in failure(result).description
    assert answers(store, "b", "tickets/response")
    assert not store.file(dg.AssetKey(["tickets", "response"]), "a").exists()


@pytest.mark.parametrize("wanted", [pa.Table, list], ids=lambda t: t.__name__)
def test_several_partitions_load_in_partition_order(
    wanted: Any, store: ColumnStore, openai: OpenAIResource
) -> None:
    """A downstream asset that reads all partitions gets one table, in the order of the partitions."""
    _, assets = with_answer(partitioned(LETTERS, rows=1))
    seen = []

    @dg.asset(ins={"answer": dg.AssetIn(["tickets", "answer"])})
    def report(answer: wanted) -> None:  # type: ignore[valid-type]
        seen.append(pa.Table.from_pylist(answer) if isinstance(answer, list) else answer)

    materialize(assets, store, openai, span=("b", "c"))
    materialize([*assets, report], store, openai, only=["report"])
    assert seen[0]["answer"].to_pylist() == ["re: b 0", "re: a 0", "re: c 0"]


def test_each_partition_is_stored_under_its_own_name(store: ColumnStore, openai: OpenAIResource) -> None:
    """The file of a partition tells in its own metadata of what asset and partition it is."""
    _, assets = with_answer(partitioned(LETTERS))
    materialize(assets, store, openai, span=("b", "a"))
    file = store.file(dg.AssetKey(["tickets", "response"]), "a")
    assert file.metadata["asset"] == ["tickets", "response"]
    assert file.metadata["partition"] == "a"
    assert stored(store, "tickets/response", "a").num_rows == 2
