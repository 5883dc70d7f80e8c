"""ColumnStore: one Parquet file per asset and partition, as a Dagster IO manager."""

from __future__ import annotations

import hashlib
import re
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import ConfigDict, Field

from pxt_assets.errors import CellError, SourceError
from pxt_assets.storage.contents import ContentsDigest
from pxt_assets.storage.context_location import (
    all_partitions_of,
    has_op_tag,
    is_op_output,
    key_of,
    partition_keys_of,
    record_partition,
    type_of,
)
from pxt_assets.storage.parquet import ParquetFile, sidecar_of
from pxt_assets.storage.rows import concat_rows, rows_of
from pxt_assets.values.conversion import to_user_values
from pxt_assets.values.types import schema_entries

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds

PROVENANCE_KEY = "pxt/provenance"
"""Metadata of an input that loads the provenance of a column's cells in place of the column."""
LAZY_TAG = "pxt_assets/lazy"
"""Op tag of a computed column: its upstreams are loaded unread, as `{partition key: Rows}`."""

_ROW_GROUP_ROWS = 10_000
_MAX_NAME = 150


def file_name(text: str) -> str:
    """A partition key or asset name as a file name: other characters than letters, digits, - and _ as %XX.

    Names over 150 characters are cut and end in a digest, since file systems allow 255 bytes.
    """
    quoted = re.sub(r"[^A-Za-z0-9_-]", lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), text)
    if len(quoted) <= _MAX_NAME:
        return quoted
    return f"{quoted[:_MAX_NAME]}%{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


