"""Columns of tables whose IO manager keeps the rows of all partitions in one table, and of dagster-polars' files."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore
from tests.io_managers.warehouse import DAYS, LETTERS, MANAGERS, WEEKS, bodies, copied, warehouse_asset
from tests.runs import failure, materialize, stored

SPAN = ("2026-03-02", "2026-03-05")
BY_FILE = "polars_parquet"


@pytest.fixture(params=MANAGERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def resources(kind: str, tmp_path: Path) -> dict[str, Any]:
    return {"warehouse": MANAGERS[kind](tmp_path)}


def fill(assets: Any, keys: Any, store: ColumnStore, resources: dict[str, Any]) -> None:
    """Stores partitions of the upstream, each in a run of its own."""
    for key in keys:
        materialize(assets[:1], store, partition=key, resources=resources)


def test_each_partition_of_a_run_has_its_own_rows(
    kind: str, resources: dict[str, Any], store: ColumnStore
) -> None:
    """In a run of several days the column of each is computed from that day's rows, and from no other's."""
    upstream = warehouse_asset(kind, DAYS, "day")
    assets = [upstream, *copied(upstream).assets]
    days = [f"2026-03-0{day}" for day in range(2, 6)]
    fill(assets, days, store, resources)
    materialize(assets, store, span=SPAN, only=["tickets/copy"], resources=resources)
    assert {day: sorted(bodies(store, day)) for day in days} == {
        day: [f"{day} 0", f"{day} 1"] for day in days
    }


def test_static_partitions(kind: str, resources: dict[str, Any], store: ColumnStore) -> None:
    """Partitions that are no time windows have their own rows too."""
    upstream = warehouse_asset(kind, LETTERS)
    assets = [upstream, *copied(upstream).assets]
    fill(assets, "bac", store, resources)
    materialize(assets, store, span=("b", "c"), only=["tickets/copy"], resources=resources)
    assert {key: sorted(bodies(store, key)) for key in "bac"} == {
        key: [f"{key} 0", f"{key} 1"] for key in "bac"
    }


def test_partitions_of_two_dimensions(kind: str, resources: dict[str, Any], store: ColumnStore) -> None:
    """Of two dimensions, a partition's rows are those of both its keys."""
    grid = dg.MultiPartitionsDefinition(
        {
            "color": dg.StaticPartitionsDefinition(["red", "blue"]),
            "size": dg.StaticPartitionsDefinition(["s", "l"]),
        }
    )
    upstream = warehouse_asset(kind, grid, {"color": "color", "size": "size"})
    assets = [upstream, *copied(upstream).assets]
    keys = ["red|s", "red|l", "blue|s", "blue|l"]
    fill(
        assets,
        [dg.MultiPartitionKey({"color": k.split("|")[0], "size": k.split("|")[1]}) for k in keys],
        store,
        resources,
    )
    materialize(assets, store, span=("red|s", "blue|l"), only=["tickets/copy"], resources=resources)
    assert {key: sorted(bodies(store, key)) for key in keys} == {
        key: [f"{key} 0", f"{key} 1"] for key in keys
    }


def test_one_dimension_of_two(kind: str, resources: dict[str, Any], store: ColumnStore) -> None:
    """A partition that reads some of a grid's partitions, which are no range of it, reads these alone."""
    sizes = dg.StaticPartitionsDefinition(["s", "l"])
    grid = dg.MultiPartitionsDefinition(
        {"color": dg.StaticPartitionsDefinition(["red", "blue"]), "size": sizes}
    )
    upstream = warehouse_asset(kind, grid, {"color": "color", "size": "size"})
    table = copied(upstream, dg.MultiToSingleDimensionPartitionMapping("size"), partitions_def=sizes)
    assets = [upstream, *table.assets]
    keys = ["red|s", "red|l", "blue|s", "blue|l"]
    fill(
        assets,
        [dg.MultiPartitionKey({"color": k.split("|")[0], "size": k.split("|")[1]}) for k in keys],
        store,
        resources,
    )
    materialize(assets, store, span=("s", "l"), only=["tickets/copy"], resources=resources)
    for size in "sl":
        assert sorted(bodies(store, size)) == [
            f"{color}|{size} {i}" for color in ("blue", "red") for i in range(2)
        ]


