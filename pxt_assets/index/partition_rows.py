"""The rows of one partition as an index stores them, read from the table's columns in record batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pxt_assets.compute.partition.inputs import Inputs
from pxt_assets.compute.partition.keys import value_digests
from pxt_assets.errors import PartitionError
from pxt_assets.index.kept_columns import as_stored, is_keepable_type, stored_type
from pxt_assets.index.spec import (
    DIGEST,
    PARTITION,
    POSITION,
    ROW,
    TAKEN_NAMES_TEXT,
    VECTOR,
    IndexSpec,
    is_free_name,
)
from pxt_assets.index.stored_index import ContentVersion, RowDigests, cast_batch
from pxt_assets.values.digest import DIGEST_BYTES, digest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pxt_assets.compute.cells.digest_index import Digests

T = TypeVar("T")

_BATCH_ROWS = 4_096
_MAX_ROWS_NAMED = 5


@dataclass
class PartitionScan:
    """The result of reading a partition's rows once: their digests, counts and faults."""

    dim: int | None
    """The length of its vectors, None if it has none."""
    indexed: npt.NDArray[np.int64]
    """The positions of the rows with a vector to find them by."""
    rows: RowDigests
    """Their digests, in the order of `indexed`."""
    version: str
    """A text that changes with the contents of these rows."""
    null: int
    """Rows without a vector."""
    failed: int
    """How many of the null ones failed: their vector could not be computed."""
    zero_vector_keys: list[str] = field(default_factory=list)
    """The keys of the first rows whose vector is zero, which has no angle to another."""
    zero_vectors: int = 0
    """Rows whose vector is zero."""

    @property
    def count(self) -> int:
        """All of the partition's rows."""
        return len(self.indexed) + self.null + self.zero_vectors


