"""A run of many rows that is killed (`kill -9`) at random moments and resumed each time, until it ends.

    python tests/benchmarks/killed.py [--rows 60000] [--kills 20] [--latency 0.3] [--longest 4] [--seed 1]

The server runs without limits in a process of its own, so that it goes on answering what was sent; each attempt is a
process of its own. For each kill: what had been asked of the server by then, the cells that were on disk, and the
difference, which is paid for again. At most that may be what is in flight and what was asked in the last quarter of a
second before that kill. The column is then compared with one that was computed undisturbed.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from versus import QUIET, counters, lean_server

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.demo.models import CHAT_MODEL
from pxt_assets.functions import chat_completions

IN_FLIGHT = 500
DURABLE_SECONDS = 0.25


def materialize(base_url: str, folder: str, rows: int) -> None:
    """Materializes the column over all rows."""

    @dg.asset(io_manager_key="columns")
    def tickets() -> pa.Table:
        return pa.table({"id": range(rows), "body": [f"Ticket {i}: the zip broke." for i in range(rows)]})

    tbl = Table(tickets, key="id")
    tbl.add_computed_column(
        response=chat_completions([{"role": "user", "content": tbl.body}], model=CHAT_MODEL, max_tokens=16)
    )
    resources = {
        "openai": OpenAIResource(
            api_key="sk-benchmark", base_url=base_url, max_in_flight=IN_FLIGHT, ledger="memory"
        ),
        "columns": ColumnStore(base_path=folder),
    }
    dg.materialize([tickets, *tbl.assets], resources=resources, run_config=QUIET)


def _start(base_url: str, folder: Path, rows: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--attempt", base_url, str(folder), str(rows)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


class _Asked:
    """How many requests a server had met at which time."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._seen: list[tuple[float, int]] = []
        threading.Thread(target=self._look, daemon=True).start()

    def now(self) -> int:
        return int(counters(self._base_url)["requests"])

    def at(self, moment: float) -> int:
        """By the last look before then."""
        return max((number for when, number in [*self._seen] if when <= moment), default=0)

    def _look(self) -> None:
        while True:
            when = time.monotonic()
            self._seen.append((when, self.now()))
            del self._seen[:-1_000]
            time.sleep(0.01)


def _column(folder: Path) -> Path:
    return folder / "tickets" / "response" / "response.parquet"


def _on_disk(folder: Path) -> int:
    """Cells in the journal, or all of the column's rows once it is committed."""
    if _column(folder).exists():
        return pq.read_metadata(_column(folder)).num_rows
    digests: set[bytes] = set()
    for segment in (folder / ".pxt_assets/tickets/response/response.journal").glob("[!.]*.arrow"):
        with pa.memory_map(str(segment)) as source:
            digests.update(pa.ipc.open_file(source).read_all()["digest"].to_pylist())
    return len(digests)


def _said(folder: Path) -> list[Any]:
    answers = pq.read_table(_column(folder))["response"].to_pylist()
    return [json.loads(answer)["choices"] for answer in answers]


def main() -> None:
    """Prints a line for each kill, and what it all came to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--latency", type=float, default=0.3)
    parser.add_argument(
        "--longest", type=float, default=4.0, help="Seconds from an attempt's first request to its end."
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--attempt", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attempt:
        base_url, folder, rows = options.attempt
        materialize(base_url, folder, int(rows))
        return
    moment = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name, lean_server(options.latency) as base_url:
        folder = Path(name) / "killed"
        requests = _Asked(base_url)
        paid_twice = killed = within = 0
        while killed < options.kills and not _column(folder).exists():
            before, begun = requests.now(), time.monotonic()
            attempt = _start(base_url, folder, options.rows)
            while requests.now() == before and attempt.poll() is None:
                time.sleep(0.01)
            first = time.monotonic()
            time.sleep(moment.uniform(0.0, options.longest))
            attempt.send_signal(signal.SIGKILL)
            end = time.monotonic()
            attempt.wait()
            killed += 1
            time.sleep(4 * options.latency)  # the server answers what is in flight
            asked = requests.now()
            traffic = requests.at(end) - requests.at(end - DURABLE_SECONDS)
            lost = asked - paid_twice - _on_disk(folder)
            paid_twice += lost
            within += lost <= IN_FLIGHT + traffic
            print(
                f"kill {killed:2}: {first - begun:4.1f} s to the first request, {asked:6,} asked, "
                f"{_on_disk(folder):6,} on disk, {lost:4} paid for again of at most {IN_FLIGHT + traffic}"
                f"{'' if lost <= IN_FLIGHT + traffic else '  MORE'}",
                flush=True,
            )
        _start(base_url, folder, options.rows).wait()
        asked = requests.now()
        undisturbed = Path(name) / "undisturbed"
        _start(base_url, undisturbed, options.rows).wait()
        same = _said(folder) == _said(undisturbed)
        print(
            f"{options.rows:,} rows, {killed} kills: {_on_disk(folder):,} rows stored, "
            f"{'equal to' if same else 'OTHER THAN'} those of an undisturbed run; {asked:,} requests, "
            f"{asked - options.rows:,} paid twice ({(asked - options.rows) / max(killed, 1):.0f} a kill); {within} of {killed} kills within their bound"
        )


if __name__ == "__main__":
    main()
