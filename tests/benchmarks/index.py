"""Embedding indexes of many vectors: how fast they are written, built, searched and brought up to date, and what that takes.

    python tests/benchmarks/index.py            the whole: 200,000 clustered vectors of 1,536 numbers, by Dagster
    python tests/benchmarks/index.py kinds      the kinds of vector index that LanceDB offers, each over 50,000 of them

The upstream's files are written first, by another process, so that memory is that of the index alone.
"""

import json
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator

import dagster as dg
import numpy as np
import pyarrow as pa

from pxt_assets import ColumnStore, EmbeddingIndexes, Table

ROWS, DIM, CLUSTERS = 200_000, 1_536, 2_000
PARTITIONS = [f"p{i:03}" for i in range(200)]
EACH = ROWS // len(PARTITIONS)
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
QUERIES = 200
TOLD = ("pxt/index_type", "pxt/recall_at_10", "pxt/rows_indexed", "pxt/rows_written", "pxt/seconds")

partitions = dg.StaticPartitionsDefinition(PARTITIONS)


def vectors(count: int, seed: int) -> np.ndarray:
    """`float32[count, DIM]` of length 1, each about one of the clusters' centres."""
    centres = np.random.default_rng(0).standard_normal((CLUSTERS, DIM)).astype(np.float32)
    rng = np.random.default_rng(seed)
    found = centres[rng.integers(0, CLUSTERS, count)] + rng.standard_normal((count, DIM)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def table(partition: str, salt: int = 0) -> pa.Table:
    """A partition's rows."""
    start = PARTITIONS.index(partition) * EACH
    numbers = vectors(EACH, start + 1 + salt)
    return pa.table(
        {
            "id": range(start, start + EACH),
            "body": [f"text of the row {i}" for i in range(start, start + EACH)],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), DIM),
        }
    )


@dg.asset(partitions_def=partitions, io_manager_key="columns")
def rows() -> None:
    """Written beforehand."""


tbl = Table(rows, key="id")
index = tbl.add_embedding_index(tbl.vector)


def write_upstream(folder: str, names: list[str], salt: int) -> None:
    store = ColumnStore(base_path=f"{folder}/columns")
    for name in names:
        rows = table(name, salt)
        store.file(dg.AssetKey("rows"), name).write(rows.schema, iter(rows.to_batches()), {})


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def materialize(folder: str, first: str, last: str, threshold: int) -> dict[str, object]:
    before = time.perf_counter()
    result = dg.materialize(
        [rows, index],
        selection=[index.key],
        resources={
            "columns": ColumnStore(base_path=f"{folder}/columns"),
            "indexes": EmbeddingIndexes(base_path=f"{folder}/indexes", vector_index_rows=threshold),
        },
        tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
        run_config=QUIET,
    )
    seconds = time.perf_counter() - before
    told = result.get_asset_materialization_events()[-1].materialization.metadata
    return {
        "seconds": seconds,
        "peak_mb": peak_mb(),
        **{name: told[name].value for name in TOLD},
    }


def upsert(folder: str) -> dict[str, object]:
    """A partition of which every row has changed, after one that has not, in the same process."""
    materialize(folder, PARTITIONS[0], PARTITIONS[0], 20_000)
    write_upstream(folder, [PARTITIONS[7]], 99)
    return materialize(folder, PARTITIONS[7], PARTITIONS[7], 20_000)


def search(folder: str) -> dict[str, float]:
    indexes = EmbeddingIndexes(base_path=f"{folder}/indexes")
    queries = vectors(QUERIES, 12_345_678)
    tbl.vector.similarity(queries[0], k=10, indexes=indexes)
    took, found = [], []
    for query in queries:
        before = time.perf_counter()
        found.append(tbl.vector.similarity(query, k=10, indexes=indexes)["id"].to_pylist())
        took.append(time.perf_counter() - before)
    nearest = exact(folder, queries[:50])
    hits = sum(len(set(a) & set(b)) for a, b in zip(found[:50], nearest, strict=True))
    before = time.perf_counter()
    tbl.vector.similarity(list(queries), k=10, indexes=indexes)
    return {
        "p50_ms": 1e3 * float(np.percentile(took, 50)),
        "p95_ms": 1e3 * float(np.percentile(took, 95)),
        "recall_at_10": hits / 500,
        "batched_ms_a_query": 1e3 * (time.perf_counter() - before) / QUERIES,
        "peak_mb": peak_mb(),
    }


