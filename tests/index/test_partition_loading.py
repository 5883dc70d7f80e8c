"""An index over a table whose IO manager gives one table of the rows of several partitions."""

from typing import Any

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, EmbeddingIndexes, Table
from tests.runs import failure, materialize

LETTERS = dg.StaticPartitionsDefinition(["b", "a", "c"])


class OneTable(dg.IOManager):
    """Gives the rows of the partitions that it is asked for in one table, as databases do; `missing` is not there."""

    missing: str | None = None

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise AssertionError

    def load_input(self, context: dg.InputContext) -> Any:
        keys = [*context.asset_partition_keys]
        if self.missing in keys:
            raise FileNotFoundError(self.missing)
        return pa.table({"id": keys, "vector": pa.array([[1.0, 0.0]] * len(keys), pa.list_(pa.float32(), 2))})


def indexed(store: ColumnStore, folder: Any, manager: OneTable, **options: Any) -> tuple[Table, Any, Any]:
    """A run over all letters of an index of `points`, and what it was stored in."""
    points = dg.AssetSpec("points", partitions_def=LETTERS).with_io_manager_key("other")
    table = Table(points, key="id")
    table.add_embedding_index(table.vector)
    indexes = EmbeddingIndexes(base_path=str(folder / "indexes"))
    result = materialize(
        [points, *table.assets],
        store,
        span=("b", "c"),
        only=["points/vector_idx"],
        resources={"other": manager, "indexes": indexes},
        **options,
    )
    return table, indexes, result


def found_in(table: Table, indexes: EmbeddingIndexes, partition: str) -> list[str]:
    found = table.vector.similarity([1.0, 0.0], indexes=indexes, partition_key=partition)
    return list(found["id"].to_pylist())


def test_each_partition_of_a_run_is_indexed_with_its_own_rows(store: ColumnStore, tmp_path: Any) -> None:
    """In a run of several partitions each holds the rows of its own, and of no other."""
    table, indexes, _ = indexed(store, tmp_path, OneTable())
    assert [found_in(table, indexes, key) for key in "bac"] == [["b"], ["a"], ["c"]]


def test_a_missing_partition_loses_no_other(store: ColumnStore, tmp_path: Any) -> None:
    """A partition that the upstream lacks fails alone, with its name."""
    manager = OneTable()
    manager.missing = "a"
    table, indexes, result = indexed(store, tmp_path, manager, fails=True)
    said = failure(result).description
    assert "points/vector_idx[a]: the input points[a]: its IO manager OneTable does not find it" in said
    assert "1 of 3 partitions failed: a; the other 2 are stored." in said
    assert [found_in(table, indexes, key) for key in "bc"] == [["b"], ["c"]]