class IndexRows:
    """The rows of a partition. `inputs` reads the vectors first, then their errors if there are any, then `kept`."""

    def __init__(
        self, spec: IndexSpec, inputs: Inputs, kept: Sequence[str], partition: str | None, label: str
    ) -> None:
        self._spec = spec
        self._inputs = inputs
        self._kept = list(kept)
        self._has_errors = len(inputs.columns) > 1 + len(kept)
        self._partition = partition or ""
        self._label = label

    @property
    def simulated(self) -> bool:
        """Whether any of the vectors was invented by a simulator."""
        return self._inputs.rows[self._spec.vectors._asset].simulated

    @property
    def servers(self) -> frozenset[str]:
        """The servers that made the vectors, as far as they are known."""
        return self._inputs.rows[self._spec.vectors._asset].servers

    def schema(self, dim: int | None) -> pa.Schema:
        """The index's schema for these rows, without the vectors if their length is not known."""
        import pyarrow as pa

        base = {asset: rows.schema for asset, rows in self._inputs.rows.items()}
        if self._spec.row_key:
            keys = [(field.name, stored_type(field.type)) for field in self._inputs.key_schema]
        else:
            keys = [(POSITION, pa.int64())]
        kept = []
        for ref in self._kept_only(self._inputs.columns):
            schema = base[ref._asset]
            known = ref._column in schema.names
            kept.append((ref._column, stored_type(schema.field(ref._column).type) if known else pa.string()))
        kept = [(name, kind) for name, kind in kept if name not in dict(keys)]
        own: list[tuple[str, pa.DataType]] = [
            (PARTITION, pa.string()),
            (ROW, pa.binary(DIGEST_BYTES)),
            (DIGEST, pa.binary(DIGEST_BYTES)),
        ]
        vector = [] if dim is None else [(VECTOR, pa.list_(pa.float32(), dim))]
        return pa.schema([*keys, *kept, *own, *vector])

    def scan(self, dim: int | None) -> PartitionScan:
        """Reads all rows. `dim` is the length that vectors must have, None if the first one decides.

        Raises PartitionError, which names the rows, for vectors of another length or with NaN, infinities or nulls.
        """
        import numpy as np

        self._check_kept()
        version = ContentVersion()
        positions, keys, contents = [], [], []
        null = failed = zeros = start = 0
        zero: list[int] = []
        for arrays, key_table, count in self._read():
            vectors = arrays[0]
            valid = np.asarray(vectors.is_valid())
            null += int(count - valid.sum())
            if self._has_errors:
                failed += count - arrays[1].null_count
            dim = self._check_length(vectors, dim, start)
            at = np.flatnonzero(valid)
            if dim is not None and len(at):
                numbers = _vector_numbers(vectors, dim)
                if (
                    self._has_errors
                ):  # a computed column, where earlier versions stored such vectors as results
                    finite = np.isfinite(numbers).all(axis=1)
                    null += int((~finite).sum())
                    failed += int((~finite).sum())
                    at, numbers = at[finite], numbers[finite]
                self._check_finite(numbers, at + start)
                if self._spec.metric == "cosine":
                    has_direction = numbers.any(axis=1)
                    zeros += int((~has_direction).sum())
                    zero += [int(i) + start for i in at[~has_direction][: _MAX_ROWS_NAMED - len(zero)]]
                    at, numbers = at[has_direction], numbers[has_direction]
                rows = self._row_digests(key_table, start, at)
                kept = [as_stored(array).take(at) for array in self._kept_only(arrays)]
                digests = _content_digests(rows, numbers, kept, self._kept)
                version.add(digests)
                positions.append(at + start)
                keys.append(rows)
                contents.append(digests)
            start += count
        none = np.empty(0, "S16")
        return PartitionScan(
            dim=dim,
            indexed=np.concatenate([np.empty(0, np.int64), *positions]),
            rows=RowDigests(np.concatenate([none, *keys]), np.concatenate([none, *contents])),
            version=version.hexdigest(),
            null=null,
            failed=failed,
            zero_vector_keys=self._inputs.key_texts(zero) if zero else [],
            zero_vectors=zeros,
        )

    def batches(
        self, scanned: PartitionScan, wanted: npt.NDArray[np.bool_], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        """The rows to write, with the columns of `schema`: those of `scanned` that the mask `wanted` selects."""
        import numpy as np
        import pyarrow as pa

        chosen = scanned.indexed[wanted]
        rows, contents = scanned.rows.keys[wanted], scanned.rows.contents[wanted]
        start = 0
        for arrays, key_table, count in self._read():
            first, last = np.searchsorted(chosen, [start, start + count])
            at = chosen[first:last] - start
            if len(at) and scanned.dim is not None:
                columns: dict[str, Any] = {}
                for name, array in zip(self._kept, self._kept_only(arrays), strict=True):
                    columns[name] = as_stored(array).take(at)
                for name in self._spec.row_key:
                    columns[name] = as_stored(key_table[name].combine_chunks()).take(at)
                if not self._spec.row_key:
                    columns[POSITION] = pa.array(at + start)
                columns[PARTITION] = pa.array([self._partition] * len(at), pa.string())
                columns[ROW] = _binary_array(rows[first:last])
                columns[DIGEST] = _binary_array(contents[first:last])
                numbers = _vector_numbers(arrays[0].take(at), scanned.dim)
                columns[VECTOR] = pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), scanned.dim)
                batch = pa.RecordBatch.from_arrays([*columns.values()], names=[*columns])
                yield cast_batch(batch, schema, self._label)
            start += count

    def rows_to_remove(self, keys: Digests, schema: pa.Schema) -> pa.RecordBatch:
        """Rows that mark others for removal: the digests of their keys, no vectors and no digests of contents."""
        import pyarrow as pa

        marked = pa.RecordBatch.from_arrays(
            [_binary_array(keys), pa.array([self._partition] * len(keys), pa.string())],
            names=[ROW, PARTITION],
        )
        return cast_batch(marked, schema, self._label)

    def _read(self) -> Iterator[tuple[Sequence[pa.Array], pa.Table, int]]:
        take = self._inputs.key_reader()
        for arrays, count in self._inputs.arrays(_BATCH_ROWS, self._inputs.num_rows):
            yield arrays, take(count), count

    def _kept_only(self, values: Sequence[T]) -> Sequence[T]:
        """The values of the kept columns, from values for each of the inputs' columns."""
        return values[len(values) - len(self._kept) :]

    def _check_kept(self) -> None:
        """Raises PartitionError for columns that were asked for but cannot be kept."""
        for ref in self._kept_only(self._inputs.columns):
            schema = self._inputs.rows[ref._asset].schema
            if ref._column not in schema.names:
                continue
            kind = schema.field(ref._column).type
            if not (is_keepable_type(kind) and is_free_name(ref._column)):
                msg = (
                    f"{self._label}: the index is to keep the column {ref._column!r} ({kind}), allowed: texts, numbers, dates, "
                    f"booleans, UUIDs and Json, of names other than {TAKEN_NAMES_TEXT}; leave it out of columns=[...], or add a "
                    "column that can be kept"
                )
                raise PartitionError(msg)

    def _check_length(self, vectors: pa.Array, dim: int | None, start: int) -> int | None:
        """The length of the vectors, by default that of the first one. Raises PartitionError for another length."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_null(vectors.type):
            return dim
        if not _holds_vectors(vectors.type):
            msg = (
                f"{self._label}: the column {self._spec.vectors!r} is {vectors.type}, allowed: vectors, that is lists of "
                "numbers; give add_embedding_index an embedding= for texts and images"
            )
            raise PartitionError(msg)
        lengths = np.asarray(pc.list_value_length(vectors).fill_null(-1))
        given = np.flatnonzero(lengths >= 0)
        if not len(given):
            return dim
        by = "the index" if dim is not None else "the first row"
        dim = int(lengths[given[0]]) if dim is None else dim
        wrong = given[(lengths[given] != dim) | (lengths[given] == 0)]
        if len(wrong):
            keys_text = self._keys_text(wrong + start)
            msg = (
                f"{self._label}: {len(wrong)} of the rows from {start} on have a vector of another length than {by} ({dim} "
                f"numbers): {keys_text} with {int(lengths[wrong[0]])}; nothing of the partition was indexed. Correct the rows, "
                "or make their vectors null"
            )
            raise PartitionError(msg)
        return dim

    def _check_finite(self, numbers: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> None:
        import numpy as np

        wrong = rows[~np.isfinite(numbers).all(axis=1)]
        if len(wrong):
            msg = (
                f"{self._label}: a vector holds NaN, an infinite number or a null: {self._keys_text(wrong)}; nothing of the "
                "partition was indexed. Correct the rows, or make their vectors null"
            )
            raise PartitionError(msg)

    def _keys_text(self, rows: npt.NDArray[np.int64]) -> str:
        """The keys of the first five of these rows, and how many more there are."""
        more = f" and {len(rows) - _MAX_ROWS_NAMED} more" if len(rows) > _MAX_ROWS_NAMED else ""
        return "; ".join(self._inputs.key_texts([int(row) for row in rows[:_MAX_ROWS_NAMED]])) + more

    def _row_digests(self, keys: pa.Table, start: int, at: npt.NDArray[np.int64]) -> Digests:
        """Digests of partition and key, `S16[n]`, which identify each row in the whole index."""
        import numpy as np

        prefix = self._partition.encode()
        if not self._spec.row_key:
            return np.array([digest(prefix, b"%d" % (start + i)) for i in at.tolist()], "S16")
        columns = [
            value_digests(as_stored(keys[name].combine_chunks()).take(at)) for name in self._spec.row_key
        ]
        joined = np.concatenate(columns, axis=1)
        return np.array([digest(prefix, row.tobytes()) for row in joined], "S16")


def _content_digests(
    rows: Digests, numbers: npt.NDArray[np.float32], kept: Sequence[pa.Array], names: Sequence[str]
) -> Digests:
    """Digests of each row's key, vector and kept columns, `S16[n]`: a row that changed has another one.

    So has one whose values are kept under other names.
    """
    import numpy as np

    row_bytes = np.frombuffer(rows.tobytes(), np.uint8).reshape(-1, DIGEST_BYTES)
    beside = np.concatenate([row_bytes, *(_digests_with_nulls(array) for array in kept)], axis=1)
    names_digest = digest(*(name.encode("utf-8", "surrogatepass") for name in names)) if names else b""
    found = bytearray()
    for other, vector in zip(beside, numbers, strict=True):
        hashed = hashlib.blake2b(vector, digest_size=DIGEST_BYTES)
        hashed.update(other)
        hashed.update(names_digest)
        found += hashed.digest()
    return np.frombuffer(bytes(found), "S16")


def _binary_array(digests: Digests) -> pa.Array:
    import pyarrow as pa

    data = pa.py_buffer(digests.tobytes())
    return pa.Array.from_buffers(pa.binary(DIGEST_BYTES), len(digests), [None, data])


def _holds_vectors(arrow_type: pa.DataType) -> bool:
    import pyarrow as pa

    is_list = (
        pa.types.is_list(arrow_type)
        or pa.types.is_large_list(arrow_type)
        or pa.types.is_fixed_size_list(arrow_type)
    )
    return bool(is_list) and bool(
        pa.types.is_floating(arrow_type.value_type) or pa.types.is_integer(arrow_type.value_type)
    )


def _vector_numbers(vectors: pa.Array, dim: int) -> npt.NDArray[np.float32]:
    """The vectors that are not null, `float32[n, dim]`; a null among their numbers is NaN."""
    import numpy as np

    values = vectors.drop_null().flatten().to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(values, np.float32).reshape(-1, dim)


def _digests_with_nulls(array: pa.Array) -> npt.NDArray[np.uint8]:
    """The digests of values, `uint8[n, 17]`; the last byte is 1 for a value and 0 for a null."""
    import numpy as np

    valid = np.asarray(array.is_valid())
    found = np.zeros((len(array), DIGEST_BYTES + 1), np.uint8)
    found[valid, :DIGEST_BYTES] = value_digests(array.drop_null())
    found[valid, DIGEST_BYTES] = 1
    return found
