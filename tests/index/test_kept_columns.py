"""What an index keeps beside its vectors: keys and columns, of whatever type and name."""

import datetime
import decimal

import dagster as dg
import pyarrow as pa
import pytest

from pxt_assets import Table, udf
from pxt_assets.errors import DefinitionError, SearchError
from pxt_assets.values.types import String
from tests.arrow_kinds import DECIMALS, PLAIN, UUIDS
from tests.index.shop import Shop, letters, texts, told
from tests.runs import failure, rows_asset

MOMENT = datetime.datetime(2027, 3, 1, 8, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([datetime.date(2027, 3, 1), datetime.date(2027, 3, 2)]),
        pa.array([decimal.Decimal("1.5"), decimal.Decimal("2.50")]),
        pa.array(["x", "y"], pa.large_string()),
        pa.array(["x", "y"], pa.string_view()),
        pa.array(["x", "y"]).dictionary_encode(),
        pa.array([MOMENT, MOMENT + datetime.timedelta(hours=1)], pa.timestamp("us", "Europe/Berlin")),
        pa.array([b"x" * 16, b"y" * 16]),
        pa.array([0.5, -1.5]),
    ],
    ids=lambda keys: str(keys.type),
)
def test_keys_of_any_type(shop: Shop, keys: pa.Array):
    """They come back as they went in, and rows that did not change are recognized by them."""
    shop.rows[None] = pa.table({"id": keys, "body": ["a", "b"]})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl)
    assert shop.found(tbl, "a") == keys.to_pylist()
    assert told(shop.run(tbl))["pxt/rows_unchanged"] == 2


def test_a_key_of_two_columns(shop: Shop):
    """Rows that share one of them are others."""
    shop.rows[None] = pa.table({"shop": ["n", "n", "s"], "no": [1, 2, 1], "body": ["a", "ab", "b"]})
    tbl = shop.table(key=("shop", "no"))
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl)
    found = tbl.body.similarity("a", k=2, indexes=shop.indexes).to_pylist()
    assert [(row["shop"], row["no"]) for row in found] == [("n", 1), ("n", 2)]


@pytest.mark.parametrize("keys", [["it's", "a/b", "ü ö", "x;--"], ["2027-03-01|north", "2027-03-01|south"]])
def test_partitions_of_any_name(shop: Shop, keys: list[str]):
    """Whatever a partition's key holds, it is found by it."""
    source = rows_asset(
        {"id": [1], "body": ["a"]}, name="t", partitions_def=dg.StaticPartitionsDefinition(keys)
    )
    tbl = Table(source, key="id", schema={"body": String})
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.source = source
    for key in keys:
        shop.run(tbl, days=[key])
    for key in keys:
        found = tbl.body.similarity("a", partition_key=key, indexes=shop.indexes)
        assert found["partition_key"].to_pylist() == [key]


def test_columns_that_cannot_be_kept(shop: Shop):
    """They are left out unless they are asked for by name, which is refused with what can be."""
    shop.rows[None] = texts({1: "a"}, lists=[[1]], score=[1])
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl)
    for name in ("lists", "score"):
        tbl.add_embedding_index(tbl.body, embedding=letters, columns=[name], if_exists="replace")
        result = shop.run(tbl, fails=True)
        assert f"the index is to keep the column {name!r}" in failure(result).description


TAKEN = [
    "_distance",
    "_rowid",
    "_rowaddr",
    "_rowoffset",
    "query_index",
    "_digest",
    "partition_key",
    "*",
    "",
    "a.b",
    "a`b",
    "a\0b",
]


