"""What is recorded of partitions that are stored together."""

from typing import Any

import dagster as dg
import pyarrow as pa
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
)

from pxt_assets import ColumnStore
from tests.runs import materialize

KEYS = dg.StaticPartitionsDefinition(["a", "b", "c"])
ROWS = {"a": [1], "b": [2], "c": [1]}


def stored(
    store: ColumnStore, keys: Any = KEYS, span: tuple[str, str] = ("a", "c"), **given: Any
) -> dict[str, Any]:
    """The materializations of a run, by partition, of an asset that gives `given` beside its value."""

    @dg.multi_asset(
        name="upstream",
        specs=[
            dg.AssetSpec("upstream", partitions_def=keys, code_version="7").with_io_manager_key("columns")
        ],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def upstream(context: dg.AssetExecutionContext) -> Any:
        value = {key: pa.table({"x": ROWS[str(key)[0]]}) for key in context.partition_keys}
        return dg.MaterializeResult(value=value, **given)

    result = materialize([upstream], store, span=span)
    found: dict[str, Any] = {}
    for event in result.get_asset_materialization_events():
        assert str(event.partition) not in found
        found[str(event.partition)] = event.materialization
    return found


def test_each_has_the_version_of_its_contents(store: ColumnStore) -> None:
    """Once each, with the code version and what else Dagster tells what is stale by."""
    found = stored(store)
    versions = {key: one.tags[DATA_VERSION_TAG] for key, one in found.items()}
    assert versions["a"] == versions["c"] != versions["b"]
    for one in found.values():
        assert one.tags[CODE_VERSION_TAG] == "7"
        assert one.tags[DATA_VERSION_IS_USER_PROVIDED_TAG] == "true"


def test_a_partition_alone_has_the_same_version(store: ColumnStore) -> None:
    """How many are stored together plays no part."""
    together = stored(store)["b"].tags[DATA_VERSION_TAG]

    @dg.asset(partitions_def=KEYS, io_manager_key="columns")
    def upstream() -> pa.Table:
        return pa.table({"x": ROWS["b"]})

    (event,) = materialize([upstream], store, partition="b").get_asset_materialization_events()
    assert (event.materialization.tags or {})[DATA_VERSION_TAG] == together


def test_what_the_asset_says_is_recorded_too(store: ColumnStore) -> None:
    """Metadata and tags of its result, beside each partition's own figures."""
    found = stored(store, metadata={"why": "because"}, tags={"team": "a"})
    for one in found.values():
        assert one.metadata["why"].value == "because"
        assert one.metadata["dagster/partition_row_count"].value == 1
        assert one.tags["team"] == "a"
    assert len({one.metadata["dagster/uri"].value for one in found.values()}) == 3


def test_a_version_that_the_asset_gives_is_kept(store: ColumnStore) -> None:
    """It knows better; each partition has its own figures all the same."""
    found = stored(store, data_version=dg.DataVersion("mine"))
    assert {one.tags[DATA_VERSION_TAG] for one in found.values()} == {"mine"}
    assert len({one.metadata["dagster/uri"].value for one in found.values()}) == 3


def test_dimensions_are_told_as_ever(store: ColumnStore) -> None:
    """Partitions of several dimensions have a tag for each."""
    keys = dg.MultiPartitionsDefinition({"one": KEYS, "two": dg.StaticPartitionsDefinition(["x"])})
    found = stored(store, keys, ("a|x", "c|x"))
    assert sorted(found) == ["a|x", "b|x", "c|x"]
    assert found["a|x"].tags["dagster/partition/one"] == "a"
    assert found["a|x"].tags[DATA_VERSION_TAG] == found["c|x"].tags[DATA_VERSION_TAG]


def test_what_reads_them_runs_in_the_same_run(store: ColumnStore) -> None:
    """Dagster knows that they are there."""
    seen: list[Any] = []

    @dg.asset(partitions_def=KEYS, backfill_policy=dg.BackfillPolicy.single_run(), io_manager_key="columns")
    def upstream(context: dg.AssetExecutionContext) -> Any:
        return {key: pa.table({"x": ROWS[key]}) for key in context.partition_keys}

    @dg.asset(partitions_def=KEYS, backfill_policy=dg.BackfillPolicy.single_run())
    def report(upstream: pa.Table) -> None:
        seen.append(upstream["x"].to_pylist())

    materialize([upstream, report], store, span=("a", "c"))
    assert [sorted(rows) for rows in seen] == [[1, 1, 2]]
