"""Computes one partition of one column: missing cells are asked for, journaled, and committed as one file.

Every finished cell goes through the journal, in the first attempt and in every later one. The column's file is then
assembled from the journal and the earlier file, in row order. So a slow row holds nothing back, memory does not grow
with the rows, and a resumed run is no special case.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pxt_assets.api.budget import BudgetReachedError
from pxt_assets.api.meter import Meter
from pxt_assets.api.telemetry import partition_span
from pxt_assets.compute.asking.cell_requester import CellRequester
from pxt_assets.compute.asking.later_partition import CellsWait, LaterPass
from pxt_assets.compute.asking.other_servers import leave_out_other_servers, other_servers
from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.cells.earlier_companions import move_earlier_companions
from pxt_assets.compute.cells.finished_cells import EarlierFile, FinishedCells
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.cells.scratch_file import scratch_folder
from pxt_assets.compute.cells.sidecar import Sidecar
from pxt_assets.compute.claims.claim import hold_claim
from pxt_assets.compute.partition.column import Column, Outcome
from pxt_assets.compute.storing.assemble import (
    Assembly,
    assemble,
    derived_cell_reader,
    finished_cell_reader,
    provenance_tables,
)
from pxt_assets.compute.storing.interruptible import run_interruptibly
from pxt_assets.compute.storing.unchanged import stored_if_same_digests, stored_if_unchanged
from pxt_assets.errors import RunError
from pxt_assets.local.threads import run_in_thread
from pxt_assets.storage.atomic_file import remove
from pxt_assets.storage.layout import journal_folder, sidecar_of

if TYPE_CHECKING:
    import pyarrow as pa


def _do_nothing() -> None:
    pass


async def compute_partition(
    column: Column, run_state: RunState, on_admitted: Callable[[], None] = _do_nothing
) -> Outcome:
    """Computes and stores one partition of a column. `on_admitted` is called when the next one may begin to ask.

    Raises RunError; what was finished by then is on disk, and the stored column is as it was.
    """
    outcome = await compute_pass(column, run_state, on_admitted)
    assert isinstance(outcome, Outcome)  # nothing comes later
    return outcome


async def compute_pass(
    column: Column,
    run_state: RunState,
    on_admitted: Callable[[], None] = _do_nothing,
    later: LaterPass | None = None,
) -> Outcome | CellsWait:
    """The same of a partition some of whose answers come `later`: it is stored once nothing of it waits."""
    try:
        with (
            column.inputs.hold_snapshot(),
            partition_span(column.asset_name, column.partition_key, column.run_id) as finish_span,
        ):
            outcome = await _compute(column, run_state, on_admitted, later)
            if isinstance(outcome, CellsWait):
                finish_span({"pxt.rows_waiting": outcome.rows}, None)
            else:
                finish_span(outcome.span_attributes, outcome.meter.limit_utilization)
            return outcome
    except RunError as e:
        e.locate(column.label)
        raise


async def _compute(
    column: Column, run_state: RunState, on_admitted: Callable[[], None], later: LaterPass | None
) -> Outcome | CellsWait:
    await run_in_thread(column.inputs.check, scratch_folder(column.file))
    _release_memory()
    started = time.monotonic() if later is None else later.tally.started
    if not column.plan.calls_functions:
        return await _derive(column, run_state, started)
    assert column.column_type is not None
    async with hold_claim(column.file, column.run_id) as check_claim:
        await run_in_thread(move_earlier_companions, column.file, check_claim)
        journal = Journal(
            journal_folder(column.file),
            column.column_type,
            endpoint=column.plan.endpoint,
            run_id=column.run_id,
            own=() if later is None else later.tally.segments,
        )
        try:
            stored = await _stored_if_unchanged(column, run_state, journal, later)
            if stored is not None:
                _display_end(column, run_state, started, found=column.total)
                simulated = bool(column.file.metadata["simulated"])
                return await _outcome(column, stored, run_state, started, simulated=simulated)
            done = await _ask_and_commit(column, run_state, journal, on_admitted, check_claim, later)
            if isinstance(done, CellsWait):
                return done
            assembly, requester, cells = done
        finally:
            journal.close()
    return await _outcome(
        column,
        assembly,
        run_state,
        started,
        simulated=cells.used_simulated,
        computed=requester.counts.computed(requester.rows.digests) if later is None else later.tally.computed,
        meter=requester.meter,
    )


async def _stored_if_unchanged(
    column: Column, run_state: RunState, journal: Journal, later: LaterPass | None
) -> Assembly | None:
    """The stored column, if its inputs are unchanged and its answers may be reused; single cells are not looked at."""
    client = run_state.client
    if later is not None and later.is_awaited:
        return None
    stored = await run_in_thread(lambda: stored_if_unchanged(column) if journal.is_empty() else None)
    if stored is None:
        return None
    if column.file.metadata["simulated"] and not (client is not None and await client.is_simulated()):
        return None
    if run_state.reuses_other_servers or stored.servers is None:
        return stored
    return stored if await other_servers(stored.servers.counts, run_state) is None else None


async def _outcome(
    column: Column,
    assembly: Assembly,
    run_state: RunState,
    started: float,
    *,
    simulated: bool,
    computed: int = 0,
    meter: Meter | None = None,
) -> Outcome:
    findings = assembly.findings
    failed, nulls = findings.errors.total(), findings.absent
    meter = meter or Meter()
    meter.rows_unpriced = min(meter.rows_unpriced, computed + failed)  # some may have been asked for twice
    return Outcome(
        rows=findings.rows,
        computed=computed,
        reused=findings.rows - computed - nulls - failed,
        failed=failed,
        nulls=nulls,
        findings=findings,
        seconds=time.monotonic() - started,
        meter=meter,
        simulated=simulated or column.inputs.simulated,
        schema=assembly.schema,
        sample=assembly.sample,
        inputs=await run_in_thread(_sample_inputs, column, assembly.sample.num_rows),
        data_version=assembly.data_version,
        trial=column.options.limit is not None,
        answered_by=None if assembly.servers is None else assembly.servers.counts,
        other_servers=None
        if assembly.servers is None
        else await other_servers(assembly.servers.counts, run_state),
    )


def _sample_inputs(column: Column, rows: int) -> Mapping[str, Sequence[Any]] | None:
    """What the first rows were computed from, for people to see."""
    try:
        return column.inputs.sample(rows)
    except Exception:  # the column is stored, and may be paid for: it does not fail for a picture of it
        return None


async def _ask_and_commit(
    column: Column,
    run_state: RunState,
    journal: Journal,
    on_admitted: Callable[[], None],
    check_claim: Callable[[], None],
    later: LaterPass | None,
) -> tuple[Assembly, CellRequester, FinishedCells] | CellsWait:
    assert column.column_type is not None
    options, client = column.options, run_state.client
    earlier = partial(EarlierFile, column.file, column.name, column.column_type, column.plan.endpoint)
    # under "abort" no error may be stored, so none is kept
    retry_errors = options.retry_errors or options.on_error == "abort"
    sidecar = Sidecar(sidecar_of(column.file)) if options.provenance else None
    if options.refresh and later is not None:
        journal.follow(later.latest)
    refresh = options.refresh or (later is not None and await run_in_thread(later.completes_refresh, journal))
    cells = await run_in_thread(
        FinishedCells, earlier, journal, sidecar, refresh=refresh, retry_errors=retry_errors
    )
    if cells.any_simulated:
        cells.simulated = client is not None and await client.is_simulated()
    await leave_out_other_servers(cells, run_state)
    since = await run_in_thread(lambda: journal.refreshes_since) if refresh else None
    requester = CellRequester(
        column,
        cells,
        journal,
        run_state,
        on_admitted,
        later=None if later is None else later.cells(column, run_state, journal, cells, since or 0.0),
        meter=None if later is None else later.tally.meter,
    )
    try:
        await (requester.run() if later is None else later.run(requester, journal))
    except BudgetReachedError as e:
        raise e.with_progress(
            column.label, requester.counts.done - requester.counts.failed, column.total
        ) from e
    if later is not None and (waiting := later.waiting(requester)) is not None:
        return waiting
    cells.simulated = cells.simulated or (client is not None and bool(client.simulated))
    async with run_state.commit_slots:
        assembly = await run_interruptibly(partial(_commit, column, cells, requester, sidecar, check_claim))
    await run_in_thread(journal.remove if options.limit is None else journal.end_refresh)
    if later is not None:
        await run_in_thread(later.end, requester)
    return assembly, requester, cells


def _release_memory() -> None:
    """Returns Arrow's unused memory: the next phase may need as much elsewhere."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


