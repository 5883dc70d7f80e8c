"""Searches of a stored index: their options, and the nearest rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import SearchError, did_you_mean
from pxt_assets.index.lance import lance_error_message, sql_in
from pxt_assets.index.spec import PARTITION, ROW, TAKEN_NAMES_TEXT, VECTOR, IndexSpec, Metric, is_free_name
from pxt_assets.index.stored_index import StoredIndex
from pxt_assets.index.vector_index import DISTANCES, VectorIndex, approximate_search, vector_index

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Vector = npt.NDArray[np.float32]

_QUERIES_AT_ONCE = 64
_LARGE_K = 10_000
"""A k above this is cut to the rows that the index holds, since LanceDB reserves memory for k rows."""


@dataclass(frozen=True)
class Search:
    """The options of a search, the same for all its queries."""

    k: int = 10
    where: str | None = None
    columns: tuple[str, ...] = ()
    partitions: tuple[str, ...] | None = None

    @property
    def is_filtered(self) -> bool:
        """Whether some rows are excluded from the search."""
        return self.where is not None or self.partitions is not None


def parse_search(
    label: str,
    k: object,
    where: object,
    columns: Sequence[str],
    partition_key: str | Sequence[str] | None,
) -> Search:
    """The options checked without an index. Raises SearchError, which begins with `label`."""
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        msg = f"{label}: got k={k!r}, allowed: a number of rows >= 1"
        raise SearchError(msg)
    if where is not None and (not isinstance(where, str) or not where.strip()):
        msg = f"{label}: got where={where!r}, allowed: SQL over the columns that the index keeps, or None"
        raise SearchError(msg)
    if where is not None and not _is_balanced_sql(where):
        msg = f"{label}: got where={where!r}, in which a parenthesis or a quote is left open or closed too often, or a comment begins"
        raise SearchError(msg)
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        msg = f"{label}: got columns={columns!r}, allowed: a list of column names"
        raise SearchError(msg)
    if partition_key is None:
        return Search(k, where, tuple(columns))
    keys = (partition_key,) if isinstance(partition_key, str) else tuple(partition_key)
    if not all(isinstance(key, str) for key in keys):
        msg = f"{label}: got partition_key={partition_key!r}, allowed: a partition key, or a list of these"
        raise SearchError(msg)
    return Search(k, where, tuple(columns), keys)


def _is_balanced_sql(where: str) -> bool:
    """Whether SQL has its parentheses and quotes closed, and no comment: LanceDB wraps it in parentheses."""
    depth, quote, last = 0, "", ""
    for character in where:
        if quote:
            quote = "" if character == quote else quote  # a doubled one opens the next at once
        elif character in "'\"`":
            quote = character
        else:
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth < 0 or (last, character) in (
                ("-", "-"),
                ("/", "*"),
            ):  # a comment would hide what follows
                return False
        last = character
    return not quote and depth == 0


def nearest_rows(stored: StoredIndex, vectors: Sequence[Vector], search: Search) -> pa.Table:
    """The rows nearest to each vector: its number as `query`, the keys, `score` and the columns asked for.

    Raises SearchError for columns that the index does not keep, a filter that it cannot read, and vectors of another
    length than its own, or without a direction where angles are compared.
    """
    import pyarrow as pa

    spec, schema = stored.spec, stored.schema
    selected = _result_columns(stored, schema, search)
    if search.k > _LARGE_K:
        search = replace(search, k=min(search.k, max(stored.table.count_rows(), 1)))
    if VECTOR not in schema.names or not vectors:
        return _empty_result(spec, schema, search.columns)
    _check_query_vectors(spec, vectors, schema.field(VECTOR).type.list_size)
    built = vector_index(stored, schema)
    found: list[pa.Table] = []
    for start in range(0, len(vectors), _QUERIES_AT_ONCE):
        some = [*vectors[start : start + _QUERIES_AT_ONCE]]
        rows = _search_lance(stored, some, search, selected, built, everywhere=search.is_filtered)
        if built is not None and not search.is_filtered and rows.num_rows < search.k * len(some):
            rows = _search_lance(stored, some, search, selected, built, everywhere=True)
        found.append(_result_table(rows, spec, search.columns, start))
    return pa.concat_tables(found)


def _search_lance(
    stored: StoredIndex,
    vectors: list[Vector],
    search: Search,
    selected: Sequence[str],
    built: VectorIndex | None,
    *,
    everywhere: bool,
) -> pa.Table:
    """LanceDB's answer: `query_index`, `_distance` and the `selected` columns. Raises SearchError."""
    import pyarrow as pa

    query = stored.query(vectors).distance_type(DISTANCES[stored.spec.metric]).limit(search.k)
    query = query.select([*selected, "_distance"])
    query = (
        query.bypass_vector_index()
        if built is None
        else approximate_search(query, built, search.k, everywhere=everywhere)
    )
    if search.partitions is not None:
        query = query.where(sql_in(PARTITION, search.partitions))
    if search.where is not None:
        query = query.where(search.where)
    rows = _run_query(query, stored, search)
    if "query_index" not in rows.column_names:  # there is none with a single query
        rows = rows.append_column("query_index", pa.array([0] * rows.num_rows, pa.int32()))
    return rows


