"""Rows: a partition of a table, read in record batches, from any kind of table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeGuard

from pxt_assets.storage.batches import BATCH_BYTES, exact_batches
from pxt_assets.storage.common_schema import CommonSchema, common_schema
from pxt_assets.storage.tables import table_of
from pxt_assets.values.plain_types import plain_batch, plain_schema

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

Reader = Callable[[Sequence[str], int], Iterable["pa.RecordBatch"]]
_MAX_OPEN_PARTS = 64
"""The most files that are kept open at once."""


class Rows:
    """Rows that can be read again and again, some columns at a time, in order.

    `read(columns, batch_size)` gives batches of at most about `batch_size` rows with those columns.
    """

    def __init__(
        self,
        schema: pa.Schema,
        num_rows: int,
        read: Reader,
        *,
        simulated: bool = False,
        servers: frozenset[str] = frozenset(),
    ) -> None:
        self.schema = schema
        self.num_rows = num_rows
        self.simulated = simulated
        """Whether any row was made by a simulator."""
        self.servers = servers
        """The servers that answered rows, as far as they are known."""
        self._read = read

    def batches(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """Batches of `size` rows, or of fewer that have BATCH_BYTES; the last one of the rest."""
        return exact_batches(self._read(columns, size), size, BATCH_BYTES)

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Some columns as one table."""
        import pyarrow as pa

        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.Table.from_batches(self._read(columns, 65_536), schema)

    def latest(self) -> Rows:
        """The current rows, if they are stored and may have been replaced."""
        return self

    def keep_open(self) -> AbstractContextManager[None]:
        """Within the block, stored rows can be read even after they are replaced."""
        return nullcontext()


def concat_rows(parts: Sequence[Rows], labels: Sequence[str | None] = ()) -> Rows:
    """The rows of several partitions, joined in order: all their columns, each in the most general of its types.

    A column that a partition lacks is null in its rows. Only reading a column whose types have nothing in common raises
    SourceError, which names the partitions by their `labels`, as does a value that does not fit.
    """
    if len(parts) == 1:
        return parts[0]

    names = [str(label or "") for label in labels] or [str(i) for i in range(len(parts))]
    nonempty = [i for i, part in enumerate(parts) if part.num_rows] or range(len(parts))
    kept = [parts[i] for i in nonempty]  # empty parts have no say in types
    joined = common_schema([part.schema for part in kept], [names[i] for i in nonempty])

    def read(columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        wanted = joined.of_columns(columns)
        for i, part in enumerate(kept):
            there = [name for name in columns if name in part.schema.names]
            for batch in part.batches(there, size) if there or not columns else _empty_batches(part, size):
                yield joined.cast(batch, wanted, i)

    return _ConcatRows(kept, joined, read)


def _empty_batches(part: Rows, size: int) -> Iterator[pa.RecordBatch]:
    """As many rows as a partition has, in batches without columns."""
    import pyarrow as pa

    for start in range(0, part.num_rows, size):
        rows = pa.nulls(min(size, part.num_rows - start))
        yield pa.RecordBatch.from_arrays([rows], names=[""]).select([])


class _ConcatRows(Rows):
    """The rows of several partitions."""

    def __init__(self, parts: Sequence[Rows], joined: CommonSchema, read: Reader) -> None:
        simulated = any(part.simulated for part in parts)
        servers = frozenset().union(*(part.servers for part in parts))
        rows = sum(part.num_rows for part in parts)
        super().__init__(joined.schema, rows, read, simulated=simulated, servers=servers)
        self._parts = parts

    @contextmanager
    def keep_open(self) -> Iterator[None]:
        with ExitStack() as stack:
            for part in self._parts[:_MAX_OPEN_PARTS]:  # a process may have so many open
                stack.enter_context(part.keep_open())
            yield


def rows_of(value: object) -> Rows:
    """The rows of a pa.Table, pandas.DataFrame, list of dicts, dataset, or anything that exports an Arrow stream.

    Raises SourceError for anything else, and for a column whose values have no common type.
    """
    if isinstance(value, Rows):
        return value.latest()
    if is_dataset(value):
        dataset = value

        def scan(columns: Sequence[str], size: int) -> Iterable[pa.RecordBatch]:
            scanner = dataset.scanner(columns=list(columns), batch_size=size, batch_readahead=2)
            return scanner.to_batches()  # type: ignore[no-any-return]

        return _plain_rows(dataset.schema, dataset.count_rows(), scan)
    table = table_of(value)

    def slices(columns: Sequence[str], size: int) -> Iterable[pa.RecordBatch]:
        return table.select(list(columns)).to_batches(max_chunksize=size)  # type: ignore[no-any-return]

    return _plain_rows(table.schema, table.num_rows, slices)


def is_dataset(value: object) -> TypeGuard[ds.Dataset]:
    """Whether a value is a dataset. Of whoever made one, the module is loaded; loading it would load pandas too."""
    module = sys.modules.get("pyarrow._dataset")
    return module is not None and isinstance(value, module.Dataset)


def _plain_rows(schema: pa.Schema, num_rows: int, read: Reader) -> Rows:
    """The rows with each column in its plain type."""

    def read_plain(columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        return (plain_batch(batch) for batch in read(columns, size))

    return Rows(plain_schema(schema), num_rows, read_plain)
