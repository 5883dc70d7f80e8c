"""Another model, metric or key makes another table, so that no vectors are compared that have nothing to do with each other."""

import numpy as np
import pytest

from pxt_assets import EmbeddingIndexes, Table, udf
from pxt_assets.errors import SearchError
from pxt_assets.values.types import Array
from tests.index.shop import Shop, letters, texts, told


@udf
def lengths(text: str) -> Array[(2,), np.float32]:
    """Another function, of another length."""
    return np.array([1, len(text)], np.float32)


def tables(shop: Shop) -> list[str]:
    return shop.database().list_tables().tables


def by_day(shop: Shop, **options) -> Table:
    tbl = shop.table(by_day=True)
    tbl.add_embedding_index(tbl.body, **options)
    return tbl


def test_another_function_over_all_rows(shop: Shop):
    """Once it has all that the earlier one had, that one is dropped."""
    shop.index({1: "a", 2: "aa"})
    assert len(tables(shop)) == 1
    tbl, _ = shop.index({1: "a", 2: "aa"}, if_exists="replace")
    assert len(tables(shop)) == 1
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=lengths, metric="l2")
    shop.run(tbl)
    (left,) = tables(shop)
    assert shop.found(tbl, "aa") == [2, 1]
    assert left.endswith(shop.indexes.stored_index(tbl.assets[-1].index_spec).spec.identity)


def test_another_function_partition_by_partition(shop: Shop):
    """The earlier generation stays, and can be searched by the earlier definition, until all its partitions are here."""
    shop.rows = {"mon": texts({1: "a"}), "tue": texts({2: "b"})}
    old = by_day(shop, embedding=letters)
    shop.run(old, days=["mon", "tue"])
    new = by_day(shop, embedding=lengths)
    said = told(shop.run(new, days=["mon"]), "mon")
    assert "of partitions that are not here yet" in said["pxt/older_generations"]
    assert shop.found(old, "b", k=1) == [2]
    assert shop.found(new, "b") == [1]
    said = told(shop.run(new, days=["tue"]), "tue")
    assert "pxt/older_generations" not in said
    assert len(tables(shop)) == 1
    fresh = EmbeddingIndexes(base_path=shop.indexes.base_path)
    with pytest.raises(SearchError, match="made with another embedding function"):
        old.body.similarity("b", indexes=fresh)


def test_indexes_of_similar_names_are_apart(shop: Shop):
    """What one drops is its own."""
    shop.rows[None] = texts({1: "a"})
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters, idx_name="near")
    tbl.add_embedding_index(tbl.body, embedding=letters, idx_name="near_2", metric="l2")
    shop.run(tbl)
    shop.run(tbl)
    assert len(tables(shop)) == 2
