"""The approximate index over the vectors of a large index: when it is built, how far it is searched, how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from pxt_assets.index.lance import arrow_metadata
from pxt_assets.index.spec import VECTOR, Metric
from pxt_assets.index.stored import StoredIndex

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from lancedb.query import LanceVectorQueryBuilder

DISTANCES: dict[Metric, Literal["cosine", "dot", "l2"]] = {"cosine": "cosine", "ip": "dot", "l2": "l2"}
"""What LanceDB calls the metrics."""
KIND = "IVF_SQ"
"""Clusters of vectors of 8 bits a number; the nearest ones are compared again at full precision. Of the kinds that
LanceDB offers it is the one built soonest that reaches a recall of 0.95 in time (tests/benchmarks/index.py)."""
REFINE = 5
"""How many times as many vectors as asked for are compared again at full precision."""
NEAREST = 10
"""Neighbours by which the recall is measured."""
_NAME = f"{VECTOR}_idx"
_KEPT = timedelta(days=1)
"""How long versions that were replaced stay readable: longer than a search takes, or a step that searches."""
_SAMPLE = 50
_FEWEST_PROBES = 20
_GOOD_RECALL = 0.98
_GROWN = 2
"""How many times as many rows as it was built of an index has when it is built anew."""
_SCANNED = 8_192


@dataclass(frozen=True)
class VectorIndex:
    """The approximate index as it was last built."""

    rows: int
    """Of how many rows."""
    probes: int
    """How many clusters a search looks into at least."""
    recall: float
    """Which share of the ten nearest rows a search found, over a sample, when it was built."""
    sample: int
    """Searches of that sample."""


def vector_index(stored: StoredIndex) -> VectorIndex | None:
    """The approximate index, None where searches are exact."""
    if stored.dim is None or not any(one.name == _NAME for one in stored.table.list_indices()):
        return None
    kept = {
        name.decode().removeprefix("pxt_assets."): value.decode()
        for name, value in (stored.schema.field(VECTOR).metadata or {}).items()
    }
    try:
        return VectorIndex(int(kept["rows"]), int(kept["probes"]), float(kept["recall"]), int(kept["sample"]))
    except (KeyError, ValueError):  # built by something else, or a crash came before this was said
        return VectorIndex(0, _FEWEST_PROBES, float("nan"), 0)


def maintain(stored: StoredIndex, threshold: int) -> VectorIndex | None:
    """Compacts the files, and builds the approximate index from `threshold` rows on, or takes new rows into it.

    It is built anew when there are twice as many rows as it was built of, and dropped below half the threshold.
    """
    if stored.dim is None:
        return None
    table = stored.table
    rows = stored.count()
    now = vector_index(stored)
    if now is not None and rows < threshold // 2:
        table.drop_index(_NAME)
        now = None
    table.optimize(cleanup_older_than=_KEPT)
    if rows < threshold or (now is not None and now.rows and rows < _GROWN * now.rows):
        return now
    return _built(stored, rows)


def approximate(query: LanceVectorQueryBuilder, probes: int, metric: Metric) -> LanceVectorQueryBuilder:
    """The search through so many clusters, and further ones where these hold too few rows that a filter lets through."""
    query = query.distance_type(DISTANCES[metric])
    return query.minimum_nprobes(probes).maximum_nprobes(0).refine_factor(REFINE)


def _built(stored: StoredIndex, rows: int) -> VectorIndex:
    from lancedb.index import IvfSq

    metric = stored.spec.metric
    stored.table.create_index(VECTOR, config=IvfSq(distance_type=DISTANCES[metric]), name=_NAME)
    queries = _sample(stored, rows)
    bounds = _exact_bounds(stored, queries)
    probes, recall = _FEWEST_PROBES, _recall(stored, queries, bounds, _FEWEST_PROBES)
    while recall < _GOOD_RECALL and probes * 4_096 < rows:
        probes *= 2
        recall = _recall(stored, queries, bounds, probes)
    built = VectorIndex(rows, probes, recall, len(queries))
    said = arrow_metadata({"rows": rows, "probes": probes, "recall": recall, "sample": len(queries)})
    stored.table.update_field_metadata({"path": VECTOR, "metadata": said})
    return built


def _sample(stored: StoredIndex, rows: int) -> npt.NDArray[np.float32]:
    """Some of the vectors, `float32[n, dim]`, from all over the index."""
    import numpy as np

    offsets = np.unique(np.linspace(0, rows - 1, min(_SAMPLE, rows)).astype(int))
    taken = stored.table.take_offsets(offsets.tolist()).select([VECTOR]).to_arrow()
    vectors = taken[VECTOR].combine_chunks().drop_null()
    return np.asarray(vectors.flatten(), np.float32).reshape(-1, stored.dim or 1)


def _recall(
    stored: StoredIndex, queries: npt.NDArray[np.float32], bounds: Sequence[float], probes: int
) -> float:
    """Which share of the nearest rows searches find that look into so many clusters, themselves left out."""
    hits = found = 0
    for query, bound in zip(queries, bounds, strict=True):
        search = stored.query(query).select(["_distance"]).limit(NEAREST + 1)
        distances = approximate(search, probes, stored.spec.metric).to_arrow()["_distance"].to_pylist()
        near = sum(distance <= bound + 1e-5 * (1 + abs(bound)) for distance in distances)
        hits += min(near, NEAREST + 1) - 1
        found += NEAREST
    return hits / found if found else 1.0


def _exact_bounds(stored: StoredIndex, queries: npt.NDArray[np.float32]) -> list[float]:
    """The distance of each query's tenth nearest row beside itself, by a look at all of them."""
    import numpy as np

    nearest = np.empty((len(queries), 0), np.float32)
    for batch in stored.table.search().select([VECTOR]).to_batches(_SCANNED):
        column = batch[VECTOR].drop_null()
        if len(column):
            vectors = column.flatten().to_numpy().reshape(-1, stored.dim or 1)
            distances = np.concatenate([nearest, _distances(queries, vectors, stored.spec.metric)], axis=1)
            kept = min(NEAREST + 1, distances.shape[1])
            nearest = np.partition(distances, kept - 1, axis=1)[:, :kept]
    return [float(bound) for bound in nearest.max(axis=1)]


def _distances(
    queries: npt.NDArray[np.float32], vectors: npt.NDArray[np.float32], metric: Metric
) -> npt.NDArray[np.float32]:
    """LanceDB's distances, `float32[queries, vectors]`: squared for "l2", 1 less the product for the others."""
    import numpy as np

    products: npt.NDArray[np.float32] = queries @ vectors.T
    if metric == "ip":
        return np.subtract(np.float32(1), products)
    squares, others = (queries**2).sum(axis=1), (vectors**2).sum(axis=1)
    if metric == "cosine":
        return np.asarray(1 - products / np.sqrt(np.outer(squares, others)), np.float32)
    return np.asarray(squares[:, None] - 2 * products + others[None, :], np.float32)
