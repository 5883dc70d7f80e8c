"""Keys of rows: whether they are unique is checked by their digests, so that no key is kept in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.digest_index import DigestSet
from pxt_assets.errors import PartitionError
from pxt_assets.values.digest import DIGEST_BYTES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pxt_assets.compute.cells.digest_index import Digests

_MAX_EXAMPLES = 5


def key_text(key: Sequence[str], row: pa.RecordBatch) -> str:
    """A row's key as a message shows it: `id=17`."""
    return ", ".join(f"{name}={row[name][0].as_py()!r}" for name in key)


def check_unique(batches: Iterable[pa.RecordBatch], key: Sequence[str], asset: str) -> None:
    """Refuses null and repeated keys. Raises PartitionError, which names the asset and the offending values."""
    import numpy as np
    import pyarrow.compute as pc

    nulls = dict.fromkeys(key, 0)
    first_null: dict[str, int] = {}
    seen, repeated = DigestSet(), DigestSet()
    examples: list[str] = []
    start = count = 0
    for batch in batches:
        for name in key:
            column = batch[name]
            if column.null_count:
                first_null.setdefault(name, start + pc.index(column.is_null(), value=True).as_py())
                nulls[name] += column.null_count
        start += batch.num_rows
        if first_null:
            continue
        digests = _digests_of_rows([batch[name] for name in key], key, asset)
        repeats = np.flatnonzero(~seen.add(digests))
        for i in repeats[repeated.add(digests[repeats])].tolist():
            count += 1
            if len(examples) < _MAX_EXAMPLES:
                examples.append(", ".join(repr(batch[name][i].as_py()) for name in key))
    for name, first in first_null.items():
        msg = f"{asset}: the key column {name!r} is null in {nulls[name]} rows (first in row {first}, counted from 0)"
        raise PartitionError(msg)
    if count:
        more = f" and {count - _MAX_EXAMPLES} more" if count > _MAX_EXAMPLES else ""
        msg = (
            f"{asset}: the key {', '.join(key)} is not unique in this partition: {'; '.join(examples)}{more}; "
            "remove the repeated rows upstream or name more key columns"
        )
        raise PartitionError(msg)


def have_same_keys(ours: pa.RecordBatch, theirs: Sequence[pa.RecordBatch]) -> bool:
    """Whether some rows have the same keys as other rows, whose columns may have another type."""
    import pyarrow as pa

    if not theirs:
        return not ours.num_rows
    table = pa.Table.from_batches(theirs)
    for name in ours.schema.names:
        column, wanted = table[name], pa.chunked_array([ours[name]])
        try:
            same = column.cast(wanted.type) if column.type != wanted.type else column
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return False
        if not same.equals(wanted):
            return False
    return True


def _digests_of_rows(columns: Sequence[pa.Array], key: Sequence[str], asset: str) -> Digests:
    """A digest for each row, equal for rows with equal values only."""
    import numpy as np
    import pyarrow as pa

    try:
        parts = [value_digests(column) for column in columns]
    except pa.ArrowNotImplementedError as e:
        msg = f"{asset}: the key {', '.join(key)} cannot identify rows ({e}); allowed: text, numbers, dates"
        raise PartitionError(msg) from e
    if len(parts) == 1:
        return parts[0].view("S16").reshape(-1)
    width = DIGEST_BYTES * len(parts)
    joined = np.concatenate(parts, axis=1).tobytes()
    return _hash_values(joined[i : i + width] for i in range(0, len(joined), width)).view("S16").reshape(-1)


def value_digests(column: pa.Array) -> npt.NDArray[np.uint8]:
    """The values as `uint8[n, 16]`: numbers and dates as their own bytes, texts as digests. Nulls are not allowed."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    kind = column.type
    if pa.types.is_primitive(kind):
        width = kind.bit_width // 8
        data = np.frombuffer(column.buffers()[1] or b"", np.uint8, len(column) * width, column.offset * width)
        padded = np.zeros((len(column), DIGEST_BYTES), np.uint8)
        padded[:, :width] = data.reshape(len(column), width)
        return padded
    if pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    elif pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
        msg = f"values of the type {kind} are not compared"
        raise pa.ArrowNotImplementedError(msg)
    return _hash_values(column.cast(pa.large_binary()).to_pylist())


def _hash_values(values: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    import numpy as np

    joined = b"".join(hashlib.blake2b(value, digest_size=DIGEST_BYTES).digest() for value in values)
    return np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)
