"""The inputs of a column's partition: the columns it reads, of one or more assets, row by row in step."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import RunError
from pxt_assets.expr import ColumnRef
from pxt_assets.media import Media, Reading
from pxt_assets.rows import Rows
from pxt_assets.types import has_media, is_media
from pxt_assets.values import to_python

if TYPE_CHECKING:
    import dagster as dg
    import pyarrow as pa

_SHOWN = 5
_BATCH = 4_096
_MEDIA_BATCH = 16
"""Rows of images or sounds, which may be megabytes each."""
_MEDIA_BYTES = 8 * 2**20
"""Of images and sounds to read at once, however few rows these are."""


@dataclass(frozen=True)
class Inputs:
    """The rows of one partition, from the assets in `rows`; the first of them gives the keys and the order.

    Every method raises RunError where the rows are not what the column needs; the message names the asset, the
    column and the offending values.
    """

    rows: Mapping[dg.AssetKey, Rows]
    key: Sequence[str]
    columns: Sequence[ColumnRef]
    reading: Reading = field(default_factory=Reading)
    """How the files are read that columns of images and sounds name by their paths."""

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self._base.num_rows

    @property
    def simulated(self) -> bool:
        """Whether any of the rows was made by a simulator."""
        return any(rows.simulated for rows in self.rows.values())

    @cached_property
    def keys(self) -> pa.Table:
        """The key columns of all rows."""
        import pyarrow as pa

        if not self._base.schema.names:  # no rows, of whatever columns
            return pa.table({name: pa.nulls(0) for name in self.key})
        return self._base.table(self.key)

    @cached_property
    def holds_media(self) -> bool:
        """Whether any of the columns holds images or sounds."""
        for ref in self.columns:
            schema = self.rows[ref._asset].schema
            known = ref._column in schema.names
            if is_media(ref._type) or (known and has_media(schema.field(ref._column).type)):
                return True
        return False

    @property
    def batch_rows(self) -> int:
        """How many rows to read at once."""
        return _MEDIA_BATCH if self.holds_media else _BATCH

    def check(self) -> None:
        """Refuses missing columns, null or repeated keys, and assets whose rows do not correspond."""
        for asset, rows in self.rows.items():
            wanted = [*self.key, *(ref._column for ref in self.columns if ref._asset == asset)]
            _check_columns(asset, rows, wanted)
        self._check_keys()
        base = next(iter(self.rows))
        for asset, rows in self.rows.items():
            if asset == base:
                continue
            same = rows.num_rows == self.num_rows
            if same and self.key:
                same = _same_values(self.keys, rows.table(self.key))
            if not same:
                msg = (
                    f"the rows of {_named(asset)} ({rows.num_rows}) are not those of {_named(base)} "
                    f"({self.num_rows}), which has changed since: materialize {_named(asset)} first "
                    "(rows that did not change cost nothing)"
                )
                raise RunError(msg)

    def batches(self, size: int, limit: int) -> Iterator[list[Sequence[Any]]]:
        """The values of `columns`, a tuple a row, in lists of `size` rows; `limit` rows at most.

        Of images and sounds fewer rows, as soon as they have _MEDIA_BYTES.
        """
        positions = {(ref._asset, ref._column): i for i, ref in enumerate(self.columns)}
        streams = []
        for asset, rows in self.rows.items():
            names = [ref._column for ref in self.columns if ref._asset == asset]
            if names and rows.schema.names:
                streams.append((asset, names, rows.batches(names, size)))
        done, limit = 0, min(limit, self.num_rows)
        while done < limit:
            count = min(size, limit - done)
            arrays: list[Any] = [None] * len(self.columns)
            for asset, names, stream in streams:
                batch = next(stream)
                for name, column in zip(names, batch.columns, strict=True):
                    arrays[positions[asset, name]] = column[:count]
            yield from self._values(arrays, count)
            done += count

    def _values(self, arrays: Sequence[pa.Array], count: int) -> Iterator[list[Sequence[Any]]]:
        if not arrays:
            yield [()] * count
            return
        step = 1 if self.holds_media else count  # files are read here: a few hundred MB each, some of them
        rows: list[Sequence[Any]] = []
        size = 0
        for start in range(0, count, step):
            values = [
                to_python(array[start : start + step], ref._type, self.reading)
                for array, ref in zip(arrays, self.columns, strict=True)
            ]
            rows += zip(*values, strict=True)
            size += sum(v.size for column in values for v in column if isinstance(v, Media))
            if size >= _MEDIA_BYTES:
                yield rows
                rows, size = [], 0
        if rows:
            yield rows

    def key_of(self, row: int) -> str:
        """A row's key as a message shows it: `id=17`, or `row 3` in a table without a key."""
        if not self.key:
            return f"row {row}"
        return ", ".join(f"{name}={self.keys[name][row].as_py()!r}" for name in self.key)

    @property
    def _base(self) -> Rows:
        return next(iter(self.rows.values()))

    def _check_keys(self) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self.key or not self.num_rows:
            return
        asset = _named(next(iter(self.rows)))
        for name in self.key:
            nulls = self.keys[name].null_count
            if nulls:
                first = pc.index(self.keys[name].is_null(), value=True).as_py()
                msg = f"{asset}: the key column {name!r} is null in {nulls} rows (first in row {first}, counted from 0)"
                raise RunError(msg)
        try:
            counted = _decoded(self.keys).group_by(list(self.key)).aggregate([([], "count_all")])
        except pa.ArrowNotImplementedError as e:
            msg = f"{asset}: the key {', '.join(self.key)} cannot identify rows ({e}); allowed: text, numbers, dates"
            raise RunError(msg) from e
        repeated = counted.filter(pc.greater(counted["count_all"], 1))
        if repeated.num_rows:
            shown = [
                ", ".join(repr(row[name]) for name in self.key)
                for row in repeated.slice(0, _SHOWN).to_pylist()
            ]
            more = f" and {repeated.num_rows - _SHOWN} more" if repeated.num_rows > _SHOWN else ""
            msg = (
                f"{asset}: the key {', '.join(self.key)} is not unique in this partition: {'; '.join(shown)}{more}; "
                "remove the repeated rows upstream or name more key columns"
            )
            raise RunError(msg)


def _check_columns(asset: dg.AssetKey, rows: Rows, wanted: Sequence[str]) -> None:
    names = rows.schema.names
    if not names and not rows.num_rows:
        return
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            msg = f"{_named(asset)} has no column {name!r}; it has {', '.join(names)}{hint}"
            raise RunError(msg)
        if names.count(name) > 1:
            msg = f"{_named(asset)} has two columns named {name!r}; rename one upstream"
            raise RunError(msg)


def _decoded(keys: pa.Table) -> pa.Table:
    """The keys with the values of dictionary columns in place of their codes, which mean another in each chunk."""
    import pyarrow as pa

    types = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in keys.schema]
    return keys.cast(pa.schema(zip(keys.column_names, types, strict=True)))


def _same_values(ours: pa.Table, theirs: pa.Table) -> bool:
    import pyarrow as pa

    for name in ours.column_names:
        column = theirs[name]
        try:
            same = column.cast(ours[name].type) if column.type != ours[name].type else column
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return False
        if not same.equals(ours[name]):
            return False
    return True


def _named(asset: dg.AssetKey) -> str:
    return asset.to_user_string()
