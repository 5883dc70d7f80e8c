"""A stored index: rows by partition, written in atomic commits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pxt_assets.compute.cells.digest_index import digests_of
from pxt_assets.errors import PartitionError
from pxt_assets.index.lance import SIMULATED, retry_conflicts, sql_in, table_name, table_names
from pxt_assets.index.spec import DIGEST, INTERNAL, PARTITION, ROW, VECTOR, IndexSpec, is_free_name
from pxt_assets.index.widen import widen_columns
from pxt_assets.storage.common_type import cast_to, common_type

if TYPE_CHECKING:
    import pyarrow as pa
    from lancedb.db import DBConnection
    from lancedb.query import LanceVectorQueryBuilder
    from lancedb.table import Table as LanceTable

    from pxt_assets.compute.cells.digest_index import Digests

_IS_SEARCHABLE, _IS_MARKED_FOR_REMOVAL = f"{DIGEST} IS NOT NULL", f"{DIGEST} IS NULL"
"""Filters for the rows that can be found, and for those marked for removal."""
_COMMIT_BYTES = 256 * 2**20
"""Bytes of rows that one commit replaces at most: LanceDB holds them in memory several times."""


@dataclass(frozen=True)
class RowDigests:
    """Rows of a partition: the digests of their keys and of their contents, `S16[n]` each."""

    keys: Digests
    contents: Digests


class StoredIndex:
    """One LanceDB table of an index. Every commit is atomic: a crash leaves the rows as they were."""

    def __init__(self, spec: IndexSpec, database: DBConnection, table: LanceTable) -> None:
        self.spec = spec
        self.table = table
        self._database = database

    @classmethod
    def open(cls, spec: IndexSpec, database: DBConnection, *, simulated: bool) -> StoredIndex | None:
        """The index, even if it never had a row; None if it was never written, or is just being created."""
        there = table_names(database, spec)
        for empty in (False, True):
            name = table_name(spec, simulated=simulated, empty=empty)
            if name in there:
                try:
                    return cls(spec, database, database.open_table(name))
                except ValueError as e:
                    if "not found" not in str(e):  # its folder is there, but no version of it yet
                        raise
        return None

    @classmethod
    def create(
        cls, spec: IndexSpec, database: DBConnection, schema: pa.Schema, *, simulated: bool
    ) -> StoredIndex:
        """The index with these columns, created if it does not exist. Others may create it at the same time."""
        is_empty = VECTOR not in schema.names

        def open_or_create() -> StoredIndex:
            found = cls.open(spec, database, simulated=simulated)
            if found is None or (found.dim is None and not is_empty):
                name = table_name(spec, simulated=simulated, empty=is_empty)
                found = cls(spec, database, database.create_table(name, schema=schema, exist_ok=True))
            if not is_empty:
                widen_columns(found.table, schema)
                found._add_missing(schema)
            return found

        return retry_conflicts(open_or_create)

    @property
    def uri(self) -> str:
        """The LanceDB table's folder or URL."""
        return f"{self._database.uri}/{self.table.name}.lance"

    @property
    def schema(self) -> pa.Schema:
        """The stored columns."""
        return self.table.schema

    @property
    def columns(self) -> list[str]:
        """The columns that are kept beside keys and vectors."""
        return self.kept_columns_in(self.schema)

    def kept_columns_in(self, schema: pa.Schema) -> list[str]:
        """The columns of a schema that are kept beside keys and vectors."""
        internal = {*INTERNAL, *self.spec.key_columns}
        return [name for name in schema.names if name not in internal and is_free_name(name)]

    @property
    def dim(self) -> int | None:
        """The length of its vectors, None while it has none."""
        schema = self.schema
        return schema.field(VECTOR).type.list_size if VECTOR in schema.names else None

    def snapshot(self) -> StoredIndex:
        """The index as it is now, unaffected by later writes. It can be read for a day: older versions are removed."""
        table = self._database.open_table(self.table.name)
        table.checkout(table.version)
        return StoredIndex(self.spec, self._database, table)

    def count(self) -> int:
        """Rows that can be found."""
        return self.table.count_rows(_IS_SEARCHABLE)

    def partitions(self) -> set[str]:
        """The partitions that it holds rows of."""
        found: set[str] = set()
        for batch in self._read([PARTITION]):
            found.update(batch[PARTITION].unique().to_pylist())
        return found

    def rows_of(self, partition: str) -> RowDigests:
        """The rows that it holds of a partition, sorted by the digest of their key."""
        import numpy as np

        parts = [
            (digests_of(batch[ROW]), digests_of(batch[DIGEST]))
            for batch in self._read([ROW, DIGEST], f"{_IS_SEARCHABLE} AND {sql_in(PARTITION, [partition])}")
            if batch.num_rows
        ]
        none = np.empty(0, "S16")
        keys = np.concatenate([none, *(key for key, _ in parts)])
        contents = np.concatenate([none, *(content for _, content in parts)])
        order = np.argsort(keys)
        return RowDigests(keys[order], contents[order])

    def version(self) -> str:
        """A text that changes with the rows that can be found and their contents, not with how they are stored."""
        total = ContentVersion()
        for batch in self._read([DIGEST], _IS_SEARCHABLE):
            total.add(digests_of(batch[DIGEST]))
        return total.hexdigest()

    def _add_missing(self, schema: pa.Schema) -> None:
        """Adds columns that its rows do not have yet, null in all of them."""
        import pyarrow as pa

        missing = [field for field in schema if field.name not in self.schema.names]
        if missing:
            self.table.add_columns(pa.schema(missing))

    def append(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
        """Adds rows whose keys are all new, in one commit."""
        import pyarrow as pa

        failed: list[BaseException] = []

        def noting_errors() -> Iterator[pa.RecordBatch]:
            try:
                yield from batches
            except BaseException as e:  # LanceDB would raise an error of its own in its place
                failed.append(e)
                raise

        try:
            self.table.add(pa.RecordBatchReader.from_batches(schema, noting_errors()))
        except Exception:
            if failed:
                raise failed[0] from None
            raise

    def replace(self, batches: Iterable[pa.RecordBatch], gone: pa.RecordBatch, schema: pa.Schema) -> None:
        """Replaces the rows with the same keys, adds new ones, and removes those of `gone`.

        The rows of `gone` have no vector and no digest, so that the same commit makes the stored ones impossible to
        find; the next commit removes them. One commit replaces 256 MB of rows. With several, each row is meanwhile
        either the old one or the new.
        """
        import pyarrow as pa

        pending: list[pa.RecordBatch] = []
        nbytes = 0
        for batch in batches:
            pending.append(batch)
            nbytes += batch.nbytes
            if nbytes >= _COMMIT_BYTES:
                self._merge(pa.Table.from_batches(pending, schema))
                pending, nbytes = [], 0
        if gone.num_rows:
            pending.append(gone)
        if pending:
            self._merge(pa.Table.from_batches(pending, schema))
        if gone.num_rows:
            retry_conflicts(self.remove_marked_rows)

    def remove_marked_rows(self) -> None:
        """Removes the rows that are marked for removal, also those that a crash left behind."""
        if self.table.count_rows(_IS_MARKED_FOR_REMOVAL):
            self.table.delete(_IS_MARKED_FOR_REMOVAL)

    @property
    def simulated(self) -> bool:
        """Whether a simulator invented its vectors."""
        return SIMULATED in self.table.name

    def drop_older_tables(self) -> list[str]:
        """Drops the index's other tables whose partitions this one has all of. Gives the names of the rest.

        A table of simulated vectors never replaces one of the API's.
        """
        ours, left = self.partitions(), []
        for name in table_names(self._database, self.spec):
            if name == self.table.name or (self.simulated and SIMULATED not in name):
                continue
            other = StoredIndex(self.spec, self._database, self._database.open_table(name))
            if other.partitions() <= ours:
                self._database.drop_table(name)
            else:
                left.append(name)
        return left

    def query(self, vectors: Any) -> LanceVectorQueryBuilder:
        """A search for one vector, or for each of a list."""
        query = self.table.search(vectors, vector_column_name=VECTOR, query_type="vector")
        return cast("LanceVectorQueryBuilder", query)

    def _merge(self, rows: pa.Table) -> None:
        merge = self.table.merge_insert(ROW).when_matched_update_all().when_not_matched_insert_all()
        merge.execute(rows, on_bad_vectors="null")

    def _read(self, columns: Sequence[str], where: str | None = None) -> Iterator[pa.RecordBatch]:
        query = self.table.search().select(list(columns))
        yield from (query if where is None else query.where(where)).to_batches()


class ContentVersion:
    """A hash of rows' contents that does not depend on their order."""

    def __init__(self) -> None:
        self._sums = [0, 0]
        self._rows = 0

    def add(self, digests: Digests) -> None:
        """Adds rows by their digests, `S16[n]`."""
        import numpy as np

        halves = np.ascontiguousarray(digests).view(np.uint64).reshape(-1, 2)
        with np.errstate(over="ignore"):
            for i, half in enumerate(halves.sum(axis=0, dtype=np.uint64)):
                self._sums[i] = (self._sums[i] + int(half)) % 2**64
        self._rows += len(digests)

    def hexdigest(self) -> str:
        """The hash as hexadecimal digits."""
        return f"{self._sums[0]:016x}{self._sums[1]:016x}{self._rows:x}"


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema, where: str) -> pa.RecordBatch:
    """The batch with the schema's columns, null if it lacks one. Raises PartitionError for one that cannot be cast."""
    import pyarrow as pa

    arrays: list[Any] = []
    for field in schema:
        if field.name not in batch.schema.names:
            arrays.append(pa.nulls(batch.num_rows, field.type))
            continue
        column = batch[field.name]
        try:
            if column.type != field.type and common_type([column.type, field.type]) != field.type:
                msg = "these have nothing in common"
                raise pa.ArrowInvalid(msg)
            arrays.append(column if column.type == field.type else cast_to(column, field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
            msg = (
                f"{where}: the column {field.name!r} is {column.type} now, but the index holds it as {field.type} ({e}); give "
                "it the type it had, or another name, or have other columns kept: add_embedding_index(columns=[...])"
            )
            raise PartitionError(msg) from e
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
