"""Answers of another server than the one that is asked now: told, asked for anew, or refused, as the resource says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

from pxt_assets.api.server_name import AskedServer, names_text
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.cells.digest_index import NO_DIGEST
from pxt_assets.compute.cells.finished_cells import EarlierFile, FinishedCells
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.partition.column import Column, OtherServers
from pxt_assets.compute.partition.plan import cell_digest
from pxt_assets.errors import CellError, PartitionError, RunError
from pxt_assets.local.threads import run_in_thread
from pxt_assets.storage.layout import earlier_layout, journal_folder


class OtherServerError(RunError):
    """Rows would be reused that another server answered, under on_other_server="fail"."""


async def other_servers(counts: Mapping[str, int] | None, run_state: RunState) -> OtherServers | None:
    """Whose rows are another server's, of rows that are counted by server; None where all are of the one asked."""
    name = run_state.server_name
    if name is None or not any(AskedServer(name).is_other(one) for one in counts or ()):
        return None
    server = await run_state.server()
    others = {one: n for one, n in (counts or {}).items() if server is not None and server.is_other(one)}
    return OtherServers(name, sum(others.values()), sorted(others)) if others else None


async def leave_out_other_servers(cells: FinishedCells, run_state: RunState) -> None:
    """Under on_other_server="recompute", finds no finished cells of other servers, so that they are asked for anew."""
    server = await _server_if_others(cells, run_state)
    if server is not None and server.on_other_server == "recompute":
        await run_in_thread(cells.leave_out, server.is_other)


async def _server_if_others(cells: FinishedCells, run_state: RunState) -> AskedServer | None:
    name = run_state.server_name
    if name is None or not any(map(AskedServer(name).is_other, cells.servers)):
        return None  # the server need not be asked whether it is a simulator
    return await run_state.server()


async def refuse_other_servers(
    partitions: Iterable[str | None], open_column: Callable[[str | None], Column], run_state: RunState
) -> None:
    """Under on_other_server="fail", raises OtherServerError for the first partition that would reuse another's answers."""
    if run_state.refuses_other_servers:
        for partition in partitions:
            with suppress(PartitionError):  # is raised again, and told, when its turn comes
                await _refuse(await run_in_thread(open_column, partition), run_state)


async def _refuse(column: Column, run_state: RunState) -> None:
    if column.column_type is None or column.options.refresh:
        return
    with stored_cells(column) as cells:
        server = await _server_if_others(cells, run_state)
        if server is not None:
            await run_in_thread(check_other_servers, column, cells, server)


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
