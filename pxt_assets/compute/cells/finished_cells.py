"""Finished cells, wherever they are: the column's earlier file, the journal of earlier attempts, this attempt."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from pxt_assets.compute.cells.digest_index import DigestIndex, digests_of, parts_of, simulated_digests
from pxt_assets.compute.cells.gather import interleaved
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.cells.row_groups import RowGroups
from pxt_assets.compute.cells.sidecar import Sidecar, empty_provenance
from pxt_assets.errors import PartitionError
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.types import ColumnType, variable_length_type

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from pxt_assets.compute.cells.digest_index import Digests, Positions


class EarlierFile:
    """The column's stored file as a source of cells, found by `_digest`."""

    def __init__(self, file: ParquetFile, name: str, column_type: type[ColumnType]) -> None:
        file = ParquetFile(file.path)  # as it is now
        self.simulated = False
        self._file = file
        self._columns = ["_digest", name, f"{name}_errortype", f"{name}_errormsg"]
        self._groups: RowGroups | None = None
        if file.exists() and _holds(file.schema, self._columns, name, column_type):
            self.simulated = bool(file.metadata.get("simulated"))
            self._groups = RowGroups(file, self._columns)

    def load(self, *, errors: bool) -> DigestIndex:
        """Which cells it holds; failed ones only if `errors`. Positions are row numbers."""
        if self._groups is None:
            return DigestIndex()
        return stored_cells(self._file, self._columns[2], errors=errors)

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """The cells at row numbers `int64[n]`, in that order: columns digest, value, errortype, errormsg."""
        assert self._groups is not None
        return self._groups.take(positions).rename_columns(["digest", "value", "errortype", "errormsg"])

    def arranged(self, positions: Positions, interrupted: threading.Event) -> AbstractContextManager[None]:
        """While it lasts, rows are taken quickly in the order of `int64[n]`, as `RowGroups.arranged` says."""
        return nullcontext() if self._groups is None else self._groups.arranged(positions, interrupted)


def stored_cells(file: ParquetFile, errortype: str, *, errors: bool) -> DigestIndex:
    """Which cells a column's file holds, by row number; failed ones, which have an `errortype`, only if `errors`."""
    import numpy as np

    index = DigestIndex()
    table = file.rows().table(["_digest", errortype])
    known = table["_digest"].is_valid().to_numpy()
    if not errors:
        known &= table[errortype].is_null().to_numpy()
    positions = np.flatnonzero(known)
    index.add(digests_of(table["_digest"].take(positions)), positions)
    return index


def _holds(schema: pa.Schema, names: list[str], name: str, column_type: type[ColumnType]) -> bool:
    return set(names) <= set(schema.names) and variable_length_type(
        schema.field(name).type
    ) == variable_length_type(column_type.arrow())