def check_search(stored: StoredIndex, search: Search) -> None:
    """Raises SearchError for columns that the index does not keep, and for a filter that it cannot read."""
    _result_columns(stored, stored.schema, search)
    if search.where is not None:
        query = stored.table.search().select([ROW]).limit(1).where(search.where)
        _run_query(query, stored, search)


def _run_query(query: Any, stored: StoredIndex, search: Search) -> pa.Table:
    """LanceDB's answer. Raises SearchError if it cannot read the filter."""
    try:
        return query.to_arrow()
    except (ValueError, RuntimeError) as e:
        if search.where is None:
            raise
        msg = (
            f"{stored.spec.label}: where={search.where!r} cannot be applied: {lance_error_message(e)}; the index keeps the columns "
            f"{', '.join([*stored.spec.key_columns, *stored.columns])}"
        )
        raise SearchError(msg) from e


def _result_columns(stored: StoredIndex, schema: pa.Schema, search: Search) -> list[str]:
    """The stored columns that a result needs. Raises SearchError for a column that the index does not keep."""
    spec, kept = stored.spec, stored.kept_columns_in(schema)
    for name in search.columns:
        if name not in kept and name not in spec.key_columns:
            near = did_you_mean(name, kept)
            todo = "to have it kept, name it in add_embedding_index(columns=[...])"
            if not is_free_name(name):
                todo = f"it cannot keep columns named {TAKEN_NAMES_TEXT}: rename it upstream"
            msg = (
                f"{spec.label}: the column {name!r} is not kept by the index, which has "
                f"{', '.join([*spec.key_columns, *kept])}{near}; {todo}"
            )
            raise SearchError(msg)
    return list(dict.fromkeys([PARTITION, *spec.key_columns, *search.columns]))


def _check_query_vectors(spec: IndexSpec, vectors: Sequence[Vector], dim: int) -> None:
    import numpy as np

    for vector in vectors:
        if vector.shape != (dim,):
            msg = (
                f"{spec.label}: got a query vector of {len(vector)} numbers, the index has vectors of {dim}; search with the "
                "model that the index was made with"
            )
            raise SearchError(msg)
        if not np.isfinite(vector).all():
            msg = f"{spec.label}: the query vector holds NaN or an infinite number"
            raise SearchError(msg)
        if spec.metric == "cosine" and not vector.any():
            msg = (
                f"{spec.label}: the query vector is zero in all its numbers, so that no angle to it can be told (is the text "
                "empty, or without a word that the model knows?)"
            )
            raise SearchError(msg)


def _result_table(rows: pa.Table, spec: IndexSpec, columns: Sequence[str], start: int) -> pa.Table:
    """The result of a search, made of LanceDB's rows."""
    import numpy as np
    import pyarrow as pa

    columns_by_name: dict[str, Any] = {
        "query": pa.array(rows["query_index"].to_numpy().astype(np.int64) + start),
        "partition_key": rows[PARTITION],
        **{name: rows[name] for name in spec.key_columns},
        "score": pa.array(_scores(rows["_distance"].to_numpy(), spec.metric)),
        **{name: rows[name] for name in columns},
    }
    if not spec.partitioned:
        del columns_by_name["partition_key"]
    return pa.table(columns_by_name).sort_by([("query", "ascending"), ("score", "descending")])


def _scores(distances: npt.NDArray[np.float32], metric: Metric) -> npt.NDArray[np.float64]:
    """Scores as in Pixeltable: a higher one is nearer."""
    import numpy as np

    wide = distances.astype(np.float64)
    if metric == "l2":  # LanceDB's are squared
        return -np.sqrt(np.maximum(wide, 0))
    return 1 - wide if metric == "ip" else np.clip(1 - wide, -1, 1)


def _empty_result(spec: IndexSpec, schema: pa.Schema, columns: Sequence[str]) -> pa.Table:
    """The result without rows: of no query, or of an empty index."""
    import pyarrow as pa

    fields: list[tuple[str, pa.DataType]] = [("query", pa.int64())]
    if spec.partitioned:
        fields.append(("partition_key", pa.string()))
    fields += [(name, schema.field(name).type) for name in spec.key_columns]
    fields.append(("score", pa.float64()))
    fields += [(name, schema.field(name).type) for name in columns if name not in dict(fields)]
    return pa.schema(fields).empty_table()