class ColumnStore(dg.ConfigurableIOManager):
    """Stores tables and computed columns as Parquet, one file per asset and partition.

    Example:
        ```python
        dg.Definitions(assets=[...], resources={"columns": ColumnStore(base_path="data")})
        ```

    Stores pa.Table, pandas.DataFrame, a list of dicts, a RecordBatchReader or a pyarrow dataset; for several
    partitions at once a dict of these by partition key. Loads as whichever of pa.Table (the default),
    pandas.DataFrame, pyarrow.dataset.Dataset (lazy) or list the downstream parameter is annotated with; several
    partitions load as one table in partition order.

    Where the cells of a computed column come from (`digest` as in the column's `_digest`, request id, model snapshot,
    tokens, cost in US dollars, latency in seconds, attempts, run id, time) is loaded by an input that asks for it:

        ```python
        @dg.asset(ins={"answers": dg.AssetIn(["tickets", "response"], metadata={"pxt/provenance": True})})
        def spending(answers: pd.DataFrame) -> ...
        ```

    or outside of Dagster by `store.provenance_of(dg.AssetKey(["tickets", "response"]), "2027-03-01")`.

    `defs.load_asset_value(key)` without a partition loads all that are stored. Outputs of ops, which are no assets, lie
    below `.ops`, by run, step and name.

    Raises SourceError for a value that is no table, and for a partition that was never materialized.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # storage_options may hold secrets

    base_path: str = Field(description="Folder or fsspec URL (s3://, gs://, memory://) that holds all files.")
    storage_options: dict[str, Any] | None = Field(
        default=None, description="Options of the fsspec file system, such as credentials."
    )
    provenance: bool = Field(
        default=True,
        description="Whether a file beside each computed column says of every cell which request it comes from, what "
        "that cost, and when.",
    )

    @classmethod
    def _is_dagster_maintained(cls) -> bool:
        return False

    def file(self, key: dg.AssetKey, partition_key: str | None = None) -> ParquetFile:
        """The file of an asset, or of one of its partitions, whether it exists or not.

        Each asset has a folder of its own, so that no partition's name can collide with another asset's.
        """
        from upath import UPath

        folder = UPath(self.base_path, **resolve_env_vars(self.storage_options or {}))
        for i, part in enumerate(key.path):
            folder /= part if i == 0 and is_op_output(key) else file_name(part)
        return ParquetFile(folder / f"{file_name(partition_key or key.path[-1])}.parquet")

    def provenance_of(self, key: dg.AssetKey, partition_key: str | None = None) -> pa.Table:
        """Where the cells of a computed column come from, a row for each distinct one; see ColumnStore.

        Raises SourceError if there is no such record: of a column that calls no function, or with provenance=False.
        """
        return _table([self._provenance_file(key, partition_key)])

    def _provenance_file(self, key: dg.AssetKey, partition_key: str | None) -> ParquetFile:
        file = sidecar_of(self.file(key, partition_key))
        if not file.exists():
            where = f"{key.to_user_string()}{f'[{partition_key}]' if partition_key else ''}"
            msg = (
                f"{where}: no record of where its cells come from is stored at {file.uri}; computed columns that call "
                "functions have one once they are materialized, unless the ColumnStore has provenance=False"
            )
            raise SourceError(msg)
        return file

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Stores a table, one file per partition."""
        asset, keys = key_of(context), partition_keys_of(context)
        if len(keys) > 1:
            tables = obj if isinstance(obj, Mapping) else {}
            if set(tables) != set(keys):
                msg = (
                    f"{asset.to_user_string()}: got {_type_text(obj)} for {len(keys)} partitions, "
                    "allowed: a dict of tables by partition key"
                )
                raise SourceError(msg)
        else:
            tables = obj if isinstance(obj, Mapping) and set(obj) == set(keys) else {keys[0]: obj}
        stored = {key: self._store(asset, key, tables[key]) for key in keys}
        for key, (file, rows, contents) in stored.items():
            metadata = _file_metadata(file, rows, partitioned=key is not None)
            if key is None or len(keys) == 1:
                context.add_output_metadata(metadata)
                _set_data_version(context, contents)
            else:
                record_partition(context, key, metadata)  # one event a partition, each with its own figures

    def _store(
        self, key: dg.AssetKey, partition_key: str | None, table: object
    ) -> tuple[ParquetFile, int, ContentsDigest]:
        import pyarrow as pa

        file = self.file(key, partition_key)
        contents = ContentsDigest()
        try:
            if isinstance(table, pa.RecordBatchReader):
                return file, file.write(table.schema, contents.pass_through(table), {}), contents
            rows = rows_of(table)
        except SourceError as e:
            where = f"{key.to_user_string()}{f'[{partition_key}]' if partition_key else ''}"
            msg = f"{where}: {e}"
            raise SourceError(msg) from e
        batches = contents.pass_through(rows.batches(rows.schema.names, _ROW_GROUP_ROWS))
        return file, file.write(rows.schema, batches, {}), contents

    def load_input(self, context: dg.InputContext) -> object:
        """Loads a table as what the parameter is annotated with."""
        upstream = key_of(context)
        keys = self._stored_partitions(context, upstream) or partition_keys_of(context)
        python_type = type_of(context)
        if context.definition_metadata.get(PROVENANCE_KEY):
            sidecars = [self._provenance_file(upstream, key) for key in keys]
            return load_as(python_type, sidecars)
        lazy = has_op_tag(context, LAZY_TAG)
        if lazy and _runs_only_checks(context):
            return {}
        files = {key: self.file(upstream, key) for key in keys}
        for key, file in files.items():
            if not file.exists():
                where = f"{upstream.to_user_string()}{f'[{key}]' if key else ''}"
                msg = f"{where} is not stored at {file.uri}; materialize it first"
                raise SourceError(msg)
        if lazy:
            return {key: file.rows() for key, file in files.items()}
        return load_as(python_type, [*files.values()])

    def _stored_partitions(self, context: dg.InputContext, key: dg.AssetKey) -> list[str | None]:
        """All partitions that are stored, in order, for a context that asks for a partitioned asset as a whole."""
        asked = all_partitions_of(context)
        folder = None if not asked else self.file(key, asked[0]).path.parent
        if folder is None or not asked or not folder.exists():
            return []
        names = {path.name for path in folder.iterdir()}
        return [one for one in asked if self.file(key, one).path.name in names]


