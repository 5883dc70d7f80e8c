"""Rows by batch: peak memory and rows a second of submitting and of collecting, beside the same rows asked for online; and
what is paid twice where the run is killed again and again.

    python tests/benchmarks/batch_rows.py [--rows 10000 100000 1000000] [--online 20000] [--kills 20] [--kill-rows 20000]

Each run is a process of its own, whose peak is VmHWM: one submits and ends, the next collects and stores. A lean server,
whose batches end at once, runs in a process of its own; it counts the lines that it answered twice. Rows a second are
those of the whole run, Dagster's start left out.
"""

import argparse
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
from versus import QUIET, counters, lean_server

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.demo.models import CHAT_MODEL
from pxt_assets.functions import chat_completions


def _assets(rows: int, word: str) -> list[Any]:
    @dg.asset(name=f"rows_{rows}", io_manager_key="columns")
    def upstream() -> pa.Table:
        return pa.table({"id": range(rows), "body": [f"{word} {i}: it broke." for i in range(rows)]})

    tbl = Table(upstream, key="id")
    messages = [{"role": "user", "content": tbl.body}]
    tbl.add_computed_column(chat=chat_completions(messages, model=CHAT_MODEL, max_tokens=16))
    return [upstream, *tbl.assets]


def _peak() -> int:
    """Peak resident memory of this process, MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


def _run(rows: int, base_url: str, folder: str, what: str) -> None:
    """In a process of its own: one run of the upstream or of the column; prints what it took as JSON."""
    assets = _assets(rows, Path(folder).name)  # whose requests are its own
    resources = {
        "openai": OpenAIResource(api_key="sk-benchmark", base_url=base_url, ledger="memory"),
        "columns": ColumnStore(base_path=folder),
    }
    configs = {
        "online": {"within": "now"},
        "submit": {"within": "24h", "wait": False},
        "collect": {"within": "24h", "wait": False},
        "wait": {"within": "24h", "wait": True},
    }
    config = {**QUIET, "ops": {f"rows_{rows}__chat": {"config": configs.get(what, {})}}}
    before, started, began = _peak(), time.perf_counter(), time.process_time()
    result = dg.materialize(
        assets,
        selection=[assets[0] if what == "upstream" else assets[1]],
        resources=resources,
        instance=dg.DagsterInstance.ephemeral(),
        run_config=QUIET if what == "upstream" else config,
    )
    seconds, cpu = time.perf_counter() - started, time.process_time() - began
    stored = len(result.get_asset_materialization_events())
    took = {
        "rows_s": round(rows / seconds),
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu, 1),
        "peak_mb": _peak(),
        "before_mb": before,
    }
    print(json.dumps({**took, "stored": stored}))


def _command(rows: int, base_url: str, folder: str, what: str) -> list[str]:
    return [sys.executable, __file__, "--one", str(rows), base_url, folder, what]


def measured(rows: int, base_url: str, folder: str, what: str) -> dict[str, Any]:
    """What a run in a fresh process took."""
    done = subprocess.run(
        _command(rows, base_url, folder, what), stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _killed(rows: int, kills: int, base_url: str, folder: str) -> None:
    """Kills runs at random moments, lets the last one end, and prints what was paid twice."""
    for one in (f"{folder}-whole", folder):
        measured(rows, base_url, one, "upstream")
    began = time.perf_counter()
    whole = measured(rows, base_url, f"{folder}-whole", "wait")
    takes = time.perf_counter() - began
    before = counters(base_url)
    chance, ended = random.Random(20), 0
    for _ in range(kills):
        with subprocess.Popen(_command(rows, base_url, folder, "wait"), stdout=subprocess.PIPE) as process:
            try:
                process.wait(chance.uniform(takes - 1.5 * whole["seconds"], takes))
                ended += 1
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
    last = measured(rows, base_url, folder, "wait")
    now = counters(base_url)
    lines, twice = (int(now[name] - before[name]) for name in ("batch_lines", "batch_lines_twice"))
    print(
        f"{kills - ended} kills, {ended} runs that ended before: {lines:,} rows paid for {rows:,}, {twice} of them twice; "
        f"the last run {last}",
        flush=True,
    )


def main() -> None:
    """Prints a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--online", type=int, default=20_000, help="rows that are asked for online")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--kill-rows", type=int, default=20_000)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        rows, base_url, folder, what = options.one
        _run(int(rows), base_url, folder, what)
        return
    with tempfile.TemporaryDirectory() as folder, lean_server(0.0) as base_url:
        if options.online:
            measured(options.online, base_url, f"{folder}/online", "upstream")
            print(
                f"{options.online:>9,} rows online : {measured(options.online, base_url, f'{folder}/online', 'online')}"
            )
        for rows in options.rows:
            measured(rows, base_url, folder, "upstream")
            for what in ("submit", "collect"):
                polls = counters(base_url)["batch_polls"]
                took = measured(rows, base_url, folder, what)
                polls = int(counters(base_url)["batch_polls"] - polls)
                print(f"{rows:>9,} rows {what:8}: {took}, {polls} polls", flush=True)
        if options.kills:
            _killed(options.kill_rows, options.kills, base_url, f"{folder}/killed")


if __name__ == "__main__":
    main()
