"""The inputs of a column's partition: the columns it reads, from one or more assets whose rows correspond."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pxt_assets.compute.partition.keys import check_unique, have_same_keys, key_text
from pxt_assets.errors import PartitionError, SourceError, did_you_mean
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.storage.batches import Cursor
from pxt_assets.storage.rows import Rows
from pxt_assets.values.conversion import to_python
from pxt_assets.values.media import Media, ReadOptions
from pxt_assets.values.types import has_media, is_media

if TYPE_CHECKING:
    import dagster as dg
    import pyarrow as pa

_BATCH = 4_096
_KEYS = 16_384
"""Rows of keys to read at once."""
_MEDIA_BATCH = 16
"""Rows of images or sounds, which may be megabytes each."""
_MEDIA_BYTES = 8 * 2**20
"""Bytes of images and sounds to read at once, however few rows these are."""


@dataclass(frozen=True)
class Inputs:
    """The rows of one partition, from the assets in `rows`; the first of them gives the keys and the order.

    Every method raises PartitionError where the rows are not what the column needs; the message names the asset, the
    column and the offending values.
    """

    rows: Mapping[dg.AssetKey, Rows]
    key: Sequence[str]
    columns: Sequence[ColumnRef]
    reading: ReadOptions = field(default_factory=ReadOptions)
    """How to read files that columns of images and sounds name by their paths."""
    finds_simulated: bool = False
    """Whether the column also looks into something that a simulator made."""
    beside: Sequence[ColumnRef] = ()
    """Further columns that must be there, of which no cell is made."""

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return self._base.num_rows

    @property
    def simulated(self) -> bool:
        """Whether any of the rows, or what the column looks up, comes from a simulator."""
        return self.finds_simulated or any(rows.simulated for rows in self.rows.values())

    @property
    def key_schema(self) -> pa.Schema:
        """The schema of the key columns."""
        import pyarrow as pa

        if not self._base.schema.names:  # no rows, of whatever columns
            return pa.schema([(name, pa.null()) for name in self.key])
        return pa.schema([self._base.schema.field(name) for name in self.key])

    def key_reader(self) -> Callable[[int], pa.Table]:
        """A function that reads the key columns of the next `count` rows, beginning with the first."""
        import pyarrow as pa

        base, schema = next(iter(self.rows)), self.key_schema
        keys = Cursor(self._key_batches(base))

        def take(count: int) -> pa.Table:
            table = pa.Table.from_batches(keys.take(count) if self.key else [], schema)
            if self.key and table.num_rows < count:
                raise _changed_error(base, 0, self.num_rows)
            return table

        return take

    @contextmanager
    def hold_snapshot(self) -> Iterator[None]:
        """Within the block, the rows stay those of its beginning, as far as files can be kept from being removed."""
        with ExitStack() as stack:
            for asset, rows in self.rows.items():
                with _name_asset_in_errors(asset):
                    stack.enter_context(rows.keep_open())
            yield

    @cached_property
    def holds_media(self) -> bool:
        """Whether any of the columns that are read holds images or sounds."""
        for ref in self.columns:
            schema = self.rows[ref._asset].schema
            exists = ref._column in schema.names
            if is_media(ref._type) or (exists and has_media(schema.field(ref._column).type)):
                return True
        return False

    @property
    def batch_rows(self) -> int:
        """How many rows to read at once."""
        return _MEDIA_BATCH if self.holds_media else _BATCH

    def check(self, folder: str | None = None) -> None:
        """Raises PartitionError for missing columns, null or repeated keys, and assets whose rows do not correspond.

        Of very many keys, digests lie in temporary files in `folder`, without one in the system's.
        """
        for asset, rows in self.rows.items():
            read = [*self.columns, *self.beside]
            wanted = [*self.key, *(ref._column for ref in read if ref._asset == asset)]
            _check_columns(asset, rows, wanted)
        base = next(iter(self.rows))
        if self.key:
            check_unique(self._key_batches(base), self.key, _asset_name(base), folder)
        for asset, rows in self.rows.items():
            if asset != base and not (rows.num_rows == self.num_rows and self.has_same_keys(rows, asset)):
                msg = (
                    f"the rows of {_asset_name(asset)} ({rows.num_rows}) are not those of {_asset_name(base)} "
                    f"({self.num_rows}), which has changed since: materialize {_asset_name(asset)} first "
                    "(rows that did not change cost nothing)"
                )
                raise PartitionError(msg)

    def has_same_keys(self, rows: Rows, asset: dg.AssetKey | None = None) -> bool:
        """Whether other rows, as many and of another asset, have the same keys in the same order."""
        if not self.key or not rows.schema.names:
            return True
        with _name_asset_in_errors(asset):
            theirs = Cursor(rows.batches(self.key, _KEYS))
            ours = self._key_batches(next(iter(self.rows)))
            return all(have_same_keys(batch, theirs.take(batch.num_rows)) for batch in ours)

    def batches(
        self, size: int, limit: int, on_arrays: Callable[[Sequence[pa.Array]], None] | None = None
    ) -> Iterator[list[Sequence[Any]]]:
        """The values of `columns`, a tuple a row, in lists of at most `size` rows; `limit` rows at most.

        A list holds fewer rows if these come to many bytes: BATCH_BYTES of texts, _MEDIA_BYTES of images and sounds.
        `on_arrays` is called with the columns as they are read.
        """
        for arrays, count in self.arrays(size, limit):
            if on_arrays is not None:
                on_arrays(arrays)
            yield from self._values(arrays, count)

    def arrays(self, size: int, limit: int) -> Iterator[tuple[Sequence[pa.Array], int]]:
        """The same rows as arrays, one for each of `columns`, and the number of rows in them."""
        positions = {(ref._asset, ref._column): i for i, ref in enumerate(self.columns)}
        streams = []
        for asset, rows in self.rows.items():
            names = [ref._column for ref in self.columns if ref._asset == asset]
            if names and rows.schema.names:
                streams.append((asset, names, Cursor(self._batches(asset, names, size))))
        done, limit = 0, min(limit, self.num_rows)
        while done < limit:
            count = min(size, limit - done)
            for asset, _, stream in streams:
                count = min(count, stream.available_rows())
                if not count:
                    raise _changed_error(asset, done, self.num_rows)
            arrays: list[Any] = [None] * len(self.columns)
            for asset, names, stream in streams:
                (batch,) = stream.take(count)
                for name, column in zip(names, batch.columns, strict=True):
                    arrays[positions[asset, name]] = column
            yield arrays, count
            done += count
        for asset, _, stream in streams:
            if done == self.num_rows and stream.available_rows():
                raise _changed_error(asset, done + stream.available_rows(), self.num_rows)

    def _key_batches(self, asset: dg.AssetKey) -> Iterator[pa.RecordBatch]:
        if self.rows[asset].schema.names:
            yield from self._batches(asset, self.key, _KEYS)

    def _batches(self, asset: dg.AssetKey, names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        with _name_asset_in_errors(asset):
            yield from self.rows[asset].batches(names, size)

    def _values(self, arrays: Sequence[pa.Array], count: int) -> Iterator[list[Sequence[Any]]]:
        if not arrays:
            yield [()] * count
            return
        step = 1 if self.holds_media else count  # files are read here, and may be a few hundred MB each
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

    def rows_at(self, arrays: Sequence[pa.Array], positions: Sequence[int]) -> list[Sequence[Any]]:
        """The values of single rows of some arrays, a tuple a row."""
        rows: list[Sequence[Any]] = []
        for position in positions:
            for some in self._values([array[position : position + 1] for array in arrays], 1):
                rows += some
        return rows

    def sample(self, count: int) -> dict[str, list[Any]]:
        """The values of the columns that are read, by name, in the first `count` rows; `...` where they are not read.

        Files that rows name are read as long as they come to _MEDIA_BYTES.
        """
        names = [ref._column for ref in self.columns]
        rows: list[Sequence[Any]] = []
        size = 0
        for arrays, found in self.arrays(count, count):
            for position in range(found):
                if size < _MEDIA_BYTES:
                    (row,) = self.rows_at(arrays, [position])
                    size += sum(value.size for value in row if isinstance(value, Media))
                else:
                    row = [...] * len(names)
                rows.append(row)
        return {name: [row[i] for row in rows] for i, name in enumerate(names)}

    def key_texts(self, rows: Sequence[int]) -> list[str]:
        """The rows' keys as a message shows them: `id=17`, or `row 3` in a table without a key."""
        if not self.key:
            return [f"row {row}" for row in rows]
        texts: dict[int, str] = {}
        keys, start = Cursor(self._key_batches(next(iter(self.rows)))), 0
        while len(texts) < len(set(rows)) and (count := keys.available_rows()):
            (batch,) = keys.take(count)
            for row in rows:
                if start <= row < start + count:
                    texts[row] = key_text(self.key, batch.slice(row - start, 1))
            start += count
        return [texts[row] for row in rows]

    @property
    def _base(self) -> Rows:
        return next(iter(self.rows.values()))


