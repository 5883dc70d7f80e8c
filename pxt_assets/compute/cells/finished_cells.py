"""Finished cells, wherever they are: in the column's earlier file, or in the journal of this and earlier attempts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.answered_by import RowServers, is_other_mask, row_servers
from pxt_assets.compute.cells.cell import RESULT_COLUMNS
from pxt_assets.compute.cells.digest_index import (
    LOOKUP_ROWS,
    DigestIndex,
    digests_of,
    lookup_batches,
    simulated_digests,
)
from pxt_assets.compute.cells.failed_answers import failed_rows
from pxt_assets.compute.cells.gather import interleave_rows
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.cells.row_groups import RowGroups
from pxt_assets.compute.cells.scratch_file import scratch_folder
from pxt_assets.compute.cells.sidecar import Sidecar, empty_provenance
from pxt_assets.errors import PartitionError
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.numpy_views import arrow_of, valid_flags
from pxt_assets.values.types import ColumnType, variable_length_type

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pxt_assets.api.request import Endpoint
    from pxt_assets.compute.cells.digest_index import Digests, ManyDigests, Positions


class EarlierFile:
    """The column's stored file, as a source of cells by `_digest`. With an `endpoint`, they are its answers."""

    def __init__(
        self,
        file: ParquetFile,
        name: str,
        column_type: type[ColumnType],
        endpoint: Endpoint | None = None,
    ) -> None:
        file = file.reopened()
        self.simulated = False
        self._file = file
        self._endpoint = endpoint
        self._columns = ["_digest", name, f"{name}_errortype", f"{name}_errormsg"]
        self._groups: RowGroups | None = None
        self.servers = RowServers()
        if file.exists() and _has_cell_columns(file.schema, self._columns, name, column_type):
            self.simulated = bool(file.metadata.get("simulated"))
            self.servers = row_servers(file.metadata, file.num_rows)
            self._groups = RowGroups(file, self._columns)

    def load(self, *, errors: bool, leave_out: Callable[[str], bool] | None = None) -> DigestIndex:
        """An index of its cells by row number; failed cells only if `errors`, none of servers that `leave_out` names."""
        import numpy as np

        if self._groups is None:
            return DigestIndex()
        left = failed_rows(self._file, self._columns[1], self._endpoint)
        if leave_out is not None:
            left = np.concatenate([left, self.servers.rows_of(leave_out)])
        return stored_cell_index(self._file, self._columns[2], errors=errors, leave_out=left)

    def failed(self) -> DigestIndex:
        """An index of its failed cells."""
        if self._groups is None:
            return DigestIndex()
        return stored_cell_index(self._file, self._columns[2], errors=True, results=False)

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """The cells at row numbers `int64[n]`, in that order: columns digest, value, errortype, errormsg, server."""
        assert self._groups is not None
        cells = self._groups.take(positions).rename_columns([*RESULT_COLUMNS])
        return cells.append_column("server", self.servers.take(positions))

    def prepare_order(
        self, positions: Positions, interrupted: threading.Event
    ) -> AbstractContextManager[None]:
        """Within the block, `take` is fast in the order of `int64[n]`; see `RowGroups.prepare_order`."""
        return nullcontext() if self._groups is None else self._groups.prepare_order(positions, interrupted)


def stored_cell_index(
    file: ParquetFile,
    errortype: str,
    *,
    errors: bool,
    results: bool = True,
    leave_out: npt.NDArray[np.int64] | None = None,
) -> DigestIndex:
    """An index of the cells in a column's file, by row number: the failed ones, with an `errortype`, those with a result.

    The rows `leave_out`, `int64[n]`, are not in it.
    """
    import numpy as np

    index = DigestIndex(scratch_folder(file))
    start = 0
    for batch in file.rows().batches(["_digest", errortype], LOOKUP_ROWS):
        usable, has_error = valid_flags(batch["_digest"]), valid_flags(batch[errortype])
        if not errors:
            usable = usable & ~has_error
        if not results:
            usable = usable & has_error
        if leave_out is not None:
            here = leave_out[(leave_out >= start) & (leave_out < start + batch.num_rows)] - start
            usable = usable.copy()
            usable[here] = False
        rows = np.flatnonzero(usable)
        index.add(digests_of(batch["_digest"].take(arrow_of(rows))), rows + start)
        start += batch.num_rows
    return index


