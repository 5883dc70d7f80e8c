"""One run of the column that is modelled: how it is declared and computed, and what is on the disk of it."""

import asyncio
import random
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pxt_assets import Table
from pxt_assets.api.client import Client
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.cells.journal import FLUSH_SECONDS, Journal
from pxt_assets.compute.compute_partition import compute_partition
from pxt_assets.compute.partition.column import Column, Options, Outcome
from pxt_assets.compute.partition.inputs import Inputs
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.expressions.walk import type_of
from pxt_assets.functions import chat_completions, embeddings
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.storage.rows import rows_of
from pxt_assets.throttle import Pool
from tests.model_partition import Expression, How
from tests.model_world import Api, WallClock
from tests.virtual_time import run

TICKETS = dg.AssetKey(["tickets"])


def column_of(
    expression: Expression, rows: list[tuple[int, str | None]], file: ParquetFile, how: How
) -> Column:
    """The column `c` of these rows, as a run of it is told."""
    function, model, prompt = expression
    table = Table(TICKETS, key="id")
    if function == "embeddings":
        expr = embeddings(table.body, model=model)
    else:
        messages = [{"role": "system", "content": prompt}, {"role": "user", "content": table.body}]
        expr = chat_completions(messages, model=model)
    column_type, _ = type_of(expr)
    plan = Plan(expr, column_type)
    upstream = pa.table(
        {
            "id": pa.array([row_id for row_id, _ in rows], pa.int64()),
            "body": pa.array([text for _, text in rows], pa.string()),
        }
    )
    return Column(
        label="tickets/c",
        name="c",
        plan=plan,
        column_type=column_type,
        inputs=Inputs({TICKETS: rows_of(upstream)}, ("id",), plan.columns),
        file=file,
        options=Options(
            on_error=how.on_error, limit=how.limit, refresh=how.refresh, retry_errors=how.retry_errors
        ),
        run_id="run",
        code_version=repr(expression),
    )


def computed(column: Column, api: Api, clock: WallClock) -> Outcome:
    """What a run of the column on this clock comes to."""
    pool = Pool()

    async def main() -> Outcome:
        client = Client(
            api,  # type: ignore[arg-type]
            lambda _: pool,
            max_in_flight=3,
            max_retries=2,
            timeout=60.0,
            outage_timeout=300.0,
            say=lambda _: None,
            rng=random.Random(0),
        )
        return await compute_partition(column, RunState(client))

    def journal(*args: Any, **kwargs: Any) -> Journal:
        return _TimedJournal(*args, **kwargs, clock_ns=clock)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pxt_assets.compute.compute_partition.Journal", journal)
        return run(main())


class _TimedJournal(Journal):
    """A journal that is flushed, and whose segments are merged, on the loop's own clock: no thread waits on that."""

    async def keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS / 2)
            self.flush()
            self.merge()


def content_of(file: ParquetFile) -> bytes | None:
    return file.path.read_bytes() if file.exists() else None


def table_of(file: ParquetFile) -> pa.Table:
    return pq.read_table(pa.BufferReader(file.path.read_bytes()), use_threads=False)