@contextmanager
def _name_asset_in_errors(asset: dg.AssetKey | None) -> Iterator[None]:
    """Raises a SourceError of the block as a PartitionError that names the asset."""
    try:
        yield
    except SourceError as e:
        msg = f"{_asset_name(asset)}: {e}" if asset is not None else str(e)
        raise PartitionError(msg) from e


def _changed_error(asset: dg.AssetKey, rows: int, expected: int) -> PartitionError:
    return PartitionError(
        f"{_asset_name(asset)} was materialized meanwhile: it had {expected} rows, and has "
        f"{'more' if rows > expected else 'fewer'}; materialize again (what is finished is kept)"
    )


def _check_columns(asset: dg.AssetKey, rows: Rows, wanted: Sequence[str]) -> None:
    names = rows.schema.names
    if not names and not rows.num_rows:
        return
    for name in wanted:
        if name not in names:
            hint = did_you_mean(name, names)
            msg = f"{_asset_name(asset)} has no column {name!r}; it has {', '.join(names)}{hint}"
            raise PartitionError(msg)
        if names.count(name) > 1:
            msg = f"{_asset_name(asset)} has two columns named {name!r}; rename one upstream"
            raise PartitionError(msg)


def _asset_name(asset: dg.AssetKey) -> str:
    return asset.to_user_string()
