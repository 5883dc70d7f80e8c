"""The finished cells of a partition as they are now, read without changing anything; and whose answers they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from pxt_assets.api.server_name import AskedServer, names_text
from pxt_assets.compute.cells.digest_index import NO_DIGEST
from pxt_assets.compute.cells.finished_cells import EarlierFile, FinishedCells
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.partition.plan import cell_digest
from pxt_assets.errors import CellError, RunError
from pxt_assets.storage.layout import earlier_layout, journal_folder


class OtherServerError(RunError):
    """Rows would be reused that another server answered, under on_other_server="fail"."""


@contextmanager
def stored_cells(column: Column) -> Iterator[FinishedCells]:
    """The finished cells of a partition as they are now; nothing is moved or written."""
    assert column.column_type is not None
    before = earlier_layout(column.file)
    journal = Journal(
        journal_folder(column.file),
        column.column_type,
        earlier=None if before is None else journal_folder(before),
        endpoint=column.plan.endpoint,
    )
    earlier = partial(EarlierFile, column.file, column.name, column.column_type, column.plan.endpoint)
    retry_errors = column.options.retry_errors or column.options.on_error == "abort"
    try:
        yield FinishedCells(earlier, journal, retry_errors=retry_errors)  # indexes the journal
    finally:
        journal.close()


def check_other_servers(column: Column, cells: FinishedCells, server: AskedServer) -> None:
    """Raises OtherServerError if rows of the partition have finished cells of other servers."""
    import numpy as np

    rows = 0
    for batch in column.inputs.batches(column.inputs.batch_rows, column.total):
        digests = [digest for row in batch if (digest := _digest(column, row)) is not None]
        rows += cells.count_answered_by(np.array([*digests, NO_DIGEST], "S16"), server.is_other)
    if rows:
        others = names_text(filter(server.is_other, cells.servers))
        msg = (
            f"{column.label}: {rows:,} of {column.total:,} rows are answered already, by {others}, while {server.name} is "
            'asked now; on_other_server="fail" of the OpenAIResource lets nothing be asked then. Set it to "reuse" to keep '
            'these answers, or to "recompute" to ask for those rows anew, and pay for them; or set base_url as it was'
        )
        raise OtherServerError(msg)


def _digest(column: Column, row: object) -> bytes | None:
    try:
        cell = column.plan.prepare(row)  # type: ignore[arg-type]
    except CellError:
        return None
    return None if cell is None else cell_digest(cell)
