"""The columns of a table: what is known of them, and how a computed one is declared as an asset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from pxt_assets.assets.columns.column_asset import column_asset
from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.assets.declarations.checks import Checks
from pxt_assets.assets.declarations.known_columns import KnownColumns
from pxt_assets.assets.declarations.table_attributes import TableAttributes
from pxt_assets.assets.declarations.validation import OnError, check_options
from pxt_assets.assets.page.description import description_of, kinds_of, metadata_of, tags_of
from pxt_assets.assets.page.lineage import ColumnNode, column_node
from pxt_assets.expressions.expr import ColumnIndexes, ColumnRef
from pxt_assets.expressions.walk import type_of


class TableColumns:
    """The columns of one table; `table_indexes` is the table's indexes, through which its columns are searched.

    Raises UnknownColumnError for a key column, or a column of the schema, that the upstream is known not to have.
    """

    def __init__(self, table: TableAttributes, table_indexes: ColumnIndexes) -> None:
        self.known = KnownColumns(
            table.key, table.row_key, table.schema, table.upstream_columns, table_indexes=table_indexes
        )
        self.storage_options: Mapping[str, Any] = {}
        """Options of the fsspec file systems that hold the table's images and sounds."""
        self._table = table
        self._table_indexes = table_indexes
        self._nodes: dict[str, ColumnNode] = {}

    def add(
        self,
        name: str,
        expr: object,
        *,
        on_error: OnError,
        partition_mapping: dg.PartitionMapping | None,
        checks: Checks,
        max_cost_usd: float | None,
        pool: str | None,
        tags: Mapping[str, str] | None,
        description: str | None,
        **attributes: Any,
    ) -> dg.AssetsDefinition:
        """Adds a computed column and returns its asset; `attributes` are further ones of the asset.

        Raises DefinitionError for options that the column has no use for.
        """
        table = self._table
        where = f"Table({table.key.to_user_string()!r}).{name}"
        check_options(where, expr, table.key, on_error, partition_mapping, checks, max_cost_usd)
        column_type, shape = type_of(expr)
        key = self._asset_key(name)
        node = column_node(".".join(table.key.path), name, expr, self._nodes)
        spec = ColumnSpec(
            key=key,
            name=name,
            expr=expr,
            column_type=column_type,
            table=table.key,
            row_key=table.row_key,
            partitions_def=table.partitions_def,
            backfill_policy=table.backfill_policy,
            on_error=on_error,
            partition_mapping=partition_mapping,
            checks=checks,
            max_cost_usd=max_cost_usd,
            storage_options=self.storage_options,
            pool=pool or table.pool,
            lineage=node,
            attributes=table.asset_attributes(
                tags={**tags_of(expr), **(tags or {})},
                description=description_of(expr, description),
                kinds=kinds_of(expr),
                metadata=metadata_of(table.key, name),
                **attributes,
            ),
            resources=table.resources,
        )
        asset = column_asset(spec)  # of options that Dagster refuses no column comes to be
        self.known.add(ColumnRef(table.key, key, name, column_type, shape, table_indexes=self._table_indexes))
        self._nodes[name] = node
        return asset

    def remove(self, name: str) -> dg.AssetKey:
        """Removes a computed column and returns its asset's key."""
        self.known.remove(name)
        del self._nodes[name]
        return self._asset_key(name)

    def _asset_key(self, name: str) -> dg.AssetKey:
        return dg.AssetKey([*self._table.key.path, name])
