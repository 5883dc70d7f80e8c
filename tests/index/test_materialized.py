"""An index is kept in step with its column, partition by partition and row by row."""

from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from pxt_assets import udf
from pxt_assets.errors import SearchError
from pxt_assets.index.lance import retry_conflicts
from pxt_assets.index.stored_index import StoredIndex
from pxt_assets.values.types import Array
from tests.index.shop import Shop, letters, texts, told
from tests.runs import failure


def stored(shop: Shop, index) -> StoredIndex:
    return shop.indexes.stored_index(index.index_spec)


def rows_in(shop: Shop, index) -> list[dict]:
    return stored(shop, index).table.to_arrow().to_pylist()


def test_all_rows_are_indexed(shop: Shop):
    """Each row with a text can be found, by its key."""
    tbl, index = shop.index({1: "a", 2: "b", 3: "c"})
    assert shop.found(tbl, "aab") == [1, 2, 3]
    assert {row["id"]: row["body"] for row in rows_in(shop, index)} == {1: "a", 2: "b", 3: "c"}


def test_only_changed_rows_are_written(shop: Shop):
    """A row that did not change stays as it is; one that vanished is removed."""
    tbl, _ = shop.index({1: "a", 2: "b", 3: "c", 4: "ab"})
    shop.rows[None] = texts({2: "bb c", 3: "c", 5: "aa", 4: "ab"})
    said = told(shop.run(tbl))
    assert (said["pxt/rows_written"], said["pxt/rows_unchanged"], said["pxt/rows_removed"]) == (2, 2, 1)
    assert sorted(shop.found(tbl, "abc")) == [2, 3, 4, 5]
    assert said["pxt/rows_indexed"] == said["dagster/row_count"] == 4


def test_unchanged_rows_write_nothing(shop: Shop):
    """Materialized again over the same rows, the index is the same version, and nothing downstream is stale."""
    tbl, index = shop.index({1: "a", 2: "b"})
    first = stored(shop, index)
    before, contents = first.table.version, first.version()
    result = shop.run(tbl)
    again = stored(shop, index)
    assert told(result)["pxt/rows_written"] == 0
    assert (again.table.version, again.version()) == (before, contents)


def test_a_changed_column_beside_the_text_is_written(shop: Shop):
    """A row whose text is the same, but another column that the index keeps is not, is written anew."""
    shop.rows[None] = texts({1: "a", 2: "b"}, stars=[1, 2])
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl)
    shop.rows[None] = texts({1: "a", 2: "b"}, stars=[1, 5])
    assert told(shop.run(tbl))["pxt/rows_written"] == 1
    assert shop.found(tbl, "a", where="stars = 5") == [2]


def test_rows_in_another_order_are_the_same(shop: Shop):
    """The order of the rows is nothing that an index holds."""
    tbl, _ = shop.index({1: "a", 2: "b", 3: "c"})
    shop.rows[None] = texts({3: "c", 1: "a", 2: "b"})
    assert told(shop.run(tbl))["pxt/rows_written"] == 0


def test_nulls_are_not_indexed_but_counted(shop: Shop):
    """A row without a text is no error, and cannot be found."""
    shop.rows[None] = texts({1: "a", 2: None, 3: None})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    result = shop.run(tbl)
    assert (told(result)["pxt/rows_null"], told(result)["dagster/row_count"]) == (2, 1)
    assert shop.found(tbl, "a", k=9) == [1]
    (check,) = checks(result)
    assert check.passed
    assert "2 rows have no vector" in check.description


def checks(result):
    return [c for c in result.get_asset_check_evaluations() if c.check_name == "all_rows_indexed"]


def test_a_row_that_becomes_null_is_removed(shop: Shop):
    """Once its text is gone, a row cannot be found any more."""
    tbl, _ = shop.index({1: "a", 2: "b"})
    shop.rows[None] = texts({1: None, 2: "b"})
    assert told(shop.run(tbl))["pxt/rows_removed"] == 1
    assert shop.found(tbl, "a") == [2]


def test_failed_rows_are_counted_and_named_by_the_check(shop: Shop):
    """Rows whose vector could not be computed are not indexed, and the check is yellow."""

    @udf
    def picky(text: str) -> Array[(2,), np.float32]:
        if text == "bad":
            msg = "no such text"
            raise ValueError(msg)
        return [1.0, len(text)]

    shop.rows[None] = texts({1: "a", 2: "bad"})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=picky, on_error="ignore")
    result = shop.run(tbl)
    assert (told(result)["pxt/rows_failed"], told(result)["pxt/rows_null"]) == (1, 0)
    (check,) = checks(result)
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN


