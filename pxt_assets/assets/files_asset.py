"""The asset of a table that is read from files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from pxt_assets.assets.declarations.file_partitions import FilePartitions
from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.declarations.table_attributes import column_types, key_columns, upstream_spec
from pxt_assets.assets.file_partitions.asked import COUNT_TAG
from pxt_assets.assets.file_partitions.partition_files import PartitionFiles, check_range
from pxt_assets.assets.page.files_page import Metadata, files_description, files_metadata, previewed
from pxt_assets.assets.step.grouped_asset import GroupedAsset, group_of_table
from pxt_assets.assets.step.invocation import is_direct
from pxt_assets.assets.step.kept_values import is_value_asked, keep_value_for_result, stored_value
from pxt_assets.assets.step.upstream_rows import step_partitions
from pxt_assets.errors import DefinitionError
from pxt_assets.files import check_pattern, check_text_options, media_columns, media_schema, read_files
from pxt_assets.storage.store import ColumnStore
from pxt_assets.values.types import Audio, ColumnType, Image

if TYPE_CHECKING:
    import pyarrow as pa


def files_asset(
    name: str,
    path: str,
    *,
    schema: Mapping[str, type[ColumnType]] | None,
    partitions_def: dg.PartitionsDefinition[Any] | None,
    encoding: str,
    separator: str | None,
    storage_options: Mapping[str, Any] | None,
    attributes: Mapping[str, Any],
    row_key: str | Sequence[str] | None = None,
    store_key: str = "columns",
    file_partitions: FilePartitions | None = None,
) -> dg.AssetsDefinition:
    """The asset `name`, its key as text, whose value is the rows of the files that `path` names, each partition read from its own files.

    `attributes` are its `description` and `group_name`; `row_key` is shown on its page. With `file_partitions` each partition
    is a file, or a group of files.

    Raises DefinitionError for a path that does not suit the partitions, for a schema that does not suit the files, and for
    an unknown encoding or separator.
    """
    schema = column_types(schema or {})
    key = upstream_spec(name).key
    check_pattern(path, partitions_def is not None, _dimension_names(partitions_def), schema)
    if file_partitions is not None:
        partitions_def = file_partitions.partitions_def
    check_text_options(path, encoding, separator)
    media_schema(path, schema)
    keys = key_columns(row_key)

    class PartitionRows(Mapping[str | None, "pa.RecordBatchReader"]):
        """The rows of each partition; its files are opened when it is read."""

        def __init__(
            self,
            partitions: list[str | None],
            show: Callable[[str | None, Metadata], None],
            files: PartitionFiles | None,
        ) -> None:
            self._partitions = partitions
            self._show = show
            self._files = files

        def __getitem__(self, partition: str | None) -> "pa.RecordBatchReader":
            if self._files is not None and partition is not None:
                rows = self._files.rows(partition, encoding, separator)
            else:
                rows = read_files(
                    path,
                    partition_key=partition,
                    dimensions=_dimension_keys(partitions_def, partition),
                    schema=schema,
                    encoding=encoding,
                    separator=separator,
                    storage_options=storage_options,
                )
            return previewed(rows, keys, partial(self._show, partition))

        def __iter__(self) -> Iterator[str | None]:
            return iter(self._partitions)

        def __len__(self) -> int:
            return len(self._partitions)

    known = [dg.TableColumn(name, arrow_type) for name, arrow_type in media_columns(path, schema) or ()]
    spec = dg.AssetSpec(
        key,
        partitions_def=partitions_def,
        kinds={"file"},
        description=files_description(path, schema, keys, attributes.get("description")),
        group_name=attributes.get("group_name"),
        metadata={
            **({"dagster/column_schema": dg.TableSchema(known)} if known else {}),
            **files_metadata(path, schema, keys, encoding=encoding, separator=separator),
        },
    )

    @dg.multi_asset(
        name=identifier(key),
        specs=[spec.with_io_manager_key(store_key)],
        backfill_policy=_backfill_policy(file_partitions) if partitions_def else None,
    )
    def files(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        now, partitions = context.assets_def.key, step_partitions(context)

        def show(partition: str | None, preview: Metadata) -> None:
            if not is_direct(context):
                context.add_asset_metadata(preview, asset_key=now, partition_key=partition)

        if file_partitions and not is_direct(context):
            check_range(partitions, context.run.tags.get(COUNT_TAG))
        store = getattr(context.resources, store_key, None)
        files = PartitionFiles(file_partitions, now, store, partitions) if file_partitions else None
        rows = PartitionRows(partitions, show, files)
        if is_direct(context):
            tables = {partition: reader.read_all() for partition, reader in rows.items()}
            value: Any = tables if len(tables) > 1 else tables[partitions[0]]
            yield dg.MaterializeResult(asset_key=now, value=value)
            return
        yield dg.MaterializeResult(asset_key=now, value=rows)
        if is_value_asked(context) and isinstance(store, ColumnStore):
            keep_value_for_result(context, now, stored_value(store, now, partitions))

    group = None if spec.group_name else group_of_table(key)
    return GroupedAsset(default_group=group, **files.get_attributes_dict())


def file_schema(
    path: str, schema: Mapping[str, type[ColumnType]] | None, key: str | Sequence[str] | None
) -> Mapping[str, type[ColumnType]]:
    """The types of columns that `schema` gives; of image or audio files the types of all columns.

    Raises DefinitionError for a key column that is the image or the audio itself.
    """
    declared = column_types(schema or {})
    types = media_schema(path, declared)
    for column in key_columns(key):
        if types is not declared and types.get(column) in (Image, Audio):  # of other files it may be text
            msg = f"got key={key!r}; the {column} itself cannot identify a row, but its file can: key='path'"
            raise DefinitionError(msg)
    return types


def _backfill_policy(files: FilePartitions | None) -> dg.BackfillPolicy:
    """One run, or, of files that are partitions, of which there may be very many, runs of bounded size."""
    return dg.BackfillPolicy.multi_run(files.per_run) if files else dg.BackfillPolicy.single_run()


def _dimension_names(partitions_def: dg.PartitionsDefinition[Any] | None) -> list[str]:
    if isinstance(partitions_def, dg.MultiPartitionsDefinition):
        return [dimension.name for dimension in partitions_def.partitions_defs]
    return []


def _dimension_keys(
    partitions_def: dg.PartitionsDefinition[Any] | None, partition: str | None
) -> dict[str, str]:
    """The key of each dimension, by its name, in a multi-dimensional partition key."""
    if partition is None or not isinstance(partitions_def, dg.MultiPartitionsDefinition):
        return {}
    return dict(partitions_def.get_partition_key_from_str(partition).keys_by_dimension)
