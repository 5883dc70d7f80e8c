"""Kept columns that are added or change their type from one partition to the next."""

import datetime
from typing import Any

import pyarrow as pa
import pytest

from pxt_assets.index.spec import WIDER
from tests.index.shop import Shop, letters, told
from tests.runs import failure

DAY = datetime.date(2027, 3, 1)
EIGHT = datetime.datetime(2027, 3, 1, 8)  # noqa: DTZ001


def indexed(shop: Shop, *amounts: pa.Array | None) -> Any:
    """A table by day with a row of each of these amounts, the first days of which are indexed."""
    for day, amount in zip(("mon", "tue", "wed"), amounts, strict=False):
        more = {} if amount is None else {"amount": amount}
        shop.rows[day] = pa.table({"id": [1], "body": ["a"], **more})
    tbl = shop.table(by_day=True)
    tbl.add_embedding_index(tbl.body, embedding=letters)
    shop.run(tbl, days=["mon"])
    return tbl


def amounts(shop: Shop, tbl: Any, **options: Any) -> dict[str, Any]:
    """The kept amount by day."""
    found = tbl.body.similarity("a", k=9, columns=["amount"], indexes=shop.indexes, **options)
    return dict(zip(found["partition_key"].to_pylist(), found["amount"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (pa.array([1], pa.int32()), pa.array([2**40]), {"mon": 1, "tue": 2**40}),
        (pa.array([1]), pa.array([2.5]), {"mon": 1.0, "tue": 2.5}),
        (pa.array([2.5]), pa.array([1]), {"mon": 2.5, "tue": 1.0}),
        (pa.array([DAY]), pa.array([EIGHT]), {"mon": datetime.datetime(2027, 3, 1), "tue": EIGHT}),  # noqa: DTZ001
        (pa.nulls(1), pa.array(["x"]), {"mon": None, "tue": "x"}),
        (pa.array(["x"]), None, {"mon": "x", "tue": None}),
        (None, pa.array(["x"]), {"mon": None, "tue": "x"}),
    ],
)
def test_types_are_widened(shop: Shop, first: pa.Array, second: pa.Array, expected: dict[str, Any]):
    """Values stay what they are, and so do the rows that were indexed before."""
    tbl = indexed(shop, first, second)
    shop.run(tbl, days=["tue"])
    assert amounts(shop, tbl) == expected
    assert told(shop.run(tbl, days=["mon"]), "mon")["pxt/rows_unchanged"] == 1
    assert amounts(shop, tbl) == expected


@pytest.mark.parametrize(("first", "second"), [([1], ["5"]), ([EIGHT], [8]), ([True], [1])])
def test_types_with_nothing_in_common_are_refused_by_name(shop: Shop, first: list[Any], second: list[Any]):
    """A text is not read as a number, though it may look like one; other columns can be kept instead."""
    tbl = indexed(shop, pa.array(first), pa.array(second))
    message = failure(shop.run(tbl, days=["tue"], fails=True)).description
    assert "the column 'amount' is" in message
    assert "nothing in common" in message
    assert "add_embedding_index(columns=[...])" in message
    assert amounts(shop, tbl) == {"mon": first[0]}


@pytest.mark.parametrize("crash_before_drop", [True, False])
def test_a_crash_while_a_type_is_widened_is_mended(shop: Shop, crash_before_drop: bool):
    """Whichever of the two columns is left."""
    tbl = indexed(shop, pa.array([1]), pa.array([2.5]))
    (name,) = shop.database().list_tables().tables
    stored = shop.database().open_table(name)
    stored.add_columns({f"{WIDER}amount": "arrow_cast(amount, 'Float64')"})
    if not crash_before_drop:
        stored.drop_columns(["amount"])
    shop.run(tbl, days=["tue"])
    assert amounts(shop, tbl) == {"mon": 1.0, "tue": 2.5}
    assert not [name for name in shop.database().open_table(name).schema.names if name.startswith(WIDER)]