def test_zero_vectors_under_cosine_are_left_out_and_named(shop: Shop):
    """A vector without a direction is no error: its row is not indexed, and the check names it."""
    shop.rows[None] = texts({1: "a", 2: "xyz"})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    result = shop.run(tbl)
    assert told(result)["pxt/rows_zero"] == 1
    (check,) = checks(result)
    assert not check.passed
    assert "id=2" in check.description
    assert shop.found(tbl, "a", k=5) == [1]


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_zero_vectors_are_indexed_by_other_metrics(shop: Shop, metric: str):
    """Products and distances are defined for them."""
    tbl, _ = shop.index({1: "a", 2: "xyz"}, metric=metric)
    assert shop.found(tbl, "a") == [1, 2]


def test_partitions_are_apart(shop: Shop):
    """A partition that is materialized again touches its own rows only, whatever keys others have."""
    shop.rows = {"mon": texts({1: "a", 2: "b"}), "tue": texts({1: "c", 3: "bc"})}
    tbl = shop.table(by_day=True)
    index = tbl.add_embedding_index(tbl.body, embedding=letters)
    result = shop.run(tbl, days=["mon", "tue"])
    assert [told(result, day)["dagster/partition_row_count"] for day in ("mon", "tue")] == [2, 2]
    untouched = {(row["_partition"], row["id"]) for row in rows_in(shop, index)} - {("mon", 1), ("mon", 2)}
    shop.rows["mon"] = texts({2: "bbb", 7: "ac"})
    said = told(shop.run(tbl, days=["mon"]), "mon")
    assert (said["pxt/rows_written"], said["pxt/rows_removed"]) == (2, 1)
    now = {(row["_partition"], row["id"]) for row in rows_in(shop, index)}
    assert now == untouched | {("mon", 2), ("mon", 7)}


def test_each_partition_of_a_run_is_recorded(shop: Shop):
    """Each has its own data version, which is the same when its rows are."""
    shop.rows = {day: texts({1: body}) for day, body in (("mon", "a"), ("tue", "b"), ("wed", "c"))}
    tbl = shop.table(by_day=True)
    index = tbl.add_embedding_index(tbl.body, embedding=letters)
    versions = []
    for _ in range(2):
        events = shop.run(tbl, days=["mon", "tue", "wed"]).get_asset_materialization_events()
        found = {
            e.partition: e.materialization.tags["dagster/data_version"]
            for e in events
            if e.asset_key == index.key
        }
        assert list(found) == ["mon", "tue", "wed"]
        versions.append(found)
    assert versions[0] == versions[1]
    assert len(set(versions[0].values())) == 3


def test_a_table_without_a_key_is_indexed_by_position(shop: Shop):
    """Its rows are found by their number."""
    shop.rows[None] = pa.table({"body": ["a", "b"]})
    tbl = shop.table(key=None)
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl)
    found = tbl.body.similarity("b", k=1, indexes=shop.indexes).to_pylist()
    assert found == [{"row": 1, "score": 1.0}]


def test_an_empty_table(shop: Shop):
    """It gives an empty index, which a search finds nothing in, and which rows can be added to."""
    shop.rows[None] = texts({})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    assert told(shop.run(tbl))["dagster/row_count"] == 0
    found = tbl.body.similarity("a", columns=["body"], indexes=shop.indexes)
    assert found.column_names == ["id", "score", "body"]
    assert found.num_rows == 0
    assert not stored(shop, tbl.assets[-1]).simulated
    shop.rows[None] = texts({1: "a"})
    shop.run(tbl)
    assert shop.found(tbl, "a") == [1]
    (name,) = shop.database().list_tables().tables
    assert "empty" not in name


def test_a_table_of_nulls_alone(shop: Shop):
    """It is like an empty one."""
    tbl, _ = shop.index({1: None})
    assert shop.found(tbl, "a") == []


def test_all_rows_gone(shop: Shop):
    """An index that held rows holds none when there are none any more."""
    tbl, _ = shop.index({1: "a"})
    shop.rows[None] = texts({})
    shop.run(tbl)
    assert shop.found(tbl, "a") == []


def test_a_failed_partition_loses_no_other(shop: Shop):
    """The other partitions of the run are indexed and recorded."""
    shop.rows = {"mon": texts({1: "a"}), "tue": texts({1: "a", 2: "b"}), "wed": texts({1: "c"})}
    tbl = shop.table(by_day=True)
    index = tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl, days=["mon", "tue", "wed"])
    shop.rows["tue"] = texts({1: "a", 3: "b"})  # whose vectors are those of before
    shop.rows["wed"] = texts({1: "cc"})
    shop.run(tbl, days=["tue", "wed"], only=["tickets"])
    shop.run(tbl, days=["wed"], only=["tickets/body_idx_vectors"])
    with dg.DagsterInstance.ephemeral() as instance:
        result = shop.run(tbl, days=["tue", "wed"], only=["tickets/body_idx"], fails=True, instance=instance)
        assert "tickets/body_idx[tue]: the rows of tickets/body_idx_vectors" in failure(result).description
        assert "the other one is stored" in failure(result).description
        assert instance.get_materialized_partitions(index.key) == {"wed"}
    assert shop.found(tbl, "c", where="body = 'cc'") == [1]


