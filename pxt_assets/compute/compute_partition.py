"""Computes one partition of one column: what is missing is asked for, journaled, and committed as one file.

Every finished cell goes through the journal, whether this is the first attempt or the tenth; the column's file is then
assembled from the journal and the earlier file, in row order. So a slow row holds nothing back, memory does not grow
with the rows, and a resumed run is no special case.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from pxt_assets.api.budget import BudgetReachedError
from pxt_assets.api.meter import Meter
from pxt_assets.api.telemetry import partition_span
from pxt_assets.compute.asking.cell_requester import Asker
from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.asking.run_state import Shared
from pxt_assets.compute.cells.finished_cells import Cells, EarlierFile
from pxt_assets.compute.cells.journal import Journal, journal_of
from pxt_assets.compute.cells.sidecar import Sidecar
from pxt_assets.compute.cells.usage_history import observed
from pxt_assets.compute.claims.claim import claimed
from pxt_assets.compute.partition.column import Column, Outcome
from pxt_assets.compute.storing.assemble import (
    Assembly,
    assemble,
    derived_cells,
    finished_cells,
    provenance_of,
)
from pxt_assets.compute.storing.unchanged import already_stored, unchanged
from pxt_assets.errors import RunError
from pxt_assets.local.threads import DaemonThreadPool, run_in_thread
from pxt_assets.storage.parquet import remove, sidecar_of

if TYPE_CHECKING:
    import pyarrow as pa

    from pxt_assets.api.client import Client

_GRACE_SECONDS = 2.0
"""How long an interrupted commit is waited for."""


def _nothing() -> None:
    pass


async def compute(column: Column, shared: Shared, admitted: Callable[[], None] = _nothing) -> Outcome:
    """Computes and stores one partition of a column. `admitted` is called when the next one may begin to ask.

    Raises RunError; whatever was finished by then is on disk, and the stored column is as it was.
    """
    try:
        with (
            column.inputs.held(),
            partition_span(column.asset_name, column.partition_key, column.run_id) as finish_span,
        ):
            outcome = await _compute(column, shared, admitted)
            finish_span(outcome.span_attributes, outcome.meter.limit_utilization)
            return outcome
    except RunError as e:
        e.locate(column.label)
        raise


async def _compute(column: Column, shared: Shared, admitted: Callable[[], None]) -> Outcome:
    await run_in_thread(column.inputs.check)
    _release_memory()
    started = time.monotonic()
    if not column.plan.asks:
        return await _derive(column, shared, started)
    assert column.column_type is not None
    async with claimed(column.file.path, column.run_id) as check_claim:
        journal = Journal(journal_of(column.file.path), column.column_type, run_id=column.run_id)
        try:
            stored = await _unchanged(column, shared.client, journal)
            if stored is not None:
                _show_end(column, shared, started)
                return _outcome(column, stored, started, simulated=bool(column.file.metadata["simulated"]))
            assembly, asker, cells = await _ask_and_commit(column, shared, journal, admitted, check_claim)
        finally:
            journal.close()
    computed = asker.asked_rows - asker.failed_rows
    return _outcome(
        column, assembly, started, simulated=cells.used_simulated, computed=computed, meter=asker.meter
    )


async def _unchanged(column: Column, client: Client | None, journal: Journal) -> Assembly | None:
    """What is stored, if there is nothing to compute, as can be told without a look at single cells."""
    stored = await run_in_thread(lambda: unchanged(column) if journal.is_empty() else None)
    if stored is None or not column.file.metadata["simulated"]:
        return stored
    return stored if client is not None and await client.is_simulated() else None


def _outcome(
    column: Column,
    assembly: Assembly,
    started: float,
    *,
    simulated: bool,
    computed: int = 0,
    meter: Meter | None = None,
) -> Outcome:
    findings = assembly.findings
    failed = findings.errors.total()
    return Outcome(
        rows=findings.rows,
        computed=computed,
        reused=findings.rows - findings.skipped - computed - failed if column.plan.asks else 0,
        failed=failed,
        findings=findings,
        seconds=time.monotonic() - started,
        meter=meter or Meter(),
        simulated=simulated or column.inputs.simulated,
        schema=assembly.schema,
        sample=assembly.sample,
        data_version=assembly.data_version,
        trial=column.options.limit is not None,
    )


async def _ask_and_commit(
    column: Column,
    shared: Shared,
    journal: Journal,
    admitted: Callable[[], None],
    check_claim: Callable[[], None],
) -> tuple[Assembly, Asker, Cells]:
    assert column.column_type is not None
    options, client = column.options, shared.client
    earlier = partial(EarlierFile, column.file, column.name, column.column_type)
    # under "abort" no error may be stored, so none is kept
    retry_errors = options.retry_errors or options.on_error == "abort"
    sidecar = Sidecar(sidecar_of(column.file)) if options.provenance else None
    cells = await run_in_thread(
        Cells, earlier, journal, sidecar, refresh=options.refresh, retry_errors=retry_errors
    )
    if cells.any_simulated:
        cells.simulated = client is not None and await client.is_simulated()
    if column.budget is not None:
        column.budget.learn(await run_in_thread(observed, column.file, journal_of(column.file.path)))
    asker = Asker(column, cells, journal, shared, admitted)
    try:
        await asker.run()
    except BudgetReachedError as e:
        raise e.of(column.label, asker.done, column.total) from e
    cells.simulated = cells.simulated or (client is not None and bool(client.simulated))
    async with shared.commits:
        assembly = await _interruptible(partial(_commit, column, cells, asker, sidecar, check_claim))
    await run_in_thread(journal.remove if options.limit is None else journal.end_refresh)
    return assembly, asker, cells


async def _interruptible(commit: Callable[[threading.Event], Assembly]) -> Assembly:
    """Runs a commit off the event loop; it is given an event that is set when the run is interrupted.

    It then has some seconds to break off, so that the partition is not given up under it. One that hangs, in a disk or
    an upload, does not hold the process. Raises RunError where the storage fails.
    """
    interrupted = threading.Event()
    threads = DaemonThreadPool(1)
    running = asyncio.wrap_future(threads.submit(commit, interrupted))
    try:
        return await asyncio.shield(running)
    except OSError as e:
        msg = (
            f"cannot store the column: {type(e).__name__}: {e}. What was stored before is as it was, and what is finished is "
            "kept: materialize again when the storage has room and lets this process write"
        )
        raise RunError(msg) from e
    except asyncio.CancelledError:
        interrupted.set()
        await asyncio.wait([running], timeout=_GRACE_SECONDS)
        raise
    finally:
        if not running.cancel():
            running.exception()  # is known, or was an interrupt's
        threads.shutdown(wait=False)


def _release_memory() -> None:
    """Gives back what Arrow keeps for later: the next phase may take as much in other ways."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