def resolve_env_vars(value: Any, resource: str = "ColumnStore") -> Any:
    """Options with each EnvVar replaced by its value, which Dagster does for plain fields only. Raises SourceError."""
    is_env_var = value.keys() == {"env"} if isinstance(value, Mapping) else isinstance(value, dg.EnvVar)
    if is_env_var:
        variable = value if isinstance(value, dg.EnvVar) else dg.EnvVar(value["env"])
        found = variable.get_value()
        if found is None:
            msg = f"storage_options of the {resource}: the environment variable {variable.env_var_name} is not set"
            raise SourceError(msg)
        return found
    if isinstance(value, Mapping):
        return {name: resolve_env_vars(option, resource) for name, option in value.items()}
    return value


def _set_data_version(context: dg.OutputContext, contents: ContentsDigest) -> None:
    """Sets the data version to the digest of the contents, unless the asset set one: equal rows make nothing stale."""
    step = context._step_context
    if step is not None and context.has_asset_key and not step.has_data_version(context.asset_key):
        step.set_data_version(context.asset_key, dg.DataVersion(contents.hexdigest()))


def _runs_only_checks(context: dg.InputContext) -> bool:
    """Whether the reading step only evaluates checks of its asset."""
    step = context.step_context
    selected = step.job_def.asset_layer.get_selected_entity_keys_for_node(step.node_handle)
    return not any(isinstance(key, dg.AssetKey) for key in selected)


def load_as(python_type: object, files: Sequence[ParquetFile]) -> object:
    """Files as one pa.Table, pandas.DataFrame, dataset or list of dicts, as `python_type` asks."""
    name = getattr(typing.get_origin(python_type) or python_type, "__name__", "")
    module = getattr(python_type, "__module__", "").partition(".")[0]
    if name == "DataFrame" and module == "pandas":
        return to_pandas(_table(files))
    if name == "Dataset" and module == "pyarrow":
        return _dataset(files)
    if name == "list":
        table = _table(files)
        columns = [
            column.to_pylist() if (values := _user_values(table, i)) is None else values
            for i, column in enumerate(table.columns)
        ]
        return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]
    return _table(files)


def _table(files: Sequence[ParquetFile]) -> pa.Table:
    rows = concat_rows([file.rows() for file in files])
    return rows.table(rows.schema.names)


def _dataset(files: Sequence[ParquetFile]) -> ds.Dataset:
    import pyarrow.dataset as ds

    paths = [file.path for file in files]
    schema = concat_rows([file.rows() for file in files]).schema
    return ds.dataset([path.path for path in paths], schema, format="parquet", filesystem=paths[0].fs)


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """A table as a DataFrame: Json cells as Python objects, images as PIL images, the rest as pandas has it."""
    import pandas as pd

    values_of = {i: _user_values(table, i) for i in range(table.num_columns)}
    converted = {i: values for i, values in values_of.items() if values is not None}
    frame: pd.DataFrame = table.drop_columns([table.column_names[i] for i in converted]).to_pandas()
    for i, values in converted.items():
        frame.insert(i, table.column_names[i], pd.Series(values, dtype=object, index=frame.index))
    return frame


def _user_values(table: pa.Table, i: int) -> list[Any] | None:
    try:
        return to_user_values(table.column(i), table.schema.field(i))
    except CellError as e:
        msg = f"column {table.column_names[i]!r}: {e.message}"
        raise SourceError(msg) from e


def _file_metadata(file: ParquetFile, rows: int, *, partitioned: bool) -> dict[str, Any]:
    count = "dagster/partition_row_count" if partitioned else "dagster/row_count"
    return {
        count: rows,
        "dagster/uri": file.uri,
        "dagster/size_bytes": file.size_bytes,
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, kind) for name, kind in schema_entries(file.schema)]
        ),
    }


def _type_text(value: object) -> str:
    if isinstance(value, Mapping):
        return f"a dict with the keys {sorted(map(str, value))[:5]}"
    return type(value).__name__
