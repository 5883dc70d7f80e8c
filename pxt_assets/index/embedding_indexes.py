"""EmbeddingIndexes: the resource that keeps embedding indexes, and that any asset searches them through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import ConfigDict, Field, PrivateAttr, field_validator

from pxt_assets.api.environment import EnvironmentFields, is_env_var, resolve_env_vars
from pxt_assets.api.event_loop import run_to_end
from pxt_assets.api.known_secrets import storage_secrets
from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.errors import SearchError
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.index.lance import connect, database_uri, lance_errors_as, table_names
from pxt_assets.index.query import Queries, queries_of, vectors_of
from pxt_assets.index.search import Search, nearest_rows, parse_search
from pxt_assets.index.spec import IndexSpec
from pxt_assets.index.stored_index import StoredIndex
from pxt_assets.index.vector_servers import check_query_server

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.db import DBConnection


_last_used: dict[dg.AssetKey, tuple[IndexSpec, EmbeddingIndexes]] = {}


def remember_last_used(declared: IndexSpec, spec: IndexSpec, indexes: EmbeddingIndexes) -> None:
    """Remembers where, and under which key, this process materialized an index: the default place to search it."""
    _last_used[declared.key] = spec, indexes


def last_used_indexes(spec: IndexSpec) -> tuple[IndexSpec, EmbeddingIndexes]:
    """Where, and under which key, this process materialized an index last. Raises SearchError if it did not."""
    found = _last_used.get(spec.key)
    if found is None:
        msg = (
            f"{spec.label} was not materialized in this process, and where it is kept was not said: give "
            "indexes=EmbeddingIndexes(base_path=..., openai=OpenAIResource()), in an asset the resource itself"
        )
        raise SearchError(msg)
    return found


class EmbeddingIndexes(EnvironmentFields, dg.ConfigurableResource[Any]):
    """Where the embedding indexes of tables are kept, each a LanceDB table, and how any asset searches them.

    Example:
        ```python
        @dg.asset
        def duplicates(indexes: EmbeddingIndexes) -> pa.Table:
            return indexes.search(tbl.body, ["my parcel is late", "refund"], k=3, columns=["body"])

        openai = OpenAIResource()
        dg.Definitions(
            assets=[*tbl.assets, duplicates],
            resources={
                "openai": openai,
                "columns": ColumnStore(base_path="data"),
                "indexes": EmbeddingIndexes(base_path="indexes", openai=openai),
            },
        )
        ```

    Its key is `indexes`, unless tables name another: `Table(..., resource_keys={"indexes": ...})`. The index `body_idx` of the table `tickets` is the LanceDB table `body_idx-<digest>` in
    `<base_path>/tickets`: whatever reads LanceDB can read it.
    """

    model_config = ConfigDict(hide_input_in_errors=True, extra="forbid")  # storage_options may hold secrets

    base_path: str = Field(
        description="Folder that holds the indexes, or URL of LanceDB's (s3://, gs://, az://)."
    )
    storage_options: dict[str, Any] | None = Field(
        default=None,
        repr=False,
        description="Options of LanceDB's object store: aws_access_key_id, aws_secret_access_key, aws_region, ...",
    )
    vector_index_rows: int = Field(
        default=20_000,
        ge=256,
        description="From how many rows on an index gets an approximate vector index; below, searches are exact.",
    )
    openai: OpenAIResource | None = Field(
        default=None, description="The API by which texts that are searched for are embedded."
    )

    _databases: dict[str, Any] = PrivateAttr(default_factory=dict)
    _open_indexes: dict[dg.AssetKey, StoredIndex] = PrivateAttr(default_factory=dict)

    @field_validator("base_path")
    @classmethod
    def _check_base_path(cls, base_path: str) -> str:
        if is_env_var(base_path):
            return base_path
        if not base_path.strip() or base_path.startswith(("memory:", "db:")):
            msg = f"got base_path={base_path!r}, allowed: a folder, or a URL of an object store (s3://, gs://, az://)"
            raise ValueError(msg)
        return base_path

    @classmethod
    def _is_dagster_maintained(cls) -> bool:
        return False

    def known_secrets(self) -> tuple[str, ...]:
        """What must not be shown of its URL and options, and of its API."""
        of_api = () if self.openai is None else self.openai.known_secrets()
        return (*storage_secrets(self.base_path, self.storage_options), *of_api)

    def search(
        self,
        index: Any,
        query: Any,
        *,
        k: int = 10,
        where: str | None = None,
        columns: Sequence[str] = (),
        partition_key: str | Sequence[str] | None = None,
        idx_name: str | None = None,
    ) -> pa.Table:
        """The rows that are most like the query, the nearest first: see `tbl.column.similarity`.

        Example:
            ```python
            near = indexes.search(tbl.body, "my parcel is late", k=3, where="lang = 'en'", columns=["body"])
            ```

        `index` is a column that has an index, or what `add_embedding_index` returned. Raises SearchError.
        """
        options: dict[str, Any] = {"k": k, "where": where, "columns": columns, "partition_key": partition_key}
        if isinstance(index, ColumnRef):
            return index.similarity(query, idx_name=idx_name, indexes=self, **options)
        spec = getattr(index, "index_spec", index)
        if not isinstance(spec, IndexSpec):
            msg = f"got {type(index).__name__} as an index, allowed: a column that has one, or what add_embedding_index gave"
            raise SearchError(msg)
        spec = self._stored_copy(spec)
        search = parse_search(spec.label, **options)
        queries = queries_of(query, spec.label)
        with lance_errors_as(self.database_uri(spec), SearchError):
            try:
                found = self._search_stored(spec, queries, search)
            except (OSError, RuntimeError, ValueError):
                if self._open_indexes.pop(spec.key, None) is None:
                    raise
                # its table may have been dropped since it was opened
                found = self._search_stored(spec, queries, search)
        return found.drop_columns(["query"]) if queries.is_single else found

    def _search_stored(self, spec: IndexSpec, queries: Queries, search: Search) -> pa.Table:
        stored = self.stored_index(spec)

        def choose(simulated: bool) -> None:
            nonlocal stored
            stored = self.stored_index(spec, simulated=simulated)
            if self.openai is not None and not simulated:
                check_query_server(stored, self.openai.asked_server())

        vectors: list[Any] = [value for kind, value in queries.values if kind == "vector"]
        if len(vectors) < len(queries.values):
            vectors = []
            # an index without rows has no nearest ones, so the query need not be paid for
            if stored.dim is not None:
                vectors = run_to_end(vectors_of(queries.values, spec, self.openai, choose))
        return nearest_rows(stored, vectors, search)

    def _stored_copy(self, spec: IndexSpec) -> IndexSpec:
        """The index under the key by which it is stored here: definitions that were loaded may have given it others."""
        if not spec.copies:
            return spec
        stored = [one for one in (spec, *spec.copies) if table_names(self.database(one), one)]
        if len(stored) > 1:
            names = ", ".join(one.label for one in stored)
            msg = f"{spec.label} is stored as {names}; search one of these: give the index asset that has this key"
            raise SearchError(msg)
        return stored[0] if stored else spec

    def database_uri(self, spec: IndexSpec) -> str:
        """Where the LanceDB database is that holds the index. Raises SearchError for an environment variable that is not set."""
        base_path = resolve_env_vars(self.base_path, "base_path of the EmbeddingIndexes", SearchError)
        return database_uri(base_path, spec.folder)

    def database(self, spec: IndexSpec) -> DBConnection:
        """The LanceDB database that holds the index. Raises RunError without LanceDB."""
        uri = self.database_uri(spec)
        if uri not in self._databases:
            options = resolve_env_vars(
                self.storage_options or {}, "storage_options of the EmbeddingIndexes", SearchError
            )
            self._databases[uri] = connect(uri, options)
        return self._databases[uri]  # type: ignore[no-any-return]

    def stored_index(self, spec: IndexSpec, *, simulated: bool | None = None) -> StoredIndex:
        """The stored index of the API's vectors or of a simulator's; by default of the API's, if it has any.

        Raises SearchError for one that was never materialized, or with another function or metric.
        """
        opened = self._open_indexes.get(spec.key)
        if (
            opened is not None
            and opened.spec.identity == spec.identity
            and simulated in (None, opened.simulated)
        ):
            return opened
        database = self.database(spec)
        wanted = (False, True) if simulated is None else (simulated,)
        every = [StoredIndex.open(spec, database, simulated=one) for one in wanted]
        there = [one for one in every if one is not None]
        found = next((one for one in there if one.dim is not None), there[0] if there else None)
        if found is None:
            if (
                simulated is not None
                and StoredIndex.open(spec, database, simulated=not simulated) is not None
            ):
                made, asked = ("the API", "a simulator") if simulated else ("a simulator", "the API")
                msg = (
                    f"{spec.label} holds vectors of {made}, but the query would be embedded by {asked}, which is no measure of "
                    f"anything; materialize its vectors and the index with {asked}"
                )
            elif table_names(database, spec):
                msg = (
                    f"{spec.label} was made with another embedding function, metric or key than it is defined with now, which "
                    "is no measure of anything; materialize it again, all of its partitions"
                )
            else:
                msg = (
                    f"{spec.label} was never materialized in {self.database_uri(spec)}; materialize it first"
                )
            raise SearchError(msg)
        if found.dim is not None:  # an empty one will be replaced by another table
            self._open_indexes[spec.key] = found
        return found
