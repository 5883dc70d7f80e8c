"""The factory of embedding indexes: an index as a Dagster asset."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
from dagster._utils.warnings import disable_dagster_warnings

from pxt_assets.assets.declarations.asset_options import op_tags_of
from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.indexes.index_asset_spec import ALL_ROWS_INDEXED, IndexAssetSpec
from pxt_assets.assets.step.asset_keys import index_with_keys, run_keys
from pxt_assets.assets.step.grouped_asset import group_of_table
from pxt_assets.assets.step.kept_values import step_store
from pxt_assets.assets.step.shown import (
    Result,
    errors_without_secrets,
    result_without_secrets,
    step_secrets,
)
from pxt_assets.assets.step.table_asset import TableAsset
from pxt_assets.errors import DefinitionError, SearchError
from pxt_assets.expressions.expr import Call, ColumnRef, Expr
from pxt_assets.index.lookup import EmbeddingLookup
from pxt_assets.index.spec import IndexSpec
from pxt_assets.values.types import Array, Image


class EmbeddingIndex(TableAsset):
    """The asset of an embedding index, which can be searched: what `tbl.add_embedding_index` gives.

    Example:
        ```python
        index = past.add_embedding_index(past.body, embedding=embeddings.using(model="text-embedding-3-small"))
        tbl.add_computed_column(context=index.search(tbl.question, k=5))
        ```
    """

    def __init__(self, *, index_spec: IndexSpec | None = None, **attributes: Any) -> None:
        super().__init__(**attributes)
        (key,) = self.node_keys_by_output_name.values()  # `key` is not there where only checks are selected
        self.index_spec = None if index_spec is None else _spec_with_key(index_spec, key)

    def get_attributes_dict(self) -> dict[str, Any]:
        return {**super().get_attributes_dict(), "index_spec": self.index_spec}

    def search(
        self,
        query: Expr,
        *,
        k: int = 10,
        where: str | None = None,
        columns: Sequence[str] | None = None,
        partition_key: str | Sequence[str] | None = None,
    ) -> Call:
        """For each row of a table the nearest rows of this index, as the expression of a computed column.

        Example:
            ```python
            tbl.add_computed_column(context=index.search(tbl.question, k=5, columns=["body", "reply"]))
            tbl.add_computed_column(response=chat_completions(prompt(tbl.context, tbl.question), model="gpt-6-luna"))
            ```

        Its cells are Json: a list of `{key columns, "score", columns}`, the nearest first. It needs the resource
        `indexes`, and depends on all partitions of the index: when what that holds changes, the rows are looked up anew.
        The texts or images of `query` are embedded by the index's function as a computed column of their own,
        `<column>_<index>_vectors`, unless the table has such a column: they are paid for once.

        Args:
            query: a column of texts, images, or vectors of the index's length.
            k: how many rows, at most.
            where: only among these rows: SQL over the columns that the index keeps.
            columns: columns that the index keeps to give besides the key; by default the one that is searched.
            partition_key: only among the rows of this partition of the index, or of these.

        Raises DefinitionError.
        """
        from pxt_assets.index.search import parse_search

        spec = self.index_spec
        if spec is None:
            msg = "this copy of the index knows nothing of what it holds; search what add_embedding_index returned"
            raise DefinitionError(msg)
        try:
            search = parse_search(spec.label, k, where, columns or (), partition_key)
        except SearchError as e:
            raise DefinitionError(str(e)) from e
        vectors = _query_vectors(spec, query)
        return Call(EmbeddingLookup(spec, search, columns, query=query), {"vector": vectors})


def _spec_with_key(spec: IndexSpec, key: dg.AssetKey) -> IndexSpec:
    """The spec of an index that has this key now."""
    if spec.key == key:
        return spec
    known = next((copy for copy in spec.copies if copy.key == key), None)
    if known is None:
        known = index_with_keys(spec, {spec.key: key})
        spec.copies.append(known)
    return known


def _query_vectors(spec: IndexSpec, query: Any) -> Expr:
    """The vectors to search for: `query` itself, or the column of its vectors. Raises DefinitionError."""
    if isinstance(query, Expr) and query._type is not None and issubclass(query._type, Array):
        return query
    if not isinstance(query, ColumnRef) or query._table_indexes is None:
        msg = (
            f"{spec.label}.search: got {type(query).__name__} {query!r:.60}, allowed: a column of a table, such as "
            "tbl.question (add a path as a computed column first); for a search right now there is tbl.column.similarity(...)"
        )
        raise DefinitionError(msg)
    images = query._type is not None and issubclass(query._type, Image)
    embedder = spec.embedders.for_modality("image" if images else "text")
    if query._type is None and spec.embedders.text is None:
        embedder = spec.embedders.image
    if embedder is None:
        msg = (
            f"{spec.label}.search: the index has no function that embeds {query!r}; give add_embedding_index "
            f"{'an image_embed=' if images else 'a string_embed='}, or search by a column of vectors"
        )
        raise DefinitionError(msg)
    return query._table_indexes.vectors_of(query, embedder(query), f"{query._column}_{spec.name}_vectors")


def index_asset(spec: IndexAssetSpec) -> EmbeddingIndex:
    """The asset that keeps an index up to date with its column, partition by partition."""
    index, inputs = spec.index, spec.inputs
    mapping = {index.table: spec.partition_mapping}
    asset_spec = dg.AssetSpec(
        index.key,
        deps=[
            *(dg.AssetDep(asset, partition_mapping=mapping.get(asset)) for asset in inputs.values()),
            *spec.deps,
        ],
        partitions_def=spec.partitions_def,
        code_version=spec.code_version,
        **spec.attributes,
    ).with_io_manager_key(spec.resources.columns)

    @dg.multi_asset(
        name=identifier(index.key),
        specs=[asset_spec],
        ins={name: dg.AssetIn(asset) for name, asset in inputs.items()},
        check_specs=[
            dg.AssetCheckSpec(
                ALL_ROWS_INDEXED,
                asset=index.key,
                description="Expects that every row can be found: none is without a vector.",
            )
        ],
        op_tags=op_tags_of(spec.op_tags, spec.resource_keys),
        retry_policy=spec.retry_policy,
        pool=spec.pool,
        backfill_policy=spec.backfill_policy,
        required_resource_keys=set(spec.resource_keys) - {spec.resources.columns},
    )
    def embedding_index(context: dg.AssetExecutionContext, **input_values: Any) -> Iterator[Result]:
        from pxt_assets.assets.indexes.index_materialize import IndexMaterialization

        spec_now = spec.with_keys(run_keys(embedding_index, context))
        secrets = step_secrets(context)
        with (
            errors_without_secrets(secrets),
            step_store(context, spec_now.index.key, spec.resources.columns) as kept,
        ):
            for result in IndexMaterialization(spec_now, context, input_values, kept.store).results():
                yield result_without_secrets(result, secrets)

    group = None if spec.attributes.get("group_name") else group_of_table(index.table)
    with disable_dagster_warnings():  # that it is beta: there is nothing for a user to decide
        return EmbeddingIndex(index_spec=index, default_group=group, **embedding_index.get_attributes_dict())
