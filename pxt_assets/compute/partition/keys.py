"""Keys of rows: whether they are unique is checked by their digests, so that no key is kept in memory."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.digest_index import DigestSet
from pxt_assets.errors import PartitionError
from pxt_assets.storage.common_type import cast_to
from pxt_assets.values.conversion import to_python
from pxt_assets.values.digest import DIGEST_BYTES
from pxt_assets.values.plain_types import as_plain
from pxt_assets.values.types import is_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pxt_assets.compute.cells.digest_index import Digests

_MAX_EXAMPLES = 5


def key_text(key: Sequence[str], row: pa.RecordBatch) -> str:
    """A row's key as a message shows it: `id=17`."""
    return ", ".join(f"{name}={_value_text(row[name])}" for name in key)


def _value_text(column: pa.Array) -> str:
    """The first value as a message shows it."""
    (value,) = to_python(column[:1])
    return repr(str(value) if isinstance(value, uuid.UUID) else value)


def check_unique(
    batches: Iterable[pa.RecordBatch], key: Sequence[str], asset: str, folder: str | None = None
) -> None:
    """Refuses repeated keys, nulls and NaN. Raises PartitionError, which names the asset and the offending values.

    `folder` is for temporary files.
    """
    import numpy as np
    import pyarrow.compute as pc

    missing = dict.fromkeys(((name, what) for name in key for what in ("null", "NaN")), 0)
    first_missing: dict[tuple[str, str], int] = {}
    seen, repeated = DigestSet(folder), DigestSet(folder)
    examples: list[str] = []
    start = count = 0
    for batch in batches:
        for name in key:
            for what, found in (("null", batch[name].is_null()), ("NaN", _is_nan(batch[name]))):
                if found is not None and found.true_count:
                    first_missing.setdefault((name, what), start + pc.index(found, value=True).as_py())
                    missing[name, what] += found.true_count
        start += batch.num_rows
        if first_missing:
            continue
        digests = _digests_of_rows([batch[name] for name in key], key, asset)
        repeats = np.flatnonzero(~seen.add(digests))
        for i in repeats[repeated.add(digests[repeats])].tolist():
            count += 1
            if len(examples) < _MAX_EXAMPLES:
                examples.append(", ".join(_value_text(batch[name][i : i + 1]) for name in key))
    for (name, what), first in first_missing.items():
        msg = f"{asset}: the key column {name!r} is {what} in {missing[name, what]} rows (first in row {first}, counted from 0)"
        raise PartitionError(msg)
    if count:
        more = f" and {count - _MAX_EXAMPLES} more" if count > _MAX_EXAMPLES else ""
        msg = (
            f"{asset}: the key {', '.join(key)} is not unique in this partition: {'; '.join(examples)}{more}; "
            "remove the repeated rows upstream or name more key columns"
        )
        raise PartitionError(msg)


def _is_nan(column: pa.Array) -> pa.BooleanArray | None:
    """Where values are no numbers, which equal not even themselves; None for a type that has none such."""
    import pyarrow as pa
    import pyarrow.compute as pc

    while isinstance(column.type, pa.BaseExtensionType) or pa.types.is_dictionary(column.type):
        column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column.storage
    if not pa.types.is_floating(column.type):
        return None
    return pc.is_nan(column.cast(pa.float64())).fill_null(False)


def have_same_keys(ours: pa.RecordBatch, theirs: Sequence[pa.RecordBatch]) -> bool:
    """Whether some rows have the same keys as other rows, whose columns may have another type."""
    import pyarrow as pa

    if not theirs:
        return not ours.num_rows
    table = pa.Table.from_batches(theirs)
    for name in ours.schema.names:
        wanted = _without_categories(ours[name])
        try:
            same = [cast_to(chunk, wanted.type) for chunk in table[name].chunks]
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return False
        if not pa.chunked_array(same, wanted.type).equals(pa.chunked_array([wanted])):
            return False
    return True


def _without_categories(column: pa.Array) -> pa.Array:
    """The values themselves: equal categories may be numbered in another order."""
    import pyarrow as pa

    column = as_plain(column)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _digests_of_rows(columns: Sequence[pa.Array], key: Sequence[str], asset: str) -> Digests:
    """A digest for each row, equal for rows with equal values only."""
    import numpy as np
    import pyarrow as pa

    try:
        parts = [value_digests(column) for column in columns]
    except pa.ArrowNotImplementedError as e:
        msg = f"{asset}: the key {', '.join(key)} cannot identify rows ({e}); allowed: text, numbers, dates, UUIDs"
        raise PartitionError(msg) from e
    if len(parts) == 1:
        return parts[0].view("S16").reshape(-1)
    width = DIGEST_BYTES * len(parts)
    joined = np.concatenate(parts, axis=1).tobytes()
    return _hash_values(joined[i : i + width] for i in range(0, len(joined), width)).view("S16").reshape(-1)


def value_digests(column: pa.Array) -> npt.NDArray[np.uint8]:
    """The values as `uint8[n, 16]`: numbers and dates as their own bytes, texts and UUIDs as digests. No nulls are allowed."""
    import numpy as np
    import pyarrow as pa

    if isinstance(column.type, pa.BaseExtensionType) and not is_json(
        column.type
    ):  # JSON differs in its spaces
        return value_digests(column.storage)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    kind = column.type
    if pa.types.is_primitive(kind) and not pa.types.is_interval(kind):
        width = kind.bit_width // 8
        data = np.frombuffer(column.buffers()[1] or b"", np.uint8, len(column) * width, column.offset * width)
        padded = np.zeros((len(column), DIGEST_BYTES), np.uint8)
        padded[:, :width] = data.reshape(len(column), width)
        return padded
    if pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    elif pa.types.is_nested(kind) or pa.types.is_interval(kind) or isinstance(kind, pa.BaseExtensionType):
        msg = f"values of the type {kind} are not compared"
        raise pa.ArrowNotImplementedError(msg)
    return _hash_values(column.cast(pa.large_binary()).to_pylist())


def _hash_values(values: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    import numpy as np

    joined = b"".join(hashlib.blake2b(value, digest_size=DIGEST_BYTES).digest() for value in values)
    return np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)
