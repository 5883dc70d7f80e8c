"""The columns of a table: what is known of them, and how a computed one is declared as an asset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dagster as dg

from pxt_assets.assets.columns.column_asset import column_asset
from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.assets.declarations.asset_options import (
    AssetOptions,
    IfExists,
    check_asset_options,
    check_if_exists,
    further_deps,
)
from pxt_assets.assets.declarations.checks import Checks
from pxt_assets.assets.declarations.known_columns import KnownColumns
from pxt_assets.assets.declarations.label_columns import label_columns
from pxt_assets.assets.declarations.table_attributes import TableAttributes
from pxt_assets.assets.declarations.validation import Cache, OnError, check_options
from pxt_assets.assets.declarations.within import GivenWithin, column_within, within_tags
from pxt_assets.assets.page.description import description_of, kinds_of, metadata_of, schemas_of, tags_of
from pxt_assets.assets.page.lineage import ColumnNode, column_node
from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.expr import ColumnIndexes, ColumnRef
from pxt_assets.expressions.walk import references, type_of


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
        self._specs: dict[str, ColumnSpec] = {}

    def check_exists(self, name: str, if_exists: IfExists) -> bool:
        """Whether there is a computed column of that name. Raises DefinitionError where there must be none."""
        check_if_exists(if_exists, f"{self._label}.{name}")
        exists = name in self.known.computed
        if exists and if_exists == "error":
            msg = (
                f"{self._label}: {name!r} is a computed column added before; choose another name, or give if_exists='replace' "
                "or 'ignore'"
            )
            raise DefinitionError(msg)
        return exists

    def add(
        self,
        name: str,
        expr: object,
        *,
        on_error: OnError,
        checks: Checks,
        cache: Cache,
        max_cost_usd: float | None,
        within: GivenWithin,
        options: AssetOptions,
    ) -> list[dg.AssetsDefinition]:
        """Adds a computed column, or replaces the one of that name.

        Returns its asset, and those of columns made of it, whose lineage tells of it. Raises DefinitionError for options
        that the column has no use for, and for a replacement that what is made of the old column cannot take.
        """
        table = self._table
        where = f"{self._label}.{name}"
        check_asset_options(options, where)
        partition_mapping = options.get("partition_mapping")
        check_options(where, expr, table.key, on_error, partition_mapping, checks, max_cost_usd, cache)
        labels = label_columns(name, expr, checks, self.known.ref, where)
        within_now = column_within(expr, within, table.within, where)
        column_type, shape = type_of(expr)
        key = self._asset_key(name)
        ref = ColumnRef(table.key, key, name, column_type, shape, table_indexes=self._table_indexes)
        dependents = self._check_replacement(name, expr, ref) if name in self._specs else []
        node = column_node(table.key, name, expr, self._nodes)
        spec = ColumnSpec(
            key=key,
            name=name,
            expr=expr,
            column_type=column_type,
            table=table.key,
            row_key=table.row_key,
            partitions_def=table.partitions_def,
            backfill_policy=table.backfill_policy_of(options.get("backfill_policy")),
            on_error=on_error,
            partition_mapping=partition_mapping,
            checks=checks,
            labels=labels,
            cache=cache,
            max_cost_usd=max_cost_usd,
            within=within_now,
            collector=table.collector,
            storage_options=self.storage_options,
            pool=options.get("pool") or table.pool,
            retry_policy=options.get("retry_policy"),
            op_tags=options.get("op_tags") or {},
            lineage=node,
            attributes=table.asset_attributes(
                tags={**tags_of(expr), **within_tags(within_now), **(options.get("tags") or {})},
                description=description_of(expr, table.key, options.get("description")),
                kinds=kinds_of(expr) | set(options.get("kinds") or ()),
                metadata={
                    **metadata_of(table.key, name),
                    **schemas_of(expr),
                    **(options.get("metadata") or {}),
                },
                automation_condition=options.get("automation_condition"),
                freshness_policy=options.get("freshness_policy"),
                group_name=options.get("group_name"),
                owners=options.get("owners"),
            ),
            resources=table.resources,
        )
        read = {*spec.inputs.values(), *(index.key for index in spec.indexes)}
        spec = replace(spec, deps=further_deps(options.get("deps") or (), read, key, where))
        asset = column_asset(spec)  # of options that Dagster refuses no column comes to be
        self.known.add(ref)
        self._nodes[name] = node
        self._specs[name] = spec
        return [asset, *(self._with_new_lineage(dependent) for dependent in dependents)]

    def _with_new_lineage(self, name: str) -> dg.AssetsDefinition:
        """The asset of a column after one that it is made of was replaced."""
        spec = self._specs[name]
        self._nodes[name] = column_node(spec.table, name, spec.expr, self._nodes)
        self._specs[name] = replace(spec, lineage=self._nodes[name])
        return column_asset(self._specs[name])

    def _check_replacement(self, name: str, expr: object, new: ColumnRef) -> list[str]:
        """The columns that are made of a column, in their order. Raises DefinitionError if it cannot become `expr`."""
        where = f"{self._label}.{name}"
        made_of_it = {name: None}
        for other, spec in self._specs.items():
            if any(ref._column in made_of_it for ref in self._computed_in(spec.expr)):
                made_of_it[other] = None
        circle = [ref._column for ref in self._computed_in(expr) if ref._column in made_of_it]
        dependents = [other for other in made_of_it if other != name]
        if circle:
            msg = (
                f"{where}: it cannot be replaced by what is made of {circle[0]!r}, since that is "
                f"{'the column itself' if circle[0] == name else 'made of it'}; give the new column another name"
            )
            raise DefinitionError(msg)
        old = self.known.ref(name)
        if dependents and (old._type, old._shape) != (new._type, new._shape):
            msg = (
                f"{where}: it cannot be replaced by a column of another type or form of answers, since {', '.join(dependents)} "
                "read it as it is; begin again with Table(...), or give the new column another name"
            )
            raise DefinitionError(msg)
        return dependents

    def _computed_in(self, expr: object) -> list[ColumnRef]:
        """The computed columns of this table that an expression reads."""
        return [ref for ref in references(expr) if ref._asset != self._table.key]

    @property
    def specs(self) -> Mapping[dg.AssetKey, ColumnSpec]:
        """The computed columns by the keys of their assets."""
        return {spec.key: spec for spec in self._specs.values()}

    @property
    def _label(self) -> str:
        return f"Table({self._table.key.to_user_string()!r})"

    def remove(self, name: str) -> dg.AssetKey:
        """Removes a computed column and returns its asset's key."""
        self.known.remove(name)
        del self._nodes[name], self._specs[name]
        return self._asset_key(name)

    def _asset_key(self, name: str) -> dg.AssetKey:
        return dg.AssetKey([*self._table.key.path, name])
