"""`embedding_lookup`: for each row the nearest rows of an index, as a computed column."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import CellError, RunError, SearchError
from pxt_assets.expressions.expr import ColumnRef, Expr
from pxt_assets.expressions.path_steps import Shape
from pxt_assets.expressions.walk import calls, references, replace_functions
from pxt_assets.index.spec import IndexSpec
from pxt_assets.local.local_call import LocalCall, as_json, call_function
from pxt_assets.values.types import ColumnType, Json

if TYPE_CHECKING:
    from pxt_assets.index.embedding_indexes import EmbeddingIndexes
    from pxt_assets.index.search import Search
    from pxt_assets.index.stored_index import StoredIndex


class EmbeddingLookup:
    """The function that `index.search(tbl.question, k=5)` applies: its one argument is the vector to look for.

    A cell is named by the vector, the search and the index's contents. When these change, the rows are looked up anew,
    which calls no API.
    """

    name = "embedding_lookup"
    returns: type[ColumnType] = Json
    local = True
    batch_size = 64
    required_arguments: Set[str] = frozenset({"vector"})

    def __init__(
        self,
        index: IndexSpec,
        search: Search,
        columns: Sequence[str] | None,
        stored: StoredIndex | None = None,
        query: Expr | None = None,
    ) -> None:
        self.index = index
        self._search = search
        self._columns = columns
        self.stored = stored
        """The index that it is bound to, None until a run opens it."""
        self._query = query
        self._contents = "" if stored is None else stored.version()
        kept: dict[str, Any] = {name: {} for name in (*index.key_columns, *(columns or ()))}
        self.shape: Shape = {
            "items": {
                "properties": {**kept, "score": {"type": "number"}, "partition_key": {"type": "string"}}
            }
        }

    @property
    def version(self) -> str:
        """A text that changes with the search and, once bound to a stored index, with the index's contents."""
        asked = repr((self.index.key.path, self.index.identity, self._search, self._columns))
        digest = hashlib.blake2b(asked.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        return f"{self.name}:{digest}:{self._contents}"

    @property
    def asked(self) -> Mapping[str, Any]:
        """What the user asked for: `query`, the column whose vectors the argument is, if that is known, and the options."""
        search = self._search
        given = {
            "index": self.index.label,
            "query": self._query,
            "k": search.k,
            "where": search.where,
            "columns": None if self._columns is None else [*self._columns],
            "partition_key": None if search.partitions is None else [*search.partitions],
        }
        return {name: value for name, value in given.items() if value is not None}

    def of_index(self, index: IndexSpec) -> EmbeddingLookup:
        """The same lookup in another index."""
        return EmbeddingLookup(index, self._search, self._columns, query=self._query)

    def bind_to(self, indexes: EmbeddingIndexes) -> EmbeddingLookup:
        """The function bound to the index as it is stored now. Raises RunError if there is no such index."""
        from pxt_assets.index.lance import lance_errors_as
        from pxt_assets.index.search import check_search

        try:
            with lance_errors_as(indexes.base_path, RunError):
                # a snapshot, so that the version in the cells' digests is that of the rows found
                stored = indexes.stored_index(self.index).snapshot()
                bound = EmbeddingLookup(self.index, self._search, self._columns, stored, self._query)
                check_search(stored, bound._resolved_search)  # fails now, rather than at every row
        except SearchError as e:
            raise RunError(str(e)) from e
        return bound

    def cell_request(self, arguments: Mapping[str, Any]) -> LocalCall:
        """The call for one row, with the vector as bytes, which are faster to digest than numbers."""
        import numpy as np

        try:
            vector = np.asarray(arguments["vector"], "<f4")
        except (TypeError, ValueError) as e:
            msg = f"{self.name}: got {type(arguments['vector']).__name__} as a vector to look for, allowed: numbers"
            raise CellError("TypeError", msg) from e
        return LocalCall(self, {"vector": vector.tobytes()})

    def shared_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002
        """None: one call takes any rows together."""
        return {}

    async def run(self, rows: Sequence[Mapping[str, Any]], threads: Executor) -> Sequence[Any]:
        """For each row, its nearest rows as a list of dicts. Raises CellError."""
        try:
            values = await call_function(self._look_up, {"vectors": [row["vector"] for row in rows]}, threads)
        except SearchError as e:
            raise CellError("SearchError", str(e), divisible=True) from e
        return list(values)

    @property
    def _resolved_search(self) -> Search:
        """The search with its columns: unless given, the column that is searched, if the index keeps it."""
        columns = self._columns
        if columns is None:
            assert self.stored is not None
            searched = self.index.column._column
            columns = [searched] if searched in self.stored.columns else []
        return replace(self._search, columns=tuple(columns))

    def _look_up(self, vectors: Sequence[bytes]) -> list[Any]:
        import numpy as np

        from pxt_assets.index.search import nearest_rows

        assert self.stored is not None
        found = nearest_rows(
            self.stored, [np.frombuffer(vector, "<f4") for vector in vectors], self._resolved_search
        )
        values: list[Any] = [[] for _ in vectors]
        for row in as_json(found.to_pylist()):
            values[row.pop("query")].append(row)
        return values


def lookups(expr: object) -> list[EmbeddingLookup]:
    """The lookups inside an expression."""
    return [call._function for call in calls(expr) if isinstance(call._function, EmbeddingLookup)]


def read_columns(expr: object) -> list[str]:
    """The names of the columns that an expression reads, as its user wrote it: what is searched for and in, no vectors."""
    found = lookups(expr)
    asked = {
        repr(call._arguments["vector"]): repr(call._function.asked["query"])
        for call in calls(expr)
        if isinstance(call._function, EmbeddingLookup)
        and isinstance(call._function.asked.get("query"), ColumnRef)
    }
    read = [asked.get(repr(ref), repr(ref)) for ref in references(expr)]
    return list(dict.fromkeys([*read, *(repr(lookup.index.column) for lookup in found)]))


def looks_up_simulated(expr: object) -> bool:
    """Whether an expression, bound to stored indexes, looks up rows by vectors that a simulator invented."""
    return any(lookup.stored is not None and lookup.stored.simulated for lookup in lookups(expr))


def with_stored_indexes(expr: object, indexes: Mapping[str, EmbeddingIndexes]) -> object:
    """The expression with its lookups bound to the indexes as they are stored now. Raises RunError.

    `indexes` are the resources that keep them, by resource key.
    """
    if not indexes:
        return expr
    return replace_functions(
        expr, lambda f: f.bind_to(indexes[f.index.resource_key]) if isinstance(f, EmbeddingLookup) else f
    )
