"""The embedding indexes of a table: how they are declared, and how its columns are searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import dagster as dg

from pxt_assets.assets.declarations.asset_options import (
    AssetOptions,
    IfExists,
    check_asset_options,
    check_if_exists,
    further_deps,
)
from pxt_assets.assets.declarations.table_attributes import TableAttributes
from pxt_assets.assets.indexes.index_asset import EmbeddingIndex, index_asset
from pxt_assets.assets.indexes.index_asset_spec import IndexAssetSpec
from pxt_assets.assets.page.description import metadata_of
from pxt_assets.errors import DefinitionError, SearchError
from pxt_assets.expressions.expr import Call, ColumnRef, Expr
from pxt_assets.expressions.function import Function
from pxt_assets.expressions.walk import expression_text
from pxt_assets.index.embedder import Embedder, Embedders, embedders_from_options, space_of
from pxt_assets.index.spec import IndexSpec, Metric, check_metric, check_names
from pxt_assets.values.types import Array, Image, String, type_name

if TYPE_CHECKING:
    import pyarrow as pa

_OWN_OPTIONS = (
    *("embedding", "string_embed", "image_embed", "idx_name", "metric", "if_exists", "columns", "on_error"),
    *("max_cost_usd", "within"),
)
"""The options of indexes that other assets have not."""
_OF_INDEX_ALONE = ("deps", "description", "freshness_policy", "kinds", "metadata")
"""The options that its vectors do not have, too."""


class IndexedTable(Protocol):
    """The table, as its indexes use it: they may add a column of vectors."""

    def __getitem__(self, name: str, /) -> ColumnRef:
        """A reference to a column."""

    def add_computed_column(self, **column_and_options: Any) -> dg.AssetsDefinition:
        """Adds one column."""

    def _check_name(self, name: str, expr: object) -> None:
        """Raises DefinitionError for a name that something has already, or that is no column name."""

    def _remove_column(self, name: str) -> None:
        """Removes a computed column."""


class TableIndexes:
    """The embedding indexes of one table."""

    def __init__(self, table: IndexedTable, common: TableAttributes) -> None:
        self._table = table
        self._attributes = common
        self._indexes: dict[str, EmbeddingIndex] = {}
        self._expressions: dict[str, object] = {}

    def add_expression(self, name: str, expr: object) -> None:
        """Adds the expression of a computed column, which may hold the vectors of an index."""
        self._expressions[name] = expr

    def check_replacement(self, name: str, expr: object) -> None:
        """Refuses another expression for a column whose vectors an index holds, with a DefinitionError."""
        old = self._expressions.get(name)
        specs = [index.index_spec for index in self._indexes.values() if index.index_spec is not None]
        held = [spec.name for spec in specs if spec.vectors._column == name]
        if old is not None and held and expression_text(old) != expression_text(expr):
            msg = (
                f"{self._table!r}.{name}: it cannot be replaced, since the index {held[0]} holds its vectors, and is searched "
                "by the same function; begin again with Table(...), or give the new column another name"
            )
            raise DefinitionError(msg)

    def name_conflict(self, name: str) -> str | None:
        """What has that name already, as text for a message; None where no index has."""
        return "an embedding index added before" if name in self._indexes else None

    def add(
        self,
        column: ColumnRef,
        given: Embedders,
        *,
        idx_name: str | None,
        metric: Metric,
        if_exists: IfExists,
        columns: Sequence[str] | None,
        of_vectors: Mapping[str, Any],
        options: AssetOptions,
    ) -> EmbeddingIndex:
        """Adds an index over a column, or returns the one there is, as `if_exists` says.

        `of_vectors` are options of the column of vectors alone, if one is added; it has most of `options`, too. Raises
        DefinitionError.
        """
        name = idx_name or f"{column._column}_idx"
        where = f"{self._table!r}.{name}"
        check_metric(metric, where)
        check_names(self._attributes.row_key, where)
        check_if_exists(if_exists, where)
        check_asset_options(options, where, _OWN_OPTIONS)
        if name in self._indexes and if_exists == "ignore":
            return self._indexes[name]
        if name in self._indexes and if_exists == "error":
            msg = (
                f"{where}: there is an index of that name already; give another idx_name=, or if_exists='ignore' or "
                "'replace'"
            )
            raise DefinitionError(msg)
        if name not in self._indexes:
            self._table._check_name(name, column)
        replaced = self._indexes.pop(name, None)
        if replaced is not None and f"{name}_vectors" in self._expressions:
            self._table._remove_column(
                f"{name}_vectors"
            )  # it is added again below, unless the new index uses another column
            del self._expressions[f"{name}_vectors"]
        attributes = self._attributes
        mapping = options.get("partition_mapping")
        options_of_vectors = {
            **{option: value for option, value in options.items() if option not in _OF_INDEX_ALONE},
            **of_vectors,
            "partition_mapping": mapping if column._asset == attributes.key else None,
        }
        index = self._spec(column, name, given, metric, columns, where, options_of_vectors)
        spec = IndexAssetSpec(
            index=index,
            partitions_def=attributes.partitions_def,
            backfill_policy=attributes.backfill_policy_of(options.get("backfill_policy")),
            partition_mapping=mapping,
            pool=options.get("pool") or attributes.pool,
            retry_policy=options.get("retry_policy"),
            op_tags=options.get("op_tags") or {},
            attributes=attributes.asset_attributes(
                automation_condition=options.get("automation_condition"),
                freshness_policy=options.get("freshness_policy"),
                group_name=options.get("group_name"),
                owners=options.get("owners"),
                tags={"pxt/metric": metric, **(options.get("tags") or {})},
                description=_index_description(index, options.get("description")),
                kinds={"lancedb", *(options.get("kinds") or ())},
                metadata={
                    **metadata_of(index.table, name),
                    "dagster/storage_kind": "lancedb",
                    **(options.get("metadata") or {}),
                },
            ),
            resources=attributes.resources,
        )
        deps = further_deps(options.get("deps") or (), {*spec.inputs.values()}, index.key, where)
        self._indexes[name] = index_asset(replace(spec, deps=deps))
        return self._indexes[name]

    def _spec(
        self,
        column: ColumnRef,
        name: str,
        given: Embedders,
        metric: Metric,
        columns: Sequence[str] | None,
        where: str,
        of_vectors: Mapping[str, Any],
    ) -> IndexSpec:
        """The spec of an index; adds the column of its vectors where there is none."""
        embedder = _row_embedder(column, given, where)
        if embedder is None:
            vectors, space, given = self._vectors_and_space(column, given, where)
        else:
            vectors = self.vectors_of(column, embedder(column), f"{name}_vectors", **of_vectors)
            space = embedder.space
        return IndexSpec(
            key=dg.AssetKey([*self._attributes.key.path, name]),
            name=name,
            table=self._attributes.key,
            row_key=self._attributes.row_key,
            column=column,
            vectors=vectors,
            space=space,
            metric=metric,
            embedders=given,
            columns=None if columns is None else tuple(self._table[one] for one in columns),
            partitioned=self._attributes.partitions_def is not None,
            resource_key=self._attributes.resources.indexes,
        )

    def vectors_of(self, column: ColumnRef, call: Call, name: str, **options: Any) -> ColumnRef:
        """The computed column with the vectors of `call`; adds it as `name` unless there is one."""
        for known, expr in self._expressions.items():
            if isinstance(expr, Call) and expression_text(expr) == expression_text(call):
                return self._table[known]
        about = f"Vectors of `{column!r}` for searches by likeness."
        added: dict[str, Any] = {name: call, "description": about, **options}
        self._table.add_computed_column(**added)
        return self._table[name]

    def search_index(
        self,
        column: ColumnRef,
        query: Any,
        *,
        idx_name: str | None = None,
        indexes: Any = None,
        **options: Any,
    ) -> pa.Table:
        """The rows of the column's index that are nearest to a query. Raises SearchError."""
        from pxt_assets.index.embedding_indexes import EmbeddingIndexes, last_used_indexes

        spec = self._find_index_spec(column, idx_name)
        spec, resource = last_used_indexes(spec) if indexes is None else (spec, indexes)
        if not isinstance(resource, EmbeddingIndexes):
            msg = (
                f"{spec.label}: got indexes={type(resource).__name__}, allowed: an EmbeddingIndexes resource"
            )
            raise SearchError(msg)
        return resource.search(spec, query, **options)

    def _find_index_spec(self, column: ColumnRef, idx_name: str | None) -> IndexSpec:
        """The only index over a column, or the one of that name. Raises SearchError."""
        specs = [index.index_spec for index in self._indexes.values() if index.index_spec is not None]
        over = [spec for spec in specs if column._column in (spec.column._column, spec.vectors._column)]
        found = [spec for spec in over if idx_name in (None, spec.name)]
        if len(found) == 1:
            return found[0]
        if not over:
            have = ", ".join(spec.column._column for spec in specs) or "none"
            msg = f"{column!r} has no embedding index (columns that have one: {have}); add it by add_embedding_index"
        else:
            names = ", ".join(spec.name for spec in over)
            msg = f"{column!r} has the indexes {names}, got idx_name={idx_name!r}; name one of them"
        raise SearchError(msg)

    def _vectors_and_space(
        self, column: ColumnRef, given: Embedders, where: str
    ) -> tuple[ColumnRef, str, Embedders]:
        """A column of vectors to index as it is, its space, and the functions that embed queries into that space."""
        made_by = self._expressions.get(column._column)
        if not isinstance(made_by, Call):
            return column, repr(column), given
        space, own = space_of(made_by), _embedders_from_call(made_by)
        for embedder, by in ((given.text, own.text), (given.image, own.image)):
            if embedder is not None and by is not None and embedder.space != space:
                msg = (
                    f"{where}: the vectors of {column!r} were made by {made_by!r}, but queries would be embedded by "
                    f"{embedder!r}: scores would mean nothing; leave it out, or give the same function"
                )
                raise DefinitionError(msg)
        return column, space, Embedders(given.text or own.text, given.image or own.image)


