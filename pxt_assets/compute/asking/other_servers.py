"""Answers of another server than the one that is asked now: told, asked for anew, or refused, as the resource says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from pxt_assets.api.server_name import AskedServer
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.cells.finished_cells import FinishedCells
from pxt_assets.compute.partition.column import Column, OtherServers
from pxt_assets.compute.partition.stored_cells import check_other_servers, stored_cells
from pxt_assets.errors import PartitionError
from pxt_assets.local.threads import run_in_thread


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
