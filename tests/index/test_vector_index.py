"""From some size on an index is searched approximately: built, taken on, built anew, dropped; below, searches are exact."""

from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from pxt_assets import Table
from pxt_assets.index.vector_index import _distances, vector_index
from tests.index.shop import Shop, told
from tests.runs import rows_asset

DIM, THRESHOLD = 16, 600


def clustered(count: int, seed: int) -> np.ndarray:
    centres = np.random.default_rng(0).standard_normal((20, DIM))
    rng = np.random.default_rng(seed)
    return (centres[rng.integers(0, 20, count)] + 0.3 * rng.standard_normal((count, DIM))).astype(np.float32)


class Points:
    """Vectors with an index that is approximate from THRESHOLD rows on."""

    def __init__(self, folder: Path, metric: str) -> None:
        self.shop = Shop(folder, vector_index_rows=THRESHOLD)
        self.metric = metric
        self.vectors = np.empty((0, DIM), np.float32)

    def run(self, vectors: np.ndarray) -> dict:
        self.vectors = vectors
        columns = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM)
        self.shop.source = rows_asset(
            {"id": range(len(vectors)), "part": [i % 3 for i in range(len(vectors))], "vec": columns},
            name="points",
        )
        self.tbl = Table(self.shop.source, key="id")
        self.index = self.tbl.add_embedding_index(self.tbl.vec, metric=self.metric)
        return told(self.shop.run(self.tbl), asset="points/vec_idx")

    def search(self, query: np.ndarray, k: int = 10, **options) -> list[int]:
        return self.tbl.vec.similarity(query, k=k, indexes=self.shop.indexes, **options)["id"].to_pylist()

    def exact(self, query: np.ndarray, k: int = 10, among: np.ndarray | None = None) -> list[int]:
        distances = _distances(query[None], self.vectors, self.metric)[0]
        if among is not None:
            distances = np.where(among, distances, np.inf)
        return np.argsort(distances, kind="stable")[:k].tolist()

    def recall(self) -> float:
        queries = clustered(20, 99)
        hits = [len(set(self.search(query)) & set(self.exact(query))) for query in queries]
        return sum(hits) / 200

    @property
    def kind(self):
        return vector_index(self.shop.indexes.stored_index(self.index.index_spec))


@pytest.fixture(params=["cosine", "ip", "l2"])
def points(request, tmp_path: Path) -> Points:
    """By each metric, where what is found depends on it."""
    return Points(tmp_path, request.param)


@pytest.fixture
def by_cosine(tmp_path: Path) -> Points:
    return Points(tmp_path, "cosine")


def test_below_the_threshold_searches_are_exact(by_cosine: Points):
    """There is no approximate index, and every neighbour is found."""
    said = by_cosine.run(clustered(THRESHOLD - 1, 1))
    assert (said["pxt/index_type"], said["pxt/recall_at_10"]) == ("exact", 1.0)
    assert by_cosine.kind is None
    assert by_cosine.recall() == 1.0


def test_from_the_threshold_on_it_is_built(points: Points):
    """Its recall is measured on a sample against exact search, and holds for other queries."""
    said = points.run(clustered(2_000, 1))
    assert said["pxt/index_type"] == "IVF_SQ"
    assert said["pxt/recall_at_10"] >= 0.95
    assert "50 searches for the 10 nearest rows" in said["pxt/recall_measured"]
    assert points.recall() >= 0.95


def test_new_rows_are_found(points: Points):
    """Rows written since it was built, and no rows that are gone."""
    first = clustered(1_000, 1)
    points.run(first)
    second = np.concatenate([first[:900], clustered(200, 7)])
    second[:50] = clustered(50, 8)
    points.run(second)
    assert points.recall() >= 0.95
    assert max(points.search(second[0], k=5_000)) < len(second)


def test_filters_find_all_that_there_are(points: Points):
    """However few rows a filter lets through, and however many are asked for."""
    vectors = clustered(2_000, 1)
    points.run(vectors)
    query = clustered(1, 5)[0]
    third = np.arange(2_000) % 3 == 1
    assert len(points.search(query, k=700, where="part = 1")) == third.sum()
    found = points.search(query, where="part = 1")
    assert len(set(found) & set(points.exact(query, among=third))) >= 9
    assert points.search(query, where="id = 1234") == [1_234]
    assert sorted(points.search(query, k=2_500)) == list(range(2_000))


def test_twice_the_rows_build_it_anew(by_cosine: Points):
    """Its clusters would not fit any more."""
    by_cosine.run(clustered(THRESHOLD, 1))
    by_cosine.run(clustered(THRESHOLD + 100, 1))
    assert by_cosine.kind.rows == THRESHOLD
    by_cosine.run(clustered(2 * THRESHOLD, 1))
    assert by_cosine.kind.rows == 2 * THRESHOLD
    assert by_cosine.recall() >= 0.95


def test_many_parts_build_it_anew(tmp_path: Path):
    """Each run that writes adds a part, which searches would have to look into."""
    points = Points(tmp_path, "cosine")
    vectors = clustered(THRESHOLD, 1)
    points.run(vectors)
    stored = points.shop.indexes.stored_index(points.index.index_spec)
    most = 0
    for i in range(12):
        vectors = vectors.copy()
        vectors[i] = clustered(1, 50 + i)[0]
        points.run(vectors)
        most = max(most, stored.table.index_stats("_vector_idx").num_indices)
    assert most <= 9
    assert points.kind is not None


def test_far_fewer_rows_drop_it(by_cosine: Points):
    """Searches are exact again."""
    by_cosine.run(clustered(1_000, 1))
    said = by_cosine.run(clustered(100, 1))
    assert said["pxt/index_type"] == "exact"
    assert by_cosine.recall() == 1.0


def test_equal_vectors(tmp_path: Path):
    """Rows that are all the same are found, too."""
    points = Points(tmp_path, "cosine")
    points.run(np.tile(clustered(1, 3), (THRESHOLD, 1)))
    assert len(points.search(clustered(1, 3)[0], k=30)) == 30


def test_versions_that_were_replaced_are_not_kept_forever(tmp_path: Path):
    """Files are compacted: many small runs do not leave as many fragments."""
    days = dg.StaticPartitionsDefinition([f"d{i:02}" for i in range(12)])
    shop = Shop(tmp_path)

    @dg.asset(partitions_def=days, io_manager_key="columns")
    def points(context) -> pa.Table:
        numbers = pa.array(clustered(20, int(context.partition_key[1:])).ravel())
        return pa.table({"id": range(20), "vec": pa.FixedSizeListArray.from_arrays(numbers, DIM)})

    shop.source = points
    tbl = Table(points, key="id")
    index = tbl.add_embedding_index(tbl.vec)
    for day in days.get_partition_keys():
        shop.run(tbl, days=[day])
    stored = shop.indexes.stored_index(index.index_spec)
    assert stored.table.stats()["fragment_stats"]["num_fragments"] <= 2
    assert stored.count() == 240
