"""The check of an index: true to what the index holds, whichever partitions a run was of and however it ended."""

import asyncio
from collections.abc import Iterator

import dagster as dg
import numpy as np
import pytest
from dagster._core.loader import LoadingContextForTest

from pxt_assets import EmbeddingIndexes, Table, udf
from pxt_assets.values.types import Array
from tests.index.shop import Shop, texts

CHECK = dg.AssetCheckKey(dg.AssetKey(["tickets", "body_idx"]), "all_rows_indexed")


@udf
def picky(text: str) -> Array[(2,), np.float32]:
    """Knows no bad texts."""
    if text == "bad":
        msg = "no such text"
        raise ValueError(msg)
    return [1.0, len(text)]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as one:
        yield one


def shown(instance: dg.DagsterInstance) -> tuple[str, str | None]:
    """The status of the check as the UI has it, and what its last result says."""
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([CHECK])[CHECK]
    status = asyncio.run(record.resolve_status(LoadingContextForTest(instance)))
    return status.value, getattr(record.evaluation, "description", None)


def by_day(shop: Shop) -> Table:
    """Three days, of which one holds a bad text."""
    shop.rows |= {"mon": texts({1: "a", 2: "bad"}), "tue": texts({3: "b", 4: None}), "wed": texts({5: "c"})}
    tbl = shop.table(by_day=True)
    tbl.add_embedding_index(tbl.body, embedding=picky, on_error="ignore")
    return tbl


def test_a_run_of_one_day_does_not_hide_the_others(shop: Shop, instance: dg.DagsterInstance) -> None:
    """It says of which partition it speaks, and which others have rows that no search finds."""
    tbl = by_day(shop)
    shop.run(tbl, days=["mon", "tue", "wed"], instance=instance)
    assert shown(instance) == (
        "FAILED",
        "3 partitions: 1 row has no vector, since their body is null; of 1 row the vector could not be computed",
    )
    shop.run(tbl, days=["wed"], instance=instance)
    text = "partition wed: every row can be found; of the other partitions 1 has rows that cannot be found: mon (1)"
    assert shown(instance) == ("FAILED", text)
    shop.rows["mon"] = texts({1: "a", 2: "good"})
    shop.run(tbl, days=["mon"], instance=instance)
    assert shown(instance) == ("SUCCEEDED", "partition mon: every row can be found")


def test_a_run_that_fails_leaves_it_as_it_was(
    shop: Shop, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the index holds can still be searched: the check is not red."""
    tbl = by_day(shop)
    shop.run(tbl, days=["tue"], instance=instance)
    before = shown(instance)
    assert before[0] == "SUCCEEDED"

    def bug(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(EmbeddingIndexes, "database", bug)
    shop.run(tbl, days=["tue"], instance=instance, fails=True)
    assert shown(instance) == before


def test_a_column_of_vectors_that_fails_leaves_it_as_it_was(shop: Shop, instance: dg.DagsterInstance) -> None:
    """The index's step never begins then."""
    shop.rows[None] = texts({1: "a"})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=picky)
    shop.run(tbl, instance=instance)
    shop.rows[None] = texts({1: "bad"})
    shop.run(tbl, instance=instance, fails=True)
    assert shown(instance) == ("SUCCEEDED", "every row can be found")