def _index_description(index: IndexSpec, user_text: str | None) -> str:
    """Markdown: the user's description of the index, if any, and what it is over."""
    made = f"Index of `{index.column!r}` for searches by likeness ({index.metric}), over the vectors of `{index.vectors!r}`."
    return f"{user_text}\n\n{made}" if user_text else made


def _row_embedder(column: ColumnRef, given: Embedders, where: str) -> Embedder | None:
    """The function that embeds the column's texts or images; None for a column of vectors."""
    kind = column._type
    if kind is not None and issubclass(kind, Array):
        return None
    if kind is None:
        return given.text or given.image  # neither: it is a column of vectors from upstream
    if not issubclass(kind, String | Image):
        msg = (
            f"{where}: got {column!r}, which is {type_name(kind)}, allowed: a column of texts (String), images (Image) or "
            "vectors (Array)"
        )
        raise DefinitionError(msg)
    modality: Literal["text", "image"] = "image" if issubclass(kind, Image) else "text"
    embedder = given.for_modality(modality)
    if embedder is None:
        option = "string_embed" if modality == "text" else "image_embed"
        msg = (
            f"{where}: {column!r} holds {modality}s, for which no function was given; give embedding= or {option}= a function "
            f'that maps {modality}s to vectors, such as embeddings.using(model="text-embedding-3-small") for texts'
        )
        raise DefinitionError(msg)
    return embedder


def _embedders_from_call(call: Call) -> Embedders:
    """The functions that embed as a call does, if the text or image is the only input of the call."""
    inputs = [name for name, value in call._arguments.items() if isinstance(value, Expr)]
    function = call._function
    if len(inputs) != 1 or not isinstance(function, Function):
        return Embedders()
    fixed = {name: value for name, value in call._arguments.items() if name != inputs[0]}
    try:
        return embedders_from_options(function if function._fixed else function.using(**fixed), None, None)
    except DefinitionError:  # the function needs more than the query
        return Embedders()
