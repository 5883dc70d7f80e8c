"""One Parquet file of a store: read in batches, replaced in one atomic step."""

from __future__ import annotations

import contextlib
import errno
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import SourceError
from pxt_assets.storage.atomic_file import is_local, replace_atomically
from pxt_assets.storage.batches import BATCH_BYTES
from pxt_assets.storage.huggingface import add_huggingface_features
from pxt_assets.storage.provenance import answering_servers
from pxt_assets.storage.rows import Rows
from pxt_assets.values.types import has_media

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from upath import UPath

_METADATA_KEY = b"pxt_assets"
_END_KEY_PREFIX = "pxt_assets."
_BUFFER_BYTES = 2**20
_VERSION_FIELDS = (
    "ETag",
    "etag",
    "generation",
    "size",
    "mtime",
    "LastModified",
    "last_modified",
    "updated",
    "modified",
    "created",
)
"""The fields of a file system's listing that differ once an object is replaced by another."""

Version = tuple[Any, ...]
"""Differs once a file is replaced by another."""


def _dictionary_columns(schema: pa.Schema) -> list[str]:
    """The columns to encode with dictionaries: not vectors, whose numbers hardly repeat, as that takes memory and time."""
    import pyarrow as pa

    lists = (pa.types.is_list, pa.types.is_fixed_size_list, pa.types.is_large_list)
    return [field.name for field in schema if not any(is_one(field.type) for is_one in lists)]


def _values_a_write(schema: pa.Schema) -> int:
    """After how many values the writer looks whether a page is full: its own default, fewer where each may be megabytes."""
    return 4 if any(has_media(field.type) for field in schema if field.name != "_digest") else 1_024


@dataclass(frozen=True)
class _FileHead:
    """A file's schema, metadata and version, read without its rows."""

    schema: pa.Schema
    num_rows: int
    metadata: Mapping[bytes, bytes]
    version: Version


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file at a local path or fsspec URL, which may not exist yet."""

    path: UPath
    companions: UPath | None = None
    """The folder of what belongs to the file and is no part of the table; see `storage/layout.py`."""

    def reopened(self) -> ParquetFile:
        """The same file as it is now."""
        return replace(self)

    def exists(self) -> bool:
        """Whether there is such a file."""
        self._forget_listings()
        return bool(self.path.exists())

    @property
    def uri(self) -> str:
        """The absolute path or URL, without the credentials of the store."""
        if is_local(self.path):
            return str(Path(self.path.path).absolute())
        return re.sub(r"://[^/@]*:[^/@]*@", "://", self.path.as_uri())

    @property
    def size_bytes(self) -> int:
        """The file's size."""
        self._forget_listings()
        return int(self.path.stat().st_size)

    @contextlib.contextmanager
    def open(self, version: Version | None = None) -> Iterator[pq.ParquetFile]:
        """The open file. Raises FileNotFoundError, and SourceError for one that is broken.

        With `version`, raises SourceError if the file was replaced since.
        """
        with self.open_raw(version) as (source, _), self.parquet_reader(source) as parquet:
            yield parquet

    @contextlib.contextmanager
    def open_raw(self, version: Version | None = None) -> Iterator[tuple[Any, Version]]:
        """The open file, unparsed, and its version; on a local disk several readers may share it. Raises as `open`."""
        with contextlib.ExitStack() as stack:
            try:
                source, found = stack.enter_context(
                    self._open_local() if is_local(self.path) else self._open_remote()
                )
            except FileNotFoundError as e:
                if version is None:
                    raise
                raise self._replaced_error() from e
            if version not in (None, found):
                raise self._replaced_error()
            try:
                yield source, found
            except OSError as e:
                if version is None or e.errno != errno.EBUSY:
                    raise
                raise self._replaced_error() from e

    @contextlib.contextmanager
    def _open_local(self) -> Iterator[tuple[Any, Version]]:
        import pyarrow as pa

        def version() -> Version:
            status = Path(self.path.path).stat()
            return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

        while True:
            before = version()
            with pa.OSFile(self.path.path) as source:
                if version() == before:
                    yield source, before
                    return

    @contextlib.contextmanager
    def _open_remote(self) -> Iterator[tuple[Any, Version]]:
        self._forget_listings()
        fs = self.path.fs
        with fs.open(self.path.path, "rb") as source:
            details = getattr(source, "details", None) or fs.info(self.path.path)
            yield source, tuple(str(details.get(name)) for name in _VERSION_FIELDS)

    def _forget_listings(self) -> None:
        """Drops the file system's cached listing, which lacks the files that other processes stored."""
        if not is_local(self.path):
            self.path.fs.invalidate_cache(self.path.parent.path)

    def _replaced_error(self) -> SourceError:
        return SourceError(
            f"{self.uri} was materialized meanwhile; materialize again (what is finished is kept)"
        )

    def parquet_reader(self, source: Any) -> pq.ParquetFile:
        """A reader of the open file. Raises SourceError for a broken one."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(source, buffer_size=_BUFFER_BYTES)
        except pa.ArrowInvalid as e:
            msg = f"{self.uri} is no Parquet file that can be read ({e}); remove it and materialize again"
            raise SourceError(msg) from e

    @cached_property
    def _head(self) -> _FileHead:
        try:
            return self._read_head()
        except OSError as e:
            if e.errno != errno.EBUSY:
                raise
            return self._read_head()  # an object that was replaced between its opening and its reading

    def _read_head(self) -> _FileHead:
        with self.open_raw() as (source, version), self.parquet_reader(source) as parquet:
            metadata = parquet.metadata.metadata or {}
            return _FileHead(parquet.schema_arrow, parquet.metadata.num_rows, metadata, version)

    @property
    def version(self) -> Version:
        """The version that was read."""
        return self._head.version

    @property
    def schema(self) -> pa.Schema:
        """The columns and their types."""
        return self._head.schema

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self._head.num_rows

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata that `write` was given, `{}` for a file of another program."""
        stored = self._head.metadata
        text = stored.get(_METADATA_KEY)
        final = {
            key.decode().removeprefix(_END_KEY_PREFIX): value.decode()
            for key, value in stored.items()
            if key.startswith(_END_KEY_PREFIX.encode())
        }
        return {**(json.loads(text) if text else {}), **final}

    def rows(self) -> Rows:
        """The rows of the current version, read when they are needed."""
        return StoredRows(self)

    def write(
        self,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch | pa.Table],
        metadata: Mapping[str, Any],
        final_metadata: Callable[[], Mapping[str, str]] | None = None,
    ) -> int:
        """Replaces the file in one step, one row group a batch; returns the number of rows.

        `final_metadata` gives more metadata once all batches are read. If `batches` raises, the file stays as it was.
        """
        import pyarrow.parquet as pq

        encoded = {_METADATA_KEY: json.dumps(dict(metadata), sort_keys=True).encode()}
        full_schema = add_huggingface_features(schema.with_metadata({**(schema.metadata or {}), **encoded}))
        rows = 0
        with (
            replace_atomically(self.path, staging=self.companions) as staged,
            pq.ParquetWriter(
                staged,
                full_schema,
                compression="zstd",
                use_dictionary=_dictionary_columns(schema),
                write_batch_size=_values_a_write(schema),
            ) as writer,
        ):
            for batch in batches:
                if batch.num_rows:
                    writer.write(batch.cast(schema))
                    rows += batch.num_rows
            if final_metadata is not None:
                writer.add_key_value_metadata({_END_KEY_PREFIX + k: v for k, v in final_metadata().items()})
        for cached in ("_head", "metadata"):
            self.__dict__.pop(cached, None)
        return rows


