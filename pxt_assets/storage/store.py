"""ColumnStore: one Parquet file per asset and partition, as a Dagster IO manager."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import ConfigDict, Field

from pxt_assets.api.environment import EnvironmentFields, resolve_env_vars
from pxt_assets.api.known_secrets import storage_secrets
from pxt_assets.errors import SourceError
from pxt_assets.storage.atomic_file import is_local
from pxt_assets.storage.contents import ContentsDigest
from pxt_assets.storage.context_location import (
    all_partitions_of,
    has_op_tag,
    is_op_output,
    key_of,
    partition_keys_of,
    type_of,
)
from pxt_assets.storage.layout import earlier_layout, sidecar_of, stored_file
from pxt_assets.storage.loading import load_as
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.storage.partition_events import record_partitions
from pxt_assets.storage.refusals import refusals_told
from pxt_assets.storage.rows import rows_of
from pxt_assets.storage.stored_schema import stored_schema
from pxt_assets.values.plain_types import plain_batch
from pxt_assets.values.scrubbed_errors import scrubbed_errors
from pxt_assets.values.types import schema_entries

if TYPE_CHECKING:
    import pyarrow as pa
    from upath import UPath

PROVENANCE_KEY = "pxt/provenance"
"""Metadata of an input that loads the provenance of a column's cells in place of the column."""
ALLOW_MISSING_KEY = "allow_missing_partitions"
"""Metadata of an input that leaves out partitions that are not stored, as for Dagster's UPathIOManager."""
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


def _file_names(partition_key: str) -> list[str]:
    """The names that a partition's file may have, see `ColumnStore.file`."""
    name = file_name(partition_key)
    return [f"{name}.parquet", *([f"%5F{name[1:]}.parquet"] if name.startswith("_") else [])]