async def _derive(column: Column, run_state: RunState, started: float) -> Outcome:
    """Computes a column that calls no function: without a journal, as computing is cheaper than looking up."""
    run_state.raise_if_stopped()
    simulated = column.inputs.simulated
    async with run_state.commit_slots:
        assembly = await run_interruptibly(
            lambda interrupted: assemble(
                column, derived_cell_reader(column, interrupted), simulated=simulated
            )
        )
    _display_end(column, run_state, started)
    findings = assembly.findings
    computed = findings.rows - findings.errors.total() - findings.absent
    return await _outcome(column, assembly, run_state, started, simulated=simulated, computed=computed)


def _display_end(column: Column, run_state: RunState, started: float, *, found: int = 0) -> None:
    seconds = time.monotonic() - started
    run_state.display.note_end(
        Progress(column.label, column.total, column.total, seconds, Meter(), found=found)
    )


def _commit(
    column: Column,
    cells: FinishedCells,
    requester: CellRequester,
    sidecar: Sidecar | None,
    check_claim: Callable[[], None],
    interrupted: threading.Event,
) -> Assembly:
    """Replaces the column's file, unless it holds just these rows already.

    The sidecar is written first: if a crash comes before the file, its cells are still in the journal. The sidecar's
    rows about the earlier file's cells are dropped last: until then a crash may leave that file.
    """
    cells.reload()
    _release_memory()
    digests = requester.rows.digests
    nothing_new = (
        not requester.counts.asked and not requester.rows.refused_rows and not cells.any_in_journal(digests)
    )
    simulated = cells.uses_simulated(digests) or column.inputs.simulated
    if nothing_new and column.options.limit is None:
        stored = stored_if_same_digests(column, digests, requester.rows.input_digest, simulated=simulated)
        if stored is not None:
            return stored
    read_finished = finished_cell_reader(column, cells, digests, requester.rows.refused_rows, interrupted)

    def read_cells() -> Iterator[pa.Table]:
        return _check_claim_at_end(read_finished(), check_claim)

    if sidecar is None or column.options.limit is not None:
        assembly = assemble(column, read_cells, simulated=simulated, input_digest=requester.rows.input_digest)
        if column.options.limit is None:
            remove(sidecar_of(column.file).path)  # it would tell of other answers
        return assembly
    rows, others = sidecar.write(
        _check_claim_at_end(
            provenance_tables(cells, digests, requester.rows.is_first, interrupted), check_claim
        ),
        keep_others=True,
    )
    sidecar.forget()
    _release_memory()
    assembly = assemble(column, read_cells, simulated=simulated, input_digest=requester.rows.input_digest)
    if others:
        sidecar.truncate(rows)
    return assembly


def _check_claim_at_end(parts: Iterator[pa.Table], check_claim: Callable[[], None]) -> Iterator[pa.Table]:
    """Passes the parts of a file on; checks the claim after the last one, just before the file is replaced."""
    yield from parts
    check_claim()
