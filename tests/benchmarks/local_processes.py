"""What worker processes gain for a heavy function of a user's own: threads of the run's process against `on="processes"`.

    python tests/benchmarks/local_processes.py [--rows 20000] [--function python | wordllama] [--workers 2] [--rounds 3]

Two functions over texts of 60 words, 64 rows a call: `python` hashes n-grams in plain Python, as much of what prepares texts
does; `wordllama` embeds them by a local model, which each worker loads once. The sides take turns, each in a process of its
own. `seconds` is the whole run, with reading, storing and the workers' start; `rows/s` is counted from the first finished
batch on. The CPU of the run's process beside that of its workers, their start included, says what more workers could gain.
Peak memory is that of the run's process, and of the largest worker.
"""

import argparse
import functools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from pxt_assets import ColumnStore, Table, udf
from pxt_assets.local.udf import LocalFunction
from pxt_assets.local.worker_pool import WorkerPool

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
WORDS = 60
DIMENSIONS = 64


@functools.cache
def model() -> Any:
    import wordllama

    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)


def python(texts: list[str]) -> list[np.ndarray]:
    return [hashed(text) for text in texts]


def hashed(text: str) -> np.ndarray:
    """Counts of n-grams by hash."""
    counts = [0.0] * DIMENSIONS
    for size in range(1, 9):
        for start in range(len(text) - size):
            counts[zlib.crc32(text[start : start + size].encode()) % DIMENSIONS] += 1
    return np.asarray(counts, np.float32)


def wordllama(texts: list[str]) -> list[np.ndarray]:
    return [*model().embed(texts)]


FUNCTIONS = {"python": python, "wordllama": wordllama}
PLACED = {
    (name, side): udf(batch_size=64, version="1", **options)(function)
    for name, function in FUNCTIONS.items()
    for side, options in {"threads": {}, "processes": {"on": "processes"}}.items()
}


def texts(rows: int) -> list[str]:
    chosen = random.Random(7)
    words = ["".join(chosen.choices("etaoinshrdlu", k=chosen.randint(2, 9))) for _ in range(5_000)]
    return [" ".join(chosen.choices(words, k=WORDS)) for _ in range(rows)]


@contextmanager
def timed_batches(ends: list[tuple[float, int]]) -> Iterator[None]:
    """Within the block, notes when batches end, and of how many rows they are."""
    for cls, rows_at in ((LocalFunction, 0), (WorkerPool, 1)):
        run = cls.run

        async def timed(self: Any, *args: Any, run: Any = run, rows_at: int = rows_at) -> Any:
            values = await run(self, *args)
            ends.append((time.monotonic(), len(args[rows_at])))
            return values

        cls.run = timed
    yield


def run_side(function: str, side: str, rows: int, workers: int | None) -> None:
    """Runs one side, and prints what it took as JSON."""
    given = texts(rows)

    @dg.asset(io_manager_key="columns")
    def source() -> pa.Table:
        return pa.table({"id": range(rows), "body": given})

    placed = PLACED[function, side]
    placed.workers = workers if side == "processes" else None
    table = Table(source, key="id")
    table.add_computed_column(vector=placed(table.body))
    ends: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder, timed_batches(ends):
        resources = {"columns": ColumnStore(base_path=folder)}
        dg.materialize([source], resources=resources, run_config=QUIET)
        began, before = time.monotonic(), time.process_time()
        result = dg.materialize(
            [source, *table.assets], selection=[table.assets[0].key], resources=resources, run_config=QUIET
        )
        seconds = time.monotonic() - began
        assert result.success
    ends.sort()
    after_first = sum(count for _, count in ends[1:])
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    took = {
        "seconds": seconds,
        "first": ends[0][0] - began,
        "rate": after_first / (ends[-1][0] - ends[0][0]),
        "cpu": used[0].ru_utime + used[0].ru_stime - before,
        "worker_cpu": used[1].ru_utime + used[1].ru_stime,
        "own_mb": used[0].ru_maxrss / 1024,
        "worker_mb": used[1].ru_maxrss / 1024,
    }
    print(json.dumps(took))


def tell(side: str, took: Sequence[dict[str, float]]) -> None:
    middle = {name: median(one[name] for one in took) for name in took[0]}
    print(
        f"{side:>9}: {middle['seconds']:6.1f} s, first batch after {middle['first']:.1f} s, then {middle['rate']:7,.0f} rows/s; "
        f"{middle['cpu']:.1f} s of CPU, of workers {middle['worker_cpu']:.1f} s; peak {middle['own_mb']:.0f} MB"
        + (f", worker {middle['worker_mb']:.0f} MB" if side == "processes" else "")
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--function", choices=FUNCTIONS, default="python")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=["threads", "processes"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options.function, options.side, options.rows, options.workers)
        return
    found: dict[str, list[dict[str, float]]] = {"threads": [], "processes": []}
    for _ in range(options.rounds):
        for side, took in found.items():
            command = [sys.executable, *sys.argv, "--side", side]
            took.append(json.loads(subprocess.check_output(command, text=True).splitlines()[-1]))
    print(f"{options.function}, {options.rows:,} rows, {os.cpu_count()} cores; median of {options.rounds}")
    for side, took in found.items():
        tell(side, took)
    gains = [
        (two["rate"] / one["rate"], one["seconds"] / two["seconds"])
        for one, two in zip(*found.values(), strict=True)
    ]
    print(
        f"gain: {median(g for g, _ in gains):.2f} x the rows/s, {median(g for _, g in gains):.2f} x the whole run"
    )


if __name__ == "__main__":
    main()