def _has_cell_columns(schema: pa.Schema, names: list[str], name: str, column_type: type[ColumnType]) -> bool:
    return set(names) <= set(schema.names) and variable_length_type(
        schema.field(name).type
    ) == variable_length_type(column_type.arrow())


class FinishedCells:
    """All finished cells that a computation may use, looked up by digest.

    A simulator's answers have other digests than the API's. They are found only while the server is a simulator
    (`simulated`), so that a simulated answer never passes for a result, and a paid one is always used.
    """

    def __init__(
        self,
        earlier: Callable[[], EarlierFile],
        journal: Journal,
        sidecar: Sidecar | None = None,
        *,
        refresh: bool = False,
        retry_errors: bool = True,
    ) -> None:
        self.simulated = False
        self._open_earlier = earlier
        self._earlier = earlier()
        self._journal = journal
        self._sidecar = sidecar
        self._reuse_errors = not retry_errors
        self._refresh = refresh
        if refresh:
            journal.begin_refresh()
        self._load()
        self._failed_before = self._earlier.failed()
        self.any_simulated = self._earlier.simulated or journal.simulated
        self.used_simulated = False
        """Whether any cell that was looked up comes from a simulator."""

    def _load(self, leave_out: Callable[[str], bool] | None = None) -> None:
        errors, refresh = self._reuse_errors, self._refresh
        self._file_index = (
            DigestIndex() if refresh else self._earlier.load(errors=errors, leave_out=leave_out)
        )
        self._journal_index, self._failed_index = self._journal.load(
            errors=errors, since_refresh=refresh, leave_out=leave_out
        )

    def leave_out(self, is_left_out: Callable[[str], bool]) -> None:
        """Until `reload`, finds no cells of servers whose names `is_left_out` is true of."""
        self._load(is_left_out)

    def reload(self) -> None:
        """Loads what this attempt journaled, and what another run may have stored since it began.

        Where a refresh failed, or a cell that was left out could not be asked for anew, the earlier result is found again.
        """
        self._earlier = self._open_earlier()
        self._file_index = self._earlier.load(errors=self._reuse_errors)
        self._journal_index, self._failed_index = self._journal.load(errors=self._reuse_errors)

    def missing_mask(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Which of the cells `S16[n]` are not finished."""
        in_journal, in_file = self._find(digests)
        missing: npt.NDArray[np.bool_] = (in_journal < 0) & (in_file < 0)
        return missing

    def failed_before(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Which of the cells `S16[n]` failed in earlier runs."""
        in_file, in_journal = (i.find(digests) for i in (self._failed_before, self._journal.earlier_failures))
        failed: npt.NDArray[np.bool_] = (in_file >= 0) | (in_journal >= 0)
        return failed

    def take(self, digests: Digests) -> pa.Table:
        """The finished cells `S16[n]` in that order: digest (as it is stored), value, errortype, errormsg, server.

        Raises PartitionError if one is gone, which only another run of the same partition can cause.
        """
        import numpy as np

        in_journal, in_file = self._find(digests)
        if bool(((in_journal < 0) & (in_file < 0)).any()):
            msg = (
                "another run computes this partition at the same time and has taken over finished cells; "
                "materialize again when it has ended: what is finished is not computed again"
            )
            raise PartitionError(msg)
        from_journal = np.flatnonzero(in_journal >= 0)
        from_file = np.flatnonzero((in_journal < 0) & (in_file >= 0))
        parts = []
        if len(from_journal):
            parts.append(_with_plain_vectors(self._journal.take(in_journal[from_journal])))
        if len(from_file):
            parts.append(_with_plain_vectors(self._earlier.take(in_file[from_file])))
        return interleave_rows(parts, [p for p in (from_journal, from_file) if len(p)])

    @property
    def servers(self) -> set[str]:
        """The servers that answered what is finished, as far as they are known."""
        return {name for name in (*self._earlier.servers.names, *self._journal.servers) if name is not None}

    def count_answered_by(self, digests: Digests, is_wanted: Callable[[str], bool]) -> int:
        """How many of the cells `S16[n]` would be reused from servers that are wanted."""
        import pyarrow as pa

        in_journal, in_file = self._find(digests)
        of_file = self._earlier.servers.take(in_file[(in_journal < 0) & (in_file >= 0)])
        found = [of_file]
        if (in_journal >= 0).any():
            found += self._journal.take(in_journal[in_journal >= 0])["server"].chunks
        return int(is_other_mask(pa.chunked_array(found, pa.string()), is_wanted).sum())

    def prepare_order(
        self, digests: ManyDigests, interrupted: threading.Event
    ) -> AbstractContextManager[None]:
        """Within the block, `take` is fast in the order of the cells `S16[n]`, whatever the stored file's order.

        Raises InterruptedError once `interrupted` is set.
        """
        if not len(self._file_index):
            return nullcontext()

        def in_file(digests: Digests) -> Positions:
            in_journal, in_file = self._find(digests)
            return in_file[in_journal < 0]

        return self._earlier.prepare_order(_found_positions(in_file, digests), interrupted)

    def prepare_provenance_order(
        self, digests: ManyDigests, interrupted: threading.Event
    ) -> AbstractContextManager[None]:
        """Within the block, `provenance` is fast in the order of the cells `S16[n]`."""
        if self._sidecar is None or not len(self._sidecar):
            return nullcontext()

        def in_sidecar(digests: Digests) -> Positions:
            in_journal, _ = self._find(digests)
            return self._find_in_sidecar(digests[in_journal < 0])

        return self._sidecar.prepare_order(_found_positions(in_sidecar, digests), interrupted)

    def provenance(self, digests: Digests) -> pa.Table:
        """Where the finished cells `S16[n]` come from, in that order: digest and `provenance_schema`.

        Cells whose provenance is unknown are left out.
        """
        import numpy as np

        in_journal, _ = self._find(digests)
        from_journal = np.flatnonzero(in_journal >= 0)
        parts = [self._journal.provenance(in_journal[from_journal])] if len(from_journal) else []
        positions = [from_journal] if len(from_journal) else []
        rest = np.flatnonzero(in_journal < 0)
        if len(rest) and self._sidecar is not None:
            known = self._find_in_sidecar(digests[rest])
            if (known >= 0).any():
                parts.append(self._sidecar.take(known[known >= 0]))
                positions.append(rest[known >= 0])
        return interleave_rows(parts, positions) if parts else empty_provenance()

    def _find_in_sidecar(self, digests: Digests) -> Positions:
        import numpy as np

        assert self._sidecar is not None
        known = self._sidecar.find(digests)
        if self.simulated:
            known = np.where(known < 0, self._sidecar.find(simulated_digests(digests)), known)
        return known

    def any_in_journal(self, digests: ManyDigests) -> bool:
        """Whether any of the cells `S16[n]` was finished after the column's file was written."""
        if not len(self._journal_index) and not len(self._failed_index):
            return False
        return any(bool((self._find(part)[0] >= 0).any()) for part in lookup_batches(digests))

    def uses_simulated(self, digests: ManyDigests) -> bool:
        """Whether any of the cells `S16[n]`, or of those looked up before, comes from a simulator."""
        for part in lookup_batches(digests) if self.simulated else ():  # else none is found
            if self.used_simulated:
                break
            self._find(part)
        return self.used_simulated

    def _find(self, digests: Digests) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Each cell's position in the journal and in the file, -1 where it is not there."""
        import numpy as np

        in_journal, in_file = self._find_exact(digests)
        if self.simulated:
            missed = np.flatnonzero((in_journal < 0) & (in_file < 0))
            if len(missed):
                in_journal[missed], in_file[missed] = self._find_exact(simulated_digests(digests[missed]))
                found = (in_journal[missed] >= 0) | (in_file[missed] >= 0)
                self.used_simulated = self.used_simulated or bool(found.any())
        return in_journal, in_file

    def _find_exact(self, digests: Digests) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        import numpy as np

        done, in_file, failed = (
            i.find(digests) for i in (self._journal_index, self._file_index, self._failed_index)
        )
        return np.where((done < 0) & (in_file < 0), failed, done), in_file


def _found_positions(find: Callable[[Digests], Positions], digests: ManyDigests) -> Positions:
    """The positions that `find` gives, in the order of the digests, without those that are missing."""
    import numpy as np

    found = np.concatenate([np.empty(0, np.int64), *map(find, lookup_batches(digests))])
    return found[found >= 0]


def _with_plain_vectors(table: pa.Table) -> pa.Table:
    """The cells, with vectors of a type without a fixed length."""
    value = table["value"]
    wanted = variable_length_type(value.type)
    return table if wanted == value.type else table.set_column(1, "value", value.cast(wanted))