class StoredRows(Rows):
    """The rows of one version of a file. Reading them raises SourceError once the file is replaced."""

    def __init__(self, file: ParquetFile) -> None:
        simulated = bool(file.metadata.get("simulated"))
        servers = answering_servers(file.metadata)
        super().__init__(file.schema, file.num_rows, self._read_file, simulated=simulated, servers=servers)
        self._file = file
        self._version = file.version
        self._source: Any = None

    def latest(self) -> Rows:
        """The rows of the file's current version."""
        try:
            return self._file.reopened().rows()
        except FileNotFoundError as e:
            msg = f"{self._file.uri} is gone; materialize it again"
            raise SourceError(msg) from e

    @contextlib.contextmanager
    def keep_open(self) -> Iterator[None]:
        """Keeps a file on a local disk open, so that it can be read even after it is replaced."""
        if not is_local(self._file.path):
            yield
            return
        with self._file.open_raw(self._version) as (source, _):
            self._source = source
            try:
                yield
            finally:
                self._source = None

    def _read_file(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        with contextlib.ExitStack() as stack:
            source = self._source
            if source is None:
                source, _ = stack.enter_context(self._file.open_raw(self._version))
            parquet = stack.enter_context(self._file.parquet_reader(source))
            for i in range(parquet.num_row_groups):
                group = parquet.metadata.row_group(i)
                rows = max(1, group.num_rows * BATCH_BYTES // max(nbytes_of(group, columns), 1))
                yield from parquet.iter_batches(min(size, rows), [i], columns=list(columns))


def nbytes_of(group: pq.RowGroupMetaData, columns: Sequence[str]) -> int:
    """The uncompressed, encoded bytes of some columns of a row group."""
    nbytes = 0
    for i in range(group.num_columns):
        chunk = group.column(i)
        if any(
            chunk.path_in_schema == name or chunk.path_in_schema.startswith(f"{name}.") for name in columns
        ):
            nbytes += chunk.total_uncompressed_size
    return nbytes
