"""What the journal takes from the throughput: asking for all rows of a column with it, and with one that keeps nothing.

    python tests/benchmarks/journal_overhead.py [--rows 20000] [--latency 0] [--rounds 5]

Both ask the simulator, which runs without limits in a process of its own, in turns. Only the asking is timed: reading,
requests, answers and journal, not the assembling of the column's file, which a journal that keeps nothing rules out.
With latency 0 the requests are bound by the processor, where each row's share in the journal counts most.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import dagster as dg
import pyarrow as pa
from versus import QUIET, compare, simulator

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.compute.asking.cell_requester import CellRequester
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.demo.models import CHAT_MODEL
from pxt_assets.functions import chat_completions


class _AskedError(Exception):
    """Everything is asked for; what comes after is not timed."""


@contextmanager
def _timed(seconds: list[float], *, keep: bool) -> Iterator[None]:
    """Within the block the asking of a column is timed, and ends its run; unless `keep`, its journal keeps nothing."""
    ask = CellRequester.run

    async def run(self: CellRequester) -> None:
        started = time.perf_counter()
        await ask(self)
        seconds.append(time.perf_counter() - started)
        raise _AskedError

    with mock.patch.object(CellRequester, "run", run):
        if keep:
            yield
            return
        with (
            mock.patch.object(Journal, "append"),
            mock.patch.object(Journal, "flush"),
        ):
            yield


def _seconds(base_url: str, rows: int, number: int, *, keep: bool) -> float:
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
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.ephemeral() as instance:
        resources = {
            "openai": OpenAIResource(
                api_key="sk-benchmark", base_url=base_url, max_in_flight=200, ledger="memory"
            ),
            "columns": ColumnStore(base_path=folder),
        }
        dg.materialize([tickets], resources=resources, instance=instance, run_config=QUIET)
        with _timed(seconds, keep=keep):
            dg.materialize(
                [column, tickets],
                selection=[column],
                resources=resources,
                instance=instance,
                run_config=QUIET,
                raise_on_error=False,
            )
    return seconds[0]


def main() -> None:
    """Prints each round's rows/s, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {"with journal": [], "without": []}
    with simulator(options.latency) as base_url:
        for keep in (True, False):
            _seconds(base_url, 200, 99, keep=keep)  # imports and caches are warm
        for number in range(options.rounds):
            order = list(rates) if number % 2 == 0 else list(rates)[::-1]
            for name in order:
                seconds = _seconds(base_url, options.rows, number, keep=name == "with journal")
                rates[name].append(options.rows / seconds)
    compare(rates)
    shares = [1 - a / b for a, b in zip(rates["with journal"], rates["without"], strict=True)]
    print(f"the journal takes {100 * statistics.median(shares):.1f} % (median of the rounds)")


if __name__ == "__main__":
    main()
