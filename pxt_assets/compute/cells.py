"""Finished cells, wherever they are: the column's earlier file, the journal of earlier attempts, this attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pxt_assets.compute.digests import DigestIndex, digests_of
from pxt_assets.compute.gather import gathered, interleaved
from pxt_assets.compute.journal import Journal
from pxt_assets.digest import simulated_digest
from pxt_assets.errors import RunError
from pxt_assets.parquet import ParquetFile
from pxt_assets.types import ColumnType, plain_type

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pxt_assets.compute.digests import Digests

_ROW_GROUPS_KEPT = 4


class EarlierFile:
    """The column's stored file as a source of cells, found by `_digest`."""

    def __init__(self, file: ParquetFile, name: str, column_type: type[ColumnType]) -> None:
        file = ParquetFile(file.path)  # as it is now
        self.simulated = False
        self._file = file
        self._columns = ["_digest", name, f"{name}_errortype", f"{name}_errormsg"]
        self._groups: dict[int, pa.Table] = {}
        self._usable = file.exists() and _holds(file.schema, self._columns, name, column_type)
        if self._usable:
            self.simulated = bool(file.metadata.get("simulated"))

    def load(self, *, errors: bool) -> DigestIndex:
        """Which cells it holds; failed ones only if `errors`. Positions are row numbers."""
        import numpy as np

        index = DigestIndex()
        if not self._usable:
            return index
        table = self._file.rows().table(["_digest", self._columns[2]])
        known = table["_digest"].is_valid().to_numpy()
        if not errors:
            known &= table[self._columns[2]].is_null().to_numpy()
        positions = np.flatnonzero(known)
        index.add(digests_of(table["_digest"].take(positions)), positions)
        return index

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Table:
        """The cells at row numbers `int64[n]`, in that order: columns digest, value, errortype, errormsg."""
        with self._file.open() as opened:
            groups = range(opened.metadata.num_row_groups)
            sizes = [opened.metadata.row_group(i).num_rows for i in groups]
            return gathered(positions, sizes, lambda i: self._group(opened, i))

    def _group(self, opened: pq.ParquetFile, i: int) -> pa.Table:
        """A row group; the last few are kept, as neighbouring rows mostly want the same."""
        if i not in self._groups:
            while len(self._groups) >= _ROW_GROUPS_KEPT:
                del self._groups[next(iter(self._groups))]
            group = opened.read_row_group(i, columns=self._columns)
            self._groups[i] = group.rename_columns(["digest", "value", "errortype", "errormsg"])
        return self._groups[i]


def _holds(schema: pa.Schema, names: list[str], name: str, column_type: type[ColumnType]) -> bool:
    return set(names) <= set(schema.names) and plain_type(schema.field(name).type) == plain_type(
        column_type.arrow()
    )


class Cells:
    """All finished cells that a computation may use, looked up by digest.

    A simulator's answers are named apart from the API's: they are found only while the server is a simulator
    (`simulated`), so that what was rehearsed never passes for a result, and what was paid for always counts.
    """

    def __init__(
        self,
        earlier: Callable[[], EarlierFile],
        journal: Journal,
        *,
        refresh: bool = False,
        retry_errors: bool = True,
    ) -> None:
        self.simulated = False
        self._open_earlier = earlier
        self._earlier = earlier()
        self._journal = journal
        self._errors = not retry_errors
        self._in_file = DigestIndex() if refresh else self._earlier.load(errors=self._errors)
        done, failed = journal.load(errors=self._errors)
        self._done, self._failed = (DigestIndex(), DigestIndex()) if refresh else (done, failed)
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

        Raises RunError if one is gone, which only another run of the same partition can have brought about.
        """
        import numpy as np

        in_journal, in_file = self._find(digests)
        if bool(((in_journal < 0) & (in_file < 0)).any()):
            msg = (
                "another run computes this partition at the same time and has taken over finished cells; "
                "materialize again when it has ended: what is finished is not computed again"
            )
            raise RunError(msg)
        from_journal = np.flatnonzero(in_journal >= 0)
        from_file = np.flatnonzero((in_journal < 0) & (in_file >= 0))
        parts = []
        if len(from_journal):
            parts.append(_plain(self._journal.take(in_journal[from_journal])))
        if len(from_file):
            parts.append(_plain(self._earlier.take(in_file[from_file])))
        return interleaved(parts, [p for p in (from_journal, from_file) if len(p)])

    def any_of_simulator(self, digests: Digests) -> bool:
        """Whether any of the cells `S16[n]`, or of those looked up before, is a simulator's."""
        self._find(digests)
        return self.used_simulated

    def _find(self, digests: Digests) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Positions in the journal and in the file, -1 where it is in neither."""
        import numpy as np

        in_journal, in_file = self._find_named(digests)
        if self.simulated:
            missed = np.flatnonzero((in_journal < 0) & (in_file < 0))
            if len(missed):
                marked = [simulated_digest(d.ljust(16, b"\0")) for d in digests[missed].tolist()]
                in_journal[missed], in_file[missed] = self._find_named(np.array(marked, "S16"))
                found = (in_journal[missed] >= 0) | (in_file[missed] >= 0)
                self.used_simulated = self.used_simulated or bool(found.any())
        return in_journal, in_file

    def _find_named(self, digests: Digests) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        import numpy as np

        done, in_file, failed = (i.find(digests) for i in (self._done, self._in_file, self._failed))
        return np.where((done < 0) & (in_file < 0), failed, done), in_file


def _plain(table: pa.Table) -> pa.Table:
    """The cells with vectors of free length, whatever length their file has fixed."""
    value = table["value"]
    wanted = plain_type(value.type)
    return table if wanted == value.type else table.set_column(1, "value", value.cast(wanted))