class ColumnStore(EnvironmentFields, dg.ConfigurableIOManager):
    """Stores tables and computed columns as Parquet, one file per asset and partition.

    Example:
        ```python
        dg.Definitions(assets=[...], resources={"columns": ColumnStore(base_path="data")})
        ```

    Stores pa.Table, pandas.DataFrame, polars.DataFrame and LazyFrame, a list of dicts, a RecordBatchReader, a pyarrow
    dataset, or anything that exports an Arrow stream; for several partitions at once a dict of these by partition key.
    Loads as whichever of pa.Table (the default), pa.RecordBatchReader, pyarrow.dataset.Dataset (lazy), pandas.DataFrame,
    polars.DataFrame, polars.LazyFrame or list[dict] the downstream parameter is annotated with. Several partitions load
    as one table in partition order, or for `dict[str, pandas.DataFrame]` as one of each by its key. Where partitions may
    be missing, the input says so, as for Dagster's own IO managers: `AssetIn(metadata={"allow_missing_partitions": True})`
    leaves them out, with a warning in the log, and gives None for a single one, and a table without columns if all of
    several are missing.

    The folder `<base>/<table>/<column>` holds nothing but `*.parquet`, for whichever program opens it. All else (where
    cells come from, journals, locks) is in `<base>/.pxt_assets`.

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

    @property
    def root(self) -> UPath:
        """The folder that holds all files. Raises SourceError for an environment variable that is not set."""
        from upath import UPath

        base_path = resolve_env_vars(self.base_path, "base_path of the ColumnStore", SourceError)
        options = resolve_env_vars(
            self.storage_options or {}, "storage_options of the ColumnStore", SourceError
        )
        root: UPath = UPath(base_path, **options)
        return root

    def known_secrets(self) -> tuple[str, ...]:
        """What must not be shown of its URL and options: passwords, keys, tokens."""
        return storage_secrets(self.base_path, self.storage_options)

    def file(self, key: dg.AssetKey, partition_key: str | None = None) -> ParquetFile:
        """The file of an asset, or of one of its partitions, whether it exists or not.

        Each asset has a folder of its own, so that no partition's name can collide with another asset's.
        """
        folders = tuple(
            part if i == 0 and is_op_output(key) else file_name(part) for i, part in enumerate(key.path)
        )
        root, stem = self.root, file_name(partition_key or key.path[-1])
        stored = stored_file(root, folders, stem)
        if not stem.startswith("_") or stored.exists():  # earlier versions named it so
            return stored
        return stored_file(root, folders, f"%5F{stem[1:]}")  # readers of folders skip names that begin with _

    def stored_partitions(self, key: dg.AssetKey, partition_keys: Sequence[str]) -> list[str]:
        """Those of the partitions of an asset that are stored, in this order; their folder is listed once."""
        if not partition_keys:
            return []
        folder = self.file(key, partition_keys[0]).path.parent
        if not is_local(folder):
            folder.fs.invalidate_cache(folder.path)  # which lacks what other processes stored
        try:
            names = {path.name for path in folder.iterdir()}
        except FileNotFoundError:
            return []
        return [one for one in partition_keys if not names.isdisjoint(_file_names(one))] if names else []

    def provenance_of(self, key: dg.AssetKey, partition_key: str | None = None) -> pa.Table:
        """Where the cells of a computed column come from, a row for each distinct one; see ColumnStore.

        Raises SourceError if there is no such record: of a column that calls no function, or with provenance=False.
        """
        rows = self._provenance_file(key, partition_key).rows()
        return rows.table(rows.schema.names)

    def _provenance_file(self, key: dg.AssetKey, partition_key: str | None) -> ParquetFile:
        stored = self.file(key, partition_key)
        file = sidecar_of(stored)
        before = earlier_layout(stored)
        if before is not None and sidecar_of(before).exists():
            return sidecar_of(before)  # the next run of the column moves it
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
        with self._told_errors(context):
            self._store_partitions(context, obj)

    def _store_partitions(self, context: dg.OutputContext, obj: object) -> None:
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
        versioned = {}
        failures: list[SourceError] = []
        for key in tables:
            try:
                file, rows, contents = self._store(asset, key, tables[key])
            except SourceError as e:
                if len(keys) == 1:
                    raise
                failures.append(e)  # each partition stands for itself
                continue
            metadata = _file_metadata(file, rows, partitioned=key is not None)
            if key is None or len(keys) == 1:
                context.add_output_metadata(metadata)
                _set_data_version(context, contents)
            else:
                versioned[key] = metadata, dg.DataVersion(contents.hexdigest())
        if versioned and context._step_context is not None:  # outside of a run nothing is recorded
            record_partitions(context, versioned)
        if failures:
            failed = f"{len(failures)} of {len(keys)} partitions of {asset.to_user_string()} failed"
            msg = f"{failures[0]}\n{failed}; stored: {len(versioned)}."
            raise SourceError(msg) from failures[0]

    def _store(
        self, key: dg.AssetKey, partition_key: str | None, table: object
    ) -> tuple[ParquetFile, int, ContentsDigest]:
        import pyarrow as pa

        file = self.file(key, partition_key)
        contents = ContentsDigest()
        try:
            if isinstance(table, pa.RecordBatchReader):
                schema = stored_schema(table.schema)
                read = contents.pass_through(plain_batch(batch) for batch in table)
                return file, file.write(schema, read, {}), contents
            rows = rows_of(table)
            schema = stored_schema(rows.schema)
        except SourceError as e:
            where = f"{key.to_user_string()}{f'[{partition_key}]' if partition_key else ''}"
            msg = f"{where}: {e}"
            raise SourceError(msg) from e
        batches = contents.pass_through(rows.batches(rows.schema.names, _ROW_GROUP_ROWS))
        return file, file.write(schema, batches, {}), contents

    def load_input(self, context: dg.InputContext) -> object:
        """Loads a table as what the parameter is annotated with; None for a single partition that may be missing."""
        with self._told_errors(context):
            return self._load_partitions(context)

    @contextmanager
    def _told_errors(self, context: dg.InputContext | dg.OutputContext) -> Iterator[None]:
        """Within the block, errors hold no secret, and what the store refuses is a SourceError that says what to grant."""
        label = key_of(context).to_user_string()
        with scrubbed_errors(self.known_secrets()), refusals_told(lambda: self.root, label, SourceError):
            yield

    def _load_partitions(self, context: dg.InputContext) -> object:
        upstream = key_of(context)
        keys = self._stored_partitions(context, upstream) or partition_keys_of(context)
        python_type, label = type_of(context), upstream.to_user_string()
        files = {key: self.file(upstream, key) for key in keys}
        if context.has_asset_partitions and context.definition_metadata.get(ALLOW_MISSING_KEY):
            files = {key: file for key, file in files.items() if _exists(context, key, file)}
            if len(keys) == 1 and not files:
                return None
        if context.definition_metadata.get(PROVENANCE_KEY):
            sidecars = {key: self._provenance_file(upstream, key) for key in files}
            return load_as(python_type, sidecars, label)
        for key, file in files.items():
            if not file.exists():
                where = f"{upstream.to_user_string()}{f'[{key}]' if key else ''}"
                msg = f"{where} is not stored at {file.uri}; materialize it first"
                raise SourceError(msg)
        if has_op_tag(context, LAZY_TAG):
            return {key: file.rows() for key, file in files.items()}
        return load_as(python_type, files, label)

    def _stored_partitions(self, context: dg.InputContext, key: dg.AssetKey) -> list[str | None]:
        """All partitions that are stored, in order, for a context that asks for a partitioned asset as a whole."""
        return [*self.stored_partitions(key, all_partitions_of(context) or [])]


def _set_data_version(context: dg.OutputContext, contents: ContentsDigest) -> None:
    """Sets the data version to the digest of the contents, unless the asset set one: equal rows make nothing stale."""
    step = context._step_context
    if step is not None and context.has_asset_key and not step.has_data_version(context.asset_key):
        step.set_data_version(context.asset_key, dg.DataVersion(contents.hexdigest()))


def _exists(context: dg.InputContext, key: str | None, file: ParquetFile) -> bool:
    """Whether a partition that may be missing is stored; logs a warning otherwise, as Dagster's IO managers do."""
    found = file.exists()
    if not found:
        context.log.warning(
            f"{context.asset_key.to_user_string()}[{key}] is not stored at {file.uri}, and is left out because of "
            f"{ALLOW_MISSING_KEY} in the input's metadata"
        )
    return found


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
