"""A table over the asset that reads its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pxt_assets.assets.declarations.file_partitions import file_partitions
from pxt_assets.assets.declarations.table_attributes import column_types, upstream_spec
from pxt_assets.assets.files_asset import file_schema, files_asset
from pxt_assets.assets.step.resource_keys import resource_keys_of
from pxt_assets.values.types import ColumnType

TableT = TypeVar("TableT")


def files_table(
    table_class: type[TableT],
    name: str,
    path: str,
    *,
    key: str | Sequence[str] | None,
    schema: Mapping[str, type[ColumnType]] | None,
    partitions_def: Any,
    partitions: object,
    partition_size: object,
    partitions_per_run: object,
    encoding: str,
    separator: str | None,
    storage_options: Mapping[str, Any] | None,
    group_name: str | None,
    description: str | None,
    resource_keys: Mapping[str, str] | None,
    **of_columns: Any,
) -> TableT:
    """What `Table.from_files` makes of its arguments; `of_columns` are those that hold for the columns. Raises DefinitionError."""
    declared = file_partitions(
        upstream_spec(name).key,
        path,
        column_types(schema or {}),
        storage_options,
        partitions=partitions,
        partition_size=partition_size,
        partitions_per_run=partitions_per_run,
        partitions_def=partitions_def,
    )
    source = files_asset(
        name,
        path,
        schema=schema,
        partitions_def=partitions_def,
        encoding=encoding,
        separator=separator,
        storage_options=storage_options,
        attributes={"group_name": group_name, "description": description},
        row_key=key,
        store_key=resource_keys_of(resource_keys).columns,
        file_partitions=declared,
    )
    typed = file_schema(path, schema, key)
    made: Any = table_class
    table = made(source, key=key, schema=typed, resource_keys=resource_keys, **of_columns)
    table._assets[source.key] = source
    table._columns.storage_options = dict(storage_options or {})
    table._file_partitions = declared
    return table  # type: ignore[no-any-return]