@pytest.mark.parametrize("name", TAKEN)
def test_columns_of_taken_names(shop: Shop, name: str):
    """What LanceDB or an index has another use for is left out, unless it is asked for, which is refused."""
    shop.rows[None] = texts({1: "a", 2: "ab"}, **{name: [0.5, 1.5], "_score": [1, 2]})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl)
    assert tbl.body.similarity(["a", "b"], k=1, columns=["_score"], indexes=shop.indexes)[
        "_score"
    ].to_pylist() == [1, 2]
    with pytest.raises(SearchError, match=r"is not kept by the index, .*: rename it upstream"):
        shop.found(tbl, "a", columns=[name])
    tbl.add_embedding_index(tbl.body, embedding=letters, columns=[name], if_exists="replace")
    assert f"the index is to keep the column {name!r}" in failure(shop.run(tbl, fails=True)).description
    if name not in ("", "_digest"):
        with pytest.raises(
            DefinitionError, match=r"has a name that an index cannot have .*; rename it upstream"
        ):
            shop.table(key=name).add_embedding_index(tbl.body, embedding=letters)


def test_kept_columns_of_other_programs(shop: Shop):
    """UUIDs as text, which can be filtered by, categories of polars and short decimals as what they stand for."""
    names = ("uuid", "categories of polars", "decimal32", "bool8", "runs")
    shop.rows[None] = texts({1: "a", 2: "ab"}, **{f"c{i}": PLAIN[name][:2] for i, name in enumerate(names)})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl)
    found = tbl.body.similarity(
        "a", where=f"c0 = '{UUIDS[1]}'", columns=[f"c{i}" for i in range(5)], indexes=shop.indexes
    )
    assert [found[f"c{i}"].to_pylist() for i in range(5)] == [
        [str(UUIDS[1])],
        ["b"],
        [DECIMALS[1]],
        [False],
        ["b"],
    ]


def test_uuids_as_keys(shop: Shop):
    """They are found as text, and known again in the next run."""
    shop.rows[None] = pa.table({"id": pa.array(UUIDS[:2], pa.uuid()), "body": ["a", "b"]})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl)
    assert shop.found(tbl, "a") == [str(UUIDS[0]), str(UUIDS[1])]
    assert told(shop.run(tbl))["pxt/rows_unchanged"] == 2


def test_columns_of_other_names(shop: Shop):
    """With spaces and capitals, kept, given and filtered by."""
    shop.rows[None] = texts({1: "a", 2: "ab"}, **{"My Column": ["x", "y"], "Lang": ["de", "en"]})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl)
    found = tbl.body.similarity(
        "a", where="`My Column` = 'y' AND Lang = 'en'", columns=["My Column", "Lang"], indexes=shop.indexes
    )
    assert found.select(["id", "My Column", "Lang"]).to_pylist() == [
        {"id": 2, "My Column": "y", "Lang": "en"}
    ]


def test_computed_columns_can_be_kept(shop: Shop):
    """They are named in `columns`, to filter by and to give."""
    shop.rows[None] = texts({1: "a", 2: "ab", 3: "abb"})
    tbl = shop.table()
    tbl.add_computed_column(size=size(tbl.body))
    tbl.add_embedding_index(tbl.body, embedding=letters, columns=["size", "body"])
    shop.run(tbl)
    found = tbl.body.similarity("a", where="size >= 2", columns=["size"], indexes=shop.indexes)
    assert found.select(["id", "size"]).to_pylist() == [{"id": 2, "size": 2}, {"id": 3, "size": 3}]


@udf
def size(text: str) -> int:
    """How long a text is."""
    return len(text)


def test_rows_whose_values_are_kept_under_other_names_are_written(shop: Shop) -> None:
    """Though no value changed: a column that is renamed, or two that change places."""
    shop.rows[None] = texts({1: "aaa"}, x=["1"], y=["1"])
    for names in (["x"], ["y"], ["y", "x"]):
        tbl = shop.table()
        tbl.add_embedding_index(tbl.body, embedding=letters, columns=names)
        shop.run(tbl)
        (found,) = tbl.body.similarity("aaa", indexes=shop.indexes, columns=names).to_pylist()
        assert {name: found[name] for name in names} == dict.fromkeys(names, "1")
