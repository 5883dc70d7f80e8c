"""What the journal takes from the throughput: asking for all rows of a column with it, and with one that keeps nothing.

    python tests/benchmarks/journal_overhead.py [--rows 10000] [--latency 0] [--rounds 3]

Both ask a lean server in a process of its own, in turns. Only the asking is timed: reading, requests, answers and journal,
not the assembling of the column's file, which a journal that keeps nothing rules out. With latency 0 the requests are bound
by the processor, where each row's share in the journal counts most. Besides, how long each cell took from its answer's end
in the event loop until it was on disk.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import dagster as dg
import pyarrow as pa
from versus import QUIET, Took, lean_server, tell, timed

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.compute.asking.cell_requester import CellRequester
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.compute.cells.waiting_cells import WaitingCells
from pxt_assets.demo.models import CHAT_MODEL
from pxt_assets.functions import chat_completions

IN_FLIGHT = 500


class _AskedError(Exception):
    """Everything is asked for; what comes after is not timed."""


@contextmanager
def _timed(found: list[Took], waited: list[float], *, keep: bool) -> Iterator[None]:
    """Within the block the asking of a column is timed, and ends its run; unless `keep`, its journal keeps nothing."""
    ask, drop = CellRequester.run, WaitingCells.drop

    async def run(self: CellRequester) -> None:
        with timed(found):
            await ask(self)
        raise _AskedError

    def dropped(self: WaitingCells, cells: list[Any]) -> None:
        now = time.time_ns()
        waited.extend((now - cell.finished_ns) / 1e9 for cell in cells)
        drop(self, cells)

    with mock.patch.object(CellRequester, "run", run), mock.patch.object(WaitingCells, "drop", dropped):
        if keep:
            yield
            return
        with (
            mock.patch.object(Journal, "append"),
            mock.patch.object(Journal, "flush"),
        ):
            yield


def _took(base_url: str, rows: int, number: int, waited: list[float], *, keep: bool) -> Took:
    @dg.asset(io_manager_key="columns")
    def tickets() -> pa.Table:
        bodies = [
            f"Ticket {number}-{i}. The zip of my jacket broke after two days. " * 4 for i in range(rows)
        ]
        return pa.table({"id": range(rows), "body": bodies})

    tbl = Table(tickets, key="id")
    column = tbl.add_computed_column(
        response=chat_completions([{"role": "user", "content": tbl.body}], model=CHAT_MODEL)
    )
    found: list[Took] = []
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        resources = {
            "openai": OpenAIResource(
                api_key="sk-benchmark", base_url=base_url, max_in_flight=IN_FLIGHT, ledger="memory"
            ),
            "columns": ColumnStore(base_path=folder),
        }
        dg.materialize([tickets], resources=resources, instance=instance, run_config=QUIET)
        with _timed(found, waited, keep=keep):
            result = dg.materialize(
                [column, tickets],
                selection=[column],
                resources=resources,
                instance=instance,
                run_config=QUIET,
                raise_on_error=False,
            )
    if not found:
        raise RuntimeError(
            f"the column was not asked for: {result.failure_data_for_node('tickets__response')}"
        )
    return found[0]


def main() -> None:
    """Prints each side's rounds, the ratio, and how long cells waited."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[Took]] = {"with journal": [], "without": []}
    waited: list[float] = []
    with lean_server(options.latency) as base_url:
        for keep in (True, False):
            _took(base_url, 200, 99, [], keep=keep)  # imports and caches are warm
        for number in range(options.rounds):
            order = list(found) if number % 2 == 0 else list(found)[::-1]
            for name in order:
                found[name].append(_took(base_url, options.rows, number, waited, keep=name == "with journal"))
    tell(found, options.rows)
    pairs = list(zip(found["with journal"], found["without"], strict=True))
    slower = statistics.median(1 - other.seconds / ours.seconds for ours, other in pairs)
    more = statistics.median(1 - other.cpu / ours.cpu for ours, other in pairs)
    print(
        f"the journal takes {100 * slower:.1f} % of the throughput, {100 * more:.1f} % of the CPU (medians)"
    )
    tenths = statistics.quantiles(waited, n=100)
    print(
        f"cells waited {1000 * tenths[49]:.0f} ms (median), {1000 * tenths[98]:.0f} ms (99 %), "
        f"{1000 * max(waited):.0f} ms (longest)"
    )


if __name__ == "__main__":
    main()
