"""The approximate vector index of a large index: building it, the number of clusters to search, and its recall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from pxt_assets.index.lance import arrow_metadata
from pxt_assets.index.spec import VECTOR, Metric
from pxt_assets.index.stored_index import StoredIndex

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from lancedb.query import LanceVectorQueryBuilder

DISTANCES: dict[Metric, Literal["cosine", "dot", "l2"]] = {"cosine": "cosine", "ip": "dot", "l2": "l2"}
"""LanceDB's names of the metrics."""
INDEX_TYPE = "IVF_SQ"
"""Clusters of vectors of 8 bits a number; the nearest ones are compared again at full precision. Of the kinds that
LanceDB offers it is the one built soonest that reaches a recall of 0.95 in time (tests/benchmarks/index.py)."""
REFINE_FACTOR = 5
"""How many times as many vectors as asked for are compared again at full precision."""
RECALL_NEIGHBOURS = 10
"""Neighbours by which the recall is measured."""
_NAME = f"{VECTOR}_idx"
_OLD_VERSIONS_KEPT = timedelta(days=1)
"""How long replaced versions stay readable: longer than any search, or step that searches, takes."""
_SAMPLE_QUERIES = 50
_MIN_PROBES = 8
_ROWS_PER_CLUSTER = 4_096
"""About as many rows as LanceDB puts into a cluster."""
_K_AT_LEAST_PROBES = 50
"""The k up to which a search looks into the least number of clusters; above, into proportionally more."""
_GOOD_RECALL = 0.98
_REBUILD_GROWTH = 2
"""The index is built anew when it has this many times the rows that it was built of."""
_MAX_PARTS = 8
_VECTORS_PER_CLUSTER = 256
"""LanceDB's default for how many vectors a cluster is learned from."""
_MAX_VECTORS_DRAWN = 6_000
"""Vectors drawn one by one at most: each takes LanceDB some 20 ms."""
_SCAN_BATCH_ROWS = 8_192


@dataclass(frozen=True)
class VectorIndex:
    """The approximate index as it was last built."""

    rows: int
    """How many rows it was built of."""
    probes: int
    """How many clusters a search looks into at least."""
    recall: float
    """The share of the ten nearest rows that sample searches found when it was built."""
    sample: int
    """How many searches that sample had."""


def vector_index(stored: StoredIndex, schema: pa.Schema | None = None) -> VectorIndex | None:
    """The approximate index, None if searches are exact. `schema` is the stored one, if it was read before."""
    schema = schema or stored.schema
    if VECTOR not in schema.names or not any(one.name == _NAME for one in stored.table.list_indices()):
        return None
    metadata = {
        name.decode().removeprefix("pxt_assets."): value.decode()
        for name, value in (schema.field(VECTOR).metadata or {}).items()
    }
    try:
        return VectorIndex(
            int(metadata["rows"]), int(metadata["probes"]), float(metadata["recall"]), int(metadata["sample"])
        )
    except (KeyError, ValueError):  # built by another program, or a crash came before this was written
        return VectorIndex(0, _MIN_PROBES, float("nan"), 0)