def test_a_new_column_upstream_is_taken_in(shop: Shop):
    """Rows that were there before have none of it."""
    shop.rows = {"mon": texts({1: "a"}), "tue": texts({1: "b"}, stars=[3])}
    tbl = shop.table(by_day=True)
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl, days=["mon"])
    shop.run(tbl, days=["tue"])
    found = tbl.body.similarity("ab", columns=["stars"], indexes=shop.indexes).to_pylist()
    assert sorted((row["partition_key"], row["stars"]) for row in found) == [("mon", None), ("tue", 3)]


def test_a_column_of_another_type(shop: Shop):
    """It is cast where that loses nothing, and refused with its name otherwise."""
    tbl, _ = shop.index({1: "a"})
    shop.rows[None] = texts({1: "a"}, lang=["en"])
    shop.run(tbl)
    shop.rows[None] = texts({1: "b"}, lang=[[1, 2]])
    shop.run(tbl)  # which is not plain any more, and so is left out
    shop.rows[None] = pa.table({"id": ["x"], "body": ["a"]})
    result = shop.run(tbl, fails=True)
    assert "the column 'id' is string now, but the index holds it as int64" in failure(result).description
    assert shop.found(tbl, "b") == [1]


def test_any_reader_of_lancedb_can_read_it(shop: Shop):
    """It is a table in the folder of its assets' table."""
    _, index = shop.index({1: "a"})
    database = shop.database()
    (name,) = database.list_tables().tables
    assert name == f"body_idx-{index.index_spec.identity}"
    assert database.open_table(name).to_arrow()["body"].to_pylist() == ["a"]


def test_a_table_that_a_crash_left_half_made(shop: Shop):
    """A folder without a version of the table in it is none, and can become one."""
    tbl = shop.table()
    index = tbl.add_embedding_index(tbl.body, embedding=letters)
    folder = Path(shop.indexes.base_path) / "tickets" / f"body_idx-{index.index_spec.identity}.lance"
    (folder / "_versions").mkdir(parents=True)
    with pytest.raises(SearchError, match=r"materialize it"):
        shop.found(tbl, "a")
    shop.rows[None] = texts({1: "a"})
    shop.run(tbl)
    assert shop.found(tbl, "a") == [1]


def test_what_two_processes_are_at_once_is_tried_again():
    """A few times, with growing pauses; what fails all the same is raised."""
    pauses: list[float] = []
    left = iter([ValueError("conflict"), RuntimeError("conflict"), None])

    def action() -> str:
        error = next(left)
        if error is not None:
            raise error
        return "done"

    assert retry_conflicts(action, pauses.append) == "done"
    assert len(pauses) == 2
    assert 0 < pauses[0] < pauses[1] * 3

    def never() -> None:
        msg = "no"
        raise OSError(msg)

    with pytest.raises(OSError, match="no"):
        retry_conflicts(never, pauses.append)
    assert len(pauses) == 7


def test_one_attempt_at_a_time(shop: Shop):
    """While another attempt writes the partition, the step fails and says who does."""
    import asyncio

    from pxt_assets.compute.claims.claim import hold_claim

    tbl, index = shop.index({1: "a"})

    async def meanwhile():
        async with hold_claim(shop.store.file(index.key), "other-run"):
            return await asyncio.to_thread(lambda: shop.run(tbl, only=["tickets/body_idx"], fails=True))

    assert "other-run" in failure(asyncio.run(meanwhile())).description


def test_more_than_one_commit_takes(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    """What is more than one commit replaces is written by several, and all of it is there at the end."""
    monkeypatch.setattr("pxt_assets.index.stored_index._COMMIT_BYTES", 1)
    monkeypatch.setattr("pxt_assets.index.partition_rows._BATCH_ROWS", 2)
    tbl, index = shop.index({i: "a" * i for i in range(1, 8)})
    before = stored(shop, index).table.version
    shop.rows[None] = texts({i: "b" * i for i in range(3, 10)})
    assert told(shop.run(tbl))["pxt/rows_removed"] == 2
    assert sorted(shop.found(tbl, "b", where="body LIKE 'b%'")) == list(range(3, 10))
    assert stored(shop, index).count() == 7
    assert stored(shop, index).table.version >= before + 4
