"""One Parquet file of a store: read in batches, replaced in one atomic step."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import SourceError
from pxt_assets.huggingface import with_features
from pxt_assets.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from upath import UPath

_METADATA_KEY = b"pxt_assets"


def is_local(path: UPath) -> bool:
    """Whether a path is on this machine's file system."""
    return path.protocol in ("", "file", "local")


def remove(path: UPath) -> None:
    """Removes a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        path.fs.rm_file(path.path)


@contextlib.contextmanager
def replacing(path: UPath) -> Iterator[Path]:
    """A local file to write, which becomes `path` in one atomic step when the block ends without an error.

    On a local disk: written beside the target, synced, renamed. On an object store: written to the system's temp
    directory and uploaded as one object, since an upload that is broken off must not be left as a shorter one.
    """
    if is_local(path):
        target = Path(path.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            yield staged
            _sync(staged)
            staged.replace(target)
            _sync(target.parent)
        finally:
            staged.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix="pxt-") as folder:
        staged = Path(folder) / "staged"
        yield staged
        path.parent.mkdir(parents=True, exist_ok=True)
        path.fs.put_file(str(staged), path.path)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file at a local path or fsspec URL, which may not exist yet."""

    path: UPath

    def exists(self) -> bool:
        """Whether there is such a file."""
        return bool(self.path.exists())

    @property
    def uri(self) -> str:
        """An absolute path or URL, without the credentials of the store."""
        if is_local(self.path):
            return str(Path(self.path.path).absolute())
        return re.sub(r"://[^/@]*:[^/@]*@", "://", self.path.as_uri())

    @property
    def size_bytes(self) -> int:
        """The file's size."""
        return int(self.path.stat().st_size)

    @contextlib.contextmanager
    def open(self) -> Iterator[pq.ParquetFile]:
        """The open file. Raises FileNotFoundError, and SourceError for one that is broken."""
        with contextlib.ExitStack() as stack:
            source: Any = self.path.path
            if not is_local(self.path):
                source = stack.enter_context(self.path.fs.open(self.path.path, "rb"))
            yield stack.enter_context(self._parquet(source))

    def _parquet(self, source: Any) -> pq.ParquetFile:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(source, memory_map=is_local(self.path))
        except pa.ArrowInvalid as e:
            msg = f"{self.uri} is no Parquet file that can be read ({e}); remove it and materialize again"
            raise SourceError(msg) from e

    @cached_property
    def _head(self) -> tuple[pa.Schema, int]:
        with self.open() as opened:
            return opened.schema_arrow, opened.metadata.num_rows

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        return self._head[0]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the writer said of the file, `{}` for a file that another program wrote."""
        text = (self.schema.metadata or {}).get(_METADATA_KEY)
        return json.loads(text) if text else {}

    def rows(self) -> Rows:
        """The rows, read from the file as they are asked for."""
        schema, num_rows = self._head
        return Rows(schema, num_rows, self._read, simulated=bool(self.metadata.get("simulated")))

    def _read(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        with self.open() as opened:
            yield from opened.iter_batches(batch_size=size, columns=list(columns))

    def write(
        self, schema: pa.Schema, batches: Iterable[pa.RecordBatch | pa.Table], metadata: Mapping[str, Any]
    ) -> int:
        """Replaces the file in one step, one row group a batch; returns the number of rows.

        If `batches` raises, the file stays as it was.
        """
        import pyarrow.parquet as pq

        said = {_METADATA_KEY: json.dumps(dict(metadata), sort_keys=True).encode()}
        described = with_features(schema.with_metadata({**(schema.metadata or {}), **said}))
        rows = 0
        with (
            replacing(self.path) as staged,
            pq.ParquetWriter(staged, described, compression="zstd") as writer,
        ):
            for batch in batches:
                if batch.num_rows:
                    writer.write(batch.cast(schema))
                    rows += batch.num_rows
        self.__dict__.pop("_head", None)
        return rows
