"""A digest of a table's contents, independent of how its rows are split into batches and laid out in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from pxt_assets.values.numpy_views import numpy_of, valid_flags, zero

if TYPE_CHECKING:
    import pyarrow as pa

Batch = TypeVar("Batch", "pa.Table", "pa.RecordBatch", "pa.Table | pa.RecordBatch")

_TEXT_TYPES = ("string", "binary", "large_string", "large_binary")


class ContentsDigest:
    """The digest of the added rows, in order. Tables of equal values have equal digests."""

    def __init__(self) -> None:
        self._hashes: dict[str, hashlib.blake2b] = {}

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Adds some rows."""
        import pyarrow as pa

        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        for name, column in zip(table.column_names, table.columns, strict=True):
            for chunk in column.chunks:
                self.add_values(name, chunk)

    def add_values(self, path: str, array: pa.Array) -> None:
        """Adds more values of the column, or of the part of a nested one, that `path` names."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not len(array):
            return
        self._feed(path, valid_flags(array).tobytes())
        kind = array.type
        if isinstance(kind, pa.BaseExtensionType):
            self.add_values(f"{path}.", array.storage)
        elif pa.types.is_dictionary(kind):
            self.add_values(f"{path}.", array.dictionary_decode())
        elif pa.types.is_run_end_encoded(kind):
            self.add_values(f"{path}.", pc.run_end_decode(array))
        elif pa.types.is_struct(kind):
            for field, values in zip(kind, array.flatten(), strict=True):
                self.add_values(f"{path}.{field.name}", values)
        elif pa.types.is_map(kind):  # Arrow cannot drop nulls of maps whose texts are views
            self._feed(f"{path}.", b"".join(map(_repr_bytes, array.to_pylist())))
        elif pa.types.is_nested(kind):  # lists: their `flatten` leaves nulls out
            lengths = pc.list_value_length(array)
            self._feed(
                f"{path}#", numpy_of(pc.coalesce(lengths, zero(lengths.type)).cast(pa.int64())).tobytes()
            )
            self.add_values(f"{path}[]", array.flatten())
        elif kind in (pa.binary_view(), pa.string_view()):
            self.add_values(f"{path}.", array.cast(pa.large_binary()))
        else:
            self._add_leaf(path, array.drop_null() if array.null_count else array)

    def pass_through(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yields the same batches, and adds each."""
        for batch in batches:
            self.add(batch)
            yield batch

    def hexdigest(self) -> str:
        """The digest in 32 hexadecimal digits."""
        total = hashlib.blake2b(digest_size=16)
        for path in sorted(self._hashes):
            total.update(f"{len(path)}:{path}".encode())
            total.update(self._hashes[path].digest())
        return total.hexdigest()

    def _add_leaf(self, path: str, array: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if str(array.type) in _TEXT_TYPES:
            self._feed(f"{path}#", numpy_of(pc.binary_length(array).cast(pa.int64())).tobytes())
            self._feed(f"{path}.", _bytes_of(array))
        else:
            is_time = pa.types.is_timestamp(array.type) or pa.types.is_duration(array.type)
            values = numpy_of(array.view(pa.int64()) if is_time else array)
            is_plain = values.dtype != object
            self._feed(f"{path}.", values.tobytes() if is_plain else b"".join(map(_repr_bytes, values)))

    def _feed(self, path: str, data: bytes | memoryview) -> None:
        self._hashes.setdefault(path, hashlib.blake2b(digest_size=16)).update(data)


def _repr_bytes(value: object) -> bytes:
    return f"{value!r};".encode("utf-8", "surrogatepass")


def _bytes_of(array: pa.Array) -> bytes | memoryview:
    """The bytes of all texts of an array without nulls, joined."""
    import numpy as np

    wide = str(array.type).startswith("large")
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return b""
    bounds = np.frombuffer(offsets, np.int64 if wide else np.int32)
    return memoryview(data)[int(bounds[array.offset]) : int(bounds[array.offset + len(array)])]
