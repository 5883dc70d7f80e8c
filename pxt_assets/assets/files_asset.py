"""The asset of a table that is read from files."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.step.upstream_rows import step_partitions
from pxt_assets.files import check_pattern, media_columns, media_schema, read_files
from pxt_assets.values.types import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa


def files_asset(
    key: dg.AssetKey,
    path: str,
    *,
    schema: Mapping[str, type[ColumnType]],
    partitions_def: dg.PartitionsDefinition[Any] | None,
    encoding: str,
    storage_options: Mapping[str, Any] | None,
    attributes: Mapping[str, Any],
    store_key: str = "columns",
) -> dg.AssetsDefinition:
    """An asset whose value is the rows of the files that `path` names, each partition's of its own files.

    Raises DefinitionError for a path that does not suit the partitions, and for a schema that does not suit the files.
    """
    check_pattern(path, partitions_def is not None, _dimension_names(partitions_def), schema)
    media_schema(path, schema)

    class Partitions(Mapping[str | None, "pa.RecordBatchReader"]):
        """Each partition's rows, its files opened when its turn comes."""

        def __init__(self, keys: list[str | None]) -> None:
            self._keys = keys

        def __getitem__(self, partition: str | None) -> "pa.RecordBatchReader":
            return read_files(
                path,
                partition_key=partition,
                dimensions=_dimension_keys(partitions_def, partition),
                schema=schema,
                encoding=encoding,
                storage_options=storage_options,
            )

        def __iter__(self) -> Iterator[str | None]:
            return iter(self._keys)

        def __len__(self) -> int:
            return len(self._keys)

    metadata = {}
    if columns := media_columns(path, schema):
        known = [dg.TableColumn(name, arrow_type) for name, arrow_type in columns]
        metadata["dagster/column_schema"] = dg.TableSchema(known)
    spec = dg.AssetSpec(key, partitions_def=partitions_def, kinds={"file"}, metadata=metadata, **attributes)

    @dg.multi_asset(
        name=identifier(key),
        specs=[spec.with_io_manager_key(store_key)],
        backfill_policy=dg.BackfillPolicy.single_run() if partitions_def else None,
    )
    def files(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(asset_key=key, value=Partitions(step_partitions(context)))

    return files


def _dimension_names(partitions_def: dg.PartitionsDefinition[Any] | None) -> list[str]:
    if isinstance(partitions_def, dg.MultiPartitionsDefinition):
        return [dimension.name for dimension in partitions_def.partitions_defs]
    return []


def _dimension_keys(
    partitions_def: dg.PartitionsDefinition[Any] | None, partition: str | None
) -> dict[str, str]:
    """A multi-dimensional key's part of each dimension."""
    if partition is None or not isinstance(partitions_def, dg.MultiPartitionsDefinition):
        return {}
    return dict(partitions_def.get_partition_key_from_str(partition).keys_by_dimension)