def exact(folder: str, queries: np.ndarray) -> list[list[int]]:
    """The ids of the ten nearest, by a look at every vector."""
    scores = np.empty((len(queries), 0), np.float32)
    ids = np.empty((len(queries), 0), np.int64)
    for name in PARTITIONS:
        store = ColumnStore(base_path=f"{folder}/columns")
        part = store.file(dg.AssetKey("rows"), name).rows().table(["id", "vector"])
        numbers = part["vector"].combine_chunks().flatten().to_numpy().reshape(-1, DIM)
        scores = np.concatenate([scores, queries @ numbers.T], axis=1)
        ids = np.concatenate([ids, np.tile(part["id"].to_numpy(), (len(queries), 1))], axis=1)
        best = np.argsort(-scores, axis=1)[:, :10]
        scores, ids = np.take_along_axis(scores, best, 1), np.take_along_axis(ids, best, 1)
    return ids.tolist()


def in_process(function, *arguments):
    """What a function gives, run in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def show(what: str, figures: dict[str, object]) -> None:
    print(
        what,
        json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in figures.items()}),
        flush=True,
    )


def whole(folder: str) -> None:
    in_process(write_upstream, folder, PARTITIONS, 0)
    first, last = PARTITIONS[0], PARTITIONS[-1]
    never = 10**9
    written = in_process(materialize, folder, first, last, never)
    show("written", {**written, "rows_a_second": ROWS / float(written["seconds"])})
    show("built", in_process(materialize, folder, first, first, 20_000))
    show("searched", in_process(search, folder))
    show("changed partition of 1,000 rows, warm", in_process(upsert, folder))
    show("searched after that", in_process(search, folder))


def kinds(folder: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Each kind's time to build, size, and recall and p95 of searches at several widths."""
    import lancedb
    from lancedb import index as kinds

    count = 50_000
    numbers = vectors(count, 1)
    data = pa.table(
        {"id": range(count), "vector": pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), DIM)}
    )
    queries = vectors(100, 2)
    truth = np.argsort(-(queries @ numbers.T), axis=1)[:, :10]
    for kind in ("IvfFlat", "IvfSq", "IvfRq", "HnswSq", "HnswFlat", "IvfPq", "HnswPq"):
        stored = lancedb.connect(f"{folder}/{kind}").create_table("t", data)
        before = time.perf_counter()
        stored.create_index("vector", config=getattr(kinds, kind)(distance_type="cosine"))
        figures: dict[str, object] = {"build_s": time.perf_counter() - before}
        for probes, refine in ((1, 1), (5, 5), (20, 5), (50, 10)):
            took, hits = [], 0
            for query, near in zip(queries, truth, strict=True):
                before = time.perf_counter()
                found = (
                    stored.search(query)
                    .distance_type("cosine")
                    .nprobes(probes)
                    .refine_factor(refine)
                    .limit(10)
                )
                ids = found.select(["id", "_distance"]).to_arrow()["id"].to_pylist()
                took.append(time.perf_counter() - before)
                hits += len(set(ids) & set(near.tolist()))
            figures[f"{probes} probes, refine {refine}"] = (
                f"recall {hits / 1_000:.3f}, p95 {1e3 * np.percentile(took, 95):.1f} ms"
            )
        yield kind, figures


def main() -> None:
    warnings.simplefilter("ignore")
    folder = tempfile.mkdtemp(prefix="pxt-index-")
    try:
        if "kinds" in sys.argv:
            for kind, figures in kinds(folder):
                show(kind, figures)
        else:
            whole(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