async def _derive(column: Column, shared: Shared, started: float) -> Outcome:
    """Computes a column that calls no function: nothing to journal, and cheaper to do again than to look up."""
    shared.check()
    simulated = column.inputs.simulated
    async with shared.commits:
        assembly = await _interruptible(
            lambda interrupted: assemble(column, derived_cells(column, interrupted), simulated=simulated)
        )
    _show_end(column, shared, started)
    computed = assembly.findings.rows - assembly.findings.errors.total()
    return _outcome(column, assembly, started, simulated=simulated, computed=computed)


def _show_end(column: Column, shared: Shared, started: float) -> None:
    seconds = time.monotonic() - started
    shared.board.note_end(Progress(column.label, column.total, column.total, seconds, Meter()))


def _commit(
    column: Column,
    cells: Cells,
    asker: Asker,
    sidecar: Sidecar | None,
    check_claim: Callable[[], None],
    interrupted: threading.Event,
) -> Assembly:
    """Replaces the column's file, unless it holds just these rows already.

    The sidecar comes first: if a crash leaves it without the file, its cells are in the journal still. What it says of
    the earlier file's cells is dropped last: until then that file may be what is left.
    """
    cells.reload()
    _release_memory()
    digests = asker.digests
    nothing_new = not asker.asked_rows and not asker.refused and not cells.any_in_journal(digests)
    if nothing_new and column.options.limit is None:
        stored = already_stored(column, digests)
        if stored is not None:
            return stored
    simulated = cells.any_of_simulator(digests) or column.inputs.simulated
    finished = finished_cells(column, cells, digests, asker.refused, interrupted)

    def results() -> Iterator[pa.Table]:
        return _checked(finished(), check_claim)

    if sidecar is None or column.options.limit is not None:
        assembly = assemble(column, results, simulated=simulated, made_from=asker.made_from)
        if column.options.limit is None:
            remove(sidecar_of(column.file).path)  # it would tell of other answers
        return assembly
    rows, others = sidecar.write(
        _checked(provenance_of(cells, digests, asker.is_first, interrupted), check_claim), keep_others=True
    )
    sidecar.forget()
    _release_memory()
    assembly = assemble(column, results, simulated=simulated, made_from=asker.made_from)
    if others:
        sidecar.shorten(rows)
    return assembly


def _checked(parts: Iterator[pa.Table], check_claim: Callable[[], None]) -> Iterator[pa.Table]:
    """What a file is made of; once all of it is read, the claim is checked, as the file is then replaced."""
    yield from parts
    check_claim()