def test_several_upstream_partitions_of_each(
    kind: str, resources: dict[str, Any], store: ColumnStore
) -> None:
    """In a run of several weeks each week is computed from the rows of its days."""
    upstream = warehouse_asset(kind, DAYS, "day")
    table = copied(upstream, dg.TimeWindowPartitionMapping(), partitions_def=WEEKS)
    assets = [upstream, *table.assets]
    days = DAYS.get_partition_keys()
    if kind == BY_FILE:
        fill(assets, days, store, resources)
    else:
        materialize(assets[:1], store, span=(days[0], days[-1]), resources=resources)
    materialize(assets, store, span=("2026-03-08", "2026-03-08"), only=["tickets/copy"], resources=resources)
    week = [f"2026-03-{day:02} {i}" for day in range(8, 15) for i in range(2)]
    assert sorted(bodies(store, "2026-03-08")) == week


def test_a_table_that_is_not_partitioned(kind: str, resources: dict[str, Any], store: ColumnStore) -> None:
    """A table without partitions is read whole, by a column without partitions and by each partition of others."""
    upstream = warehouse_asset(kind, None)
    assets = [upstream, *copied(upstream, partitions_def=LETTERS).assets]
    materialize(assets[:1], store, resources=resources)
    materialize(assets, store, span=("b", "c"), only=["tickets/copy"], resources=resources)
    assert [sorted(bodies(store, key)) for key in "bac"] == [["all 0", "all 1"]] * 3


def test_all_partitions_of_a_column_without_any(
    kind: str, resources: dict[str, Any], store: ColumnStore
) -> None:
    """A column without partitions is computed from the rows of all days."""
    upstream = warehouse_asset(kind, LETTERS)
    table = copied(upstream.key, dg.AllPartitionMapping())
    assets = [upstream, *table.assets]
    fill(assets, "bac", store, resources)
    materialize(assets, store, only=["tickets/copy"], resources=resources)
    assert sorted(bodies(store)) == [f"{key} {i}" for key in "abc" for i in range(2)]


@pytest.mark.parametrize("kind", [kind for kind in MANAGERS if kind != BY_FILE])
def test_in_the_run_of_the_upstream(kind: str, resources: dict[str, Any], store: ColumnStore) -> None:
    """What the upstream stored for several partitions in the same run is read partition by partition too."""
    upstream = warehouse_asset(kind, DAYS, "day")
    materialize([upstream, *copied(upstream).assets], store, span=SPAN, resources=resources)
    assert sorted(bodies(store, "2026-03-03")) == ["2026-03-03 0", "2026-03-03 1"]


def test_a_day_that_is_not_there(kind: str, resources: dict[str, Any], store: ColumnStore) -> None:
    """Of a day without rows a warehouse gives no rows; without its file the day alone fails."""
    upstream = warehouse_asset(kind, DAYS, "day")
    assets = [upstream, *copied(upstream).assets]
    fill(assets, ["2026-03-02", "2026-03-04"], store, resources)
    missing = kind == BY_FILE
    result = materialize(
        assets,
        store,
        span=("2026-03-02", "2026-03-04"),
        only=["tickets/copy"],
        resources=resources,
        fails=missing,
    )
    assert sorted(bodies(store, "2026-03-04")) == ["2026-03-04 0", "2026-03-04 1"]
    if missing:
        said = failure(result).description
        assert (
            "tickets/copy[2026-03-03]: the input tickets[2026-03-03]: its IO manager PolarsParquetIOManager"
            in said
        )
        assert "1 of 3 partitions failed: 2026-03-03; the other 2 are stored." in said
    else:
        assert stored(store, "tickets/copy", "2026-03-03").num_rows == 0
