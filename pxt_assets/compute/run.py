"""Computes one partition of one column: what is missing is asked for, journaled, and committed as one file.

Every finished cell goes through the journal, whether this is the first attempt or the tenth; the column's file is then
assembled from the journal and the earlier file, in row order. So a slow row holds nothing back, memory does not grow
with the rows, and a resumed run is no special case.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from pxt_assets.client import Client
from pxt_assets.compute.ask import Asker
from pxt_assets.compute.assemble import Assembly, already_stored, assemble, derived_cells, finished_cells
from pxt_assets.compute.cells import Cells, EarlierFile
from pxt_assets.compute.column import Column, Outcome
from pxt_assets.compute.journal import Journal
from pxt_assets.compute.progress import Progress, report
from pxt_assets.errors import RunError
from pxt_assets.meter import Meter


async def compute(column: Column, client: Client | None, log: Callable[[str], None]) -> Outcome:
    """Computes and stores one partition of a column. `client` may be None for one that calls no API.

    Raises RunError; whatever was finished by then is on disk, and the stored column is as it was.
    """
    try:
        return await _compute(column, client, log)
    except RunError as e:
        e.locate(column.label)
        raise


async def _compute(column: Column, client: Client | None, log: Callable[[str], None]) -> Outcome:
    column.inputs.check()
    started = time.monotonic()
    if not column.plan.asks:
        return _derive(column, started)
    assert column.column_type is not None
    # hidden, as readers of a whole folder expect of what is no data
    folder = column.file.path.with_name(f".{column.file.path.stem}.journal")
    journal = Journal(folder, column.column_type)
    try:
        options = column.options
        earlier = partial(EarlierFile, column.file, column.name, column.column_type)
        # under "abort" no error may be stored, so none is kept
        retry_errors = options.retry_errors or options.on_error == "abort"
        cells = Cells(earlier, journal, refresh=options.refresh, retry_errors=retry_errors)
        if cells.any_simulated:
            cells.simulated = client is not None and await client.is_simulated()
        asker = Asker(column, cells, journal, client, log)
        await asker.run()
        cells.simulated = cells.simulated or (client is not None and bool(client.simulated))
        cells.reload()
        assembly = await asyncio.to_thread(_commit, column, cells, asker)
        if options.limit is None:
            journal.remove()
    finally:
        journal.close()
    failed = sum(assembly.errors.values())
    computed = asker.asked_rows - asker.failed_rows
    return Outcome(
        rows=assembly.rows,
        computed=computed,
        reused=assembly.rows - asker.null_rows - computed - failed,
        failed=failed,
        errors=assembly.errors,
        seconds=time.monotonic() - started,
        meter=asker.meter,
        simulated=cells.used_simulated or column.inputs.simulated,
        schema=assembly.schema,
        sample=assembly.sample,
        trial=options.limit is not None,
    )


def _derive(column: Column, started: float) -> Outcome:
    """Computes a column that calls no API: nothing to journal, and cheaper to do again than to look up."""
    simulated = column.inputs.simulated
    assembly = assemble(column, derived_cells(column), simulated=simulated)
    failed = sum(assembly.errors.values())
    meter = Meter()
    report(Progress(column.label, assembly.rows, column.total, time.monotonic() - started, meter))
    return Outcome(
        rows=assembly.rows,
        computed=assembly.rows - failed,
        reused=0,
        failed=failed,
        errors=assembly.errors,
        seconds=time.monotonic() - started,
        meter=meter,
        simulated=simulated,
        schema=assembly.schema,
        sample=assembly.sample,
        trial=column.options.limit is not None,
    )


def _commit(column: Column, cells: Cells, asker: Asker) -> Assembly:
    """Replaces the column's file, unless it holds just these rows already."""
    digests = asker.digests
    if not asker.asked_rows and not asker.refused and column.options.limit is None:
        stored = already_stored(column, digests)
        if stored is not None:
            return stored
    simulated = cells.any_of_simulator(digests) or column.inputs.simulated
    return assemble(column, finished_cells(column, cells, digests, asker.refused), simulated=simulated)