class Cells:
    """All finished cells that a computation may use, looked up by digest.

    A simulator's answers are named apart from the API's: they are found only while the server is a simulator
    (`simulated`), so that what was rehearsed never passes for a result, and what was paid for always counts.
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
        self._errors = not retry_errors
        self._in_file = DigestIndex() if refresh else self._earlier.load(errors=self._errors)
        if refresh:
            journal.begin_refresh()
        self._done, self._failed = journal.load(errors=self._errors, anew=refresh)
        self.any_simulated = self._earlier.simulated or journal.simulated
        self.used_simulated = False
        """Whether any cell that was looked up is a simulator's."""

    def reload(self) -> None:
        """Takes in what this attempt journaled, and what another run may have stored since it began.

        Where a refresh failed, the earlier result stands.
        """
        self._earlier = self._open_earlier()
        self._in_file = self._earlier.load(errors=self._errors)
        self._done, self._failed = self._journal.load(errors=self._errors)

    def missing(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Which of the cells `S16[n]` are not finished."""
        in_journal, in_file = self._find(digests)
        missing: npt.NDArray[np.bool_] = (in_journal < 0) & (in_file < 0)
        return missing

    def take(self, digests: Digests) -> pa.Table:
        """The finished cells `S16[n]` in that order: digest (as it is stored), value, errortype, errormsg.

        Raises PartitionError if one is gone, which only another run of the same partition can have brought about.
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
            parts.append(_plain(self._journal.take(in_journal[from_journal])))
        if len(from_file):
            parts.append(_plain(self._earlier.take(in_file[from_file])))
        return interleaved(parts, [p for p in (from_journal, from_file) if len(p)])

    def arranged(self, digests: Digests, interrupted: threading.Event) -> AbstractContextManager[None]:
        """While it lasts, `take` is quick in the order of the cells `S16[n]`, whatever the stored file's order.

        Raises InterruptedError once `interrupted` is set.
        """
        if not len(self._in_file):
            return nullcontext()

        def in_file(names: Digests) -> Positions:
            in_journal, in_file = self._find(names)
            return in_file[in_journal < 0]

        return self._earlier.arranged(_positions(in_file, digests), interrupted)

    def provenance_arranged(
        self, digests: Digests, interrupted: threading.Event
    ) -> AbstractContextManager[None]:
        """The same for `provenance`."""
        if self._sidecar is None or not len(self._sidecar):
            return nullcontext()

        def in_sidecar(names: Digests) -> Positions:
            in_journal, _ = self._find(names)
            return self._in_sidecar(names[in_journal < 0])

        return self._sidecar.arranged(_positions(in_sidecar, digests), interrupted)

    def provenance(self, digests: Digests) -> pa.Table:
        """Where the finished cells `S16[n]` come from, in that order: digest and `provenance_schema`.

        Cells of which nothing is known are left out.
        """
        import numpy as np

        in_journal, _ = self._find(digests)
        from_journal = np.flatnonzero(in_journal >= 0)
        parts = [self._journal.provenance(in_journal[from_journal])] if len(from_journal) else []
        places = [from_journal] if len(from_journal) else []
        rest = np.flatnonzero(in_journal < 0)
        if len(rest) and self._sidecar is not None:
            known = self._in_sidecar(digests[rest])
            if (known >= 0).any():
                parts.append(self._sidecar.take(known[known >= 0]))
                places.append(rest[known >= 0])
        return interleaved(parts, places) if parts else empty_provenance()

    def _in_sidecar(self, digests: Digests) -> Positions:
        import numpy as np

        assert self._sidecar is not None
        known = self._sidecar.find(digests)
        if self.simulated:
            known = np.where(known < 0, self._sidecar.find(simulated_digests(digests)), known)
        return known

    def any_in_journal(self, digests: Digests) -> bool:
        """Whether any of the cells `S16[n]` was finished after the column's file was written."""
        if not len(self._done) and not len(self._failed):
            return False
        return any(bool((self._find(part)[0] >= 0).any()) for part in parts_of(digests))

    def any_of_simulator(self, digests: Digests) -> bool:
        """Whether any of the cells `S16[n]`, or of those looked up before, is a simulator's."""
        for part in parts_of(digests) if self.simulated else ():  # else none is found
            if self.used_simulated:
                break
            self._find(part)
        return self.used_simulated

    def _find(self, digests: Digests) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Positions in the journal and in the file, -1 where it is in neither."""
        import numpy as np

        in_journal, in_file = self._find_named(digests)
        if self.simulated:
            missed = np.flatnonzero((in_journal < 0) & (in_file < 0))
            if len(missed):
                in_journal[missed], in_file[missed] = self._find_named(simulated_digests(digests[missed]))
                found = (in_journal[missed] >= 0) | (in_file[missed] >= 0)
                self.used_simulated = self.used_simulated or bool(found.any())
        return in_journal, in_file

    def _find_named(self, digests: Digests) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        import numpy as np

        done, in_file, failed = (i.find(digests) for i in (self._done, self._in_file, self._failed))
        return np.where((done < 0) & (in_file < 0), failed, done), in_file


def _positions(find: Callable[[Digests], Positions], digests: Digests) -> Positions:
    """Those that are found, in the order of the digests."""
    import numpy as np

    found = np.concatenate([np.empty(0, np.int64), *map(find, parts_of(digests))])
    return found[found >= 0]


def _plain(table: pa.Table) -> pa.Table:
    """The cells with vectors of free length, whatever length their file has fixed."""
    value = table["value"]
    wanted = variable_length_type(value.type)
    return table if wanted == value.type else table.set_column(1, "value", value.cast(wanted))