def maintain_vector_index(stored: StoredIndex, threshold: int) -> VectorIndex | None:
    """Compacts the files, and builds the approximate index from `threshold` rows on, or adds new rows to it.

    It is built anew when it has twice the rows that it was built of, or too many parts: each run that writes adds one,
    and a search looks into all of them. It is dropped below half the threshold.
    """
    if stored.dim is None:
        return None
    table = stored.table
    stored.remove_marked_rows()
    rows = stored.count()
    now = vector_index(stored)
    if now is not None and (rows < threshold // 2 or _is_worn(stored, now, rows)):
        table.drop_index(_NAME)  # before compacting, which does not merge files of different parts
        now = None
    table.optimize(cleanup_older_than=_OLD_VERSIONS_KEPT)
    return _build(stored, rows) if now is None and rows >= threshold else now


def _is_worn(stored: StoredIndex, index: VectorIndex, rows: int) -> bool:
    statistics = stored.table.index_stats(_NAME)
    parts = 1 if statistics is None else statistics.num_indices or 1
    return not index.rows or rows >= _REBUILD_GROWTH * index.rows or parts > _MAX_PARTS


def approximate_search(
    query: LanceVectorQueryBuilder, index: VectorIndex, k: int, *, everywhere: bool
) -> LanceVectorQueryBuilder:
    """The search through the nearest clusters; `everywhere`: through more of them until k rows pass the filter."""
    probes = math.ceil(index.probes * max(1.0, k / _K_AT_LEAST_PROBES))
    query = query.minimum_nprobes(probes).maximum_nprobes(0) if everywhere else query.nprobes(probes)
    return query.refine_factor(REFINE_FACTOR)


def _build(stored: StoredIndex, rows: int) -> VectorIndex:
    from lancedb.index import IvfSq

    config = IvfSq(
        distance_type=DISTANCES[stored.spec.metric], sample_rate=_vectors_per_cluster(stored, rows)
    )
    stored.table.create_index(VECTOR, config=config, name=_NAME)
    queries = _sample_vectors(stored, rows)
    bounds = _exact_bounds(stored, queries)
    built = _with_measured_recall(stored, VectorIndex(rows, _MIN_PROBES, 0.0, len(queries)), queries, bounds)
    while built.recall < _GOOD_RECALL and built.probes * _ROWS_PER_CLUSTER < rows:
        built = _with_measured_recall(stored, replace(built, probes=built.probes * 2), queries, bounds)
    metadata = arrow_metadata(asdict(built))
    stored.table.update_field_metadata({"path": VECTOR, "metadata": metadata})
    return built


def _vectors_per_cluster(stored: StoredIndex, rows: int) -> int:
    """How many vectors a cluster is learned from: fewer after deletions, which make LanceDB draw them one by one."""
    if not int(stored.table.list_versions()[-1]["metadata"].get("total_deletion_file_rows", 0)):
        return _VECTORS_PER_CLUSTER
    return max(
        _VECTORS_PER_CLUSTER // 16, min(_VECTORS_PER_CLUSTER, _MAX_VECTORS_DRAWN * _ROWS_PER_CLUSTER // rows)
    )


def _sample_vectors(stored: StoredIndex, rows: int) -> npt.NDArray[np.float32]:
    """Up to 50 vectors, `float32[n, dim]`, evenly spaced over the index."""
    import numpy as np

    offsets = np.unique(np.linspace(0, rows - 1, min(_SAMPLE_QUERIES, rows)).astype(int))
    taken = stored.table.take_offsets(offsets.tolist()).select([VECTOR]).to_arrow()
    vectors = taken[VECTOR].combine_chunks().drop_null()
    return np.asarray(vectors.flatten(), np.float32).reshape(-1, stored.dim or 1)


def _with_measured_recall(
    stored: StoredIndex, index: VectorIndex, queries: npt.NDArray[np.float32], bounds: Sequence[float]
) -> VectorIndex:
    """The index with its recall over sample queries: the share of each one's ten nearest rows, itself left out."""
    hits = 0
    for query, bound in zip(queries, bounds, strict=True):
        search = stored.query(query).distance_type(DISTANCES[stored.spec.metric]).limit(RECALL_NEIGHBOURS + 1)
        search = approximate_search(search, index, RECALL_NEIGHBOURS, everywhere=False)
        distances = search.select(["_distance"]).to_arrow()["_distance"].to_pylist()
        hits += max(sum(distance <= bound + 1e-5 * (1 + abs(bound)) for distance in distances) - 1, 0)
    return replace(index, recall=hits / (RECALL_NEIGHBOURS * len(queries)))


def _exact_bounds(stored: StoredIndex, queries: npt.NDArray[np.float32]) -> list[float]:
    """The exact distance of each query's tenth nearest row, itself left out."""
    import numpy as np

    nearest = np.empty((len(queries), 0), np.float32)
    for batch in stored.table.search().select([VECTOR]).to_batches(_SCAN_BATCH_ROWS):
        column = batch[VECTOR].drop_null()
        if len(column):
            vectors = column.flatten().to_numpy().reshape(-1, stored.dim or 1)
            distances = np.concatenate([nearest, _distances(queries, vectors, stored.spec.metric)], axis=1)
            kept = min(RECALL_NEIGHBOURS + 1, distances.shape[1])
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
