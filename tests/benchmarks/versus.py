"""What the benchmarks have in common: a server in a process of its own, and the comparison of two sides."""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import dagster as dg

from pxt_assets import ColumnStore, OpenAIResource

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@contextlib.contextmanager
def simulator(latency: float, *options: str) -> Iterator[str]:
    """The base URL of a simulator in a process of its own; `options` are those of the command line."""
    command = [
        sys.executable,
        "-m",
        "pxt_assets",
        "simulate",
        "--port",
        "0",
        "--latency",
        str(latency),
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = None
            while found is None:
                found = re.search(r"http://127\.0\.0\.1:\d+/v1", process.stdout.readline())
            yield found[0]
        finally:
            process.terminate()


@contextlib.contextmanager
def lean_server(latency: float, *options: str) -> Iterator[str]:
    """The base URL of a lean server in a process of its own; `options` are those of its command line.

    With "--tls" its authority is trusted meanwhile, here and in processes that are started, by SSL_CERT_FILE.
    """
    script = Path(__file__).with_name("lean_server.py")
    command = [sys.executable, str(script), "--with-stdin", "--latency", str(latency), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base_url, *trusted = process.stdout.readline().split()
        before = os.environ.get("SSL_CERT_FILE")
        try:
            if trusted:
                os.environ["SSL_CERT_FILE"] = trusted[0]
            yield base_url
        finally:
            if trusted:
                os.environ.pop("SSL_CERT_FILE")
                os.environ.update({} if before is None else {"SSL_CERT_FILE": before})
            process.terminate()


def counters(base_url: str) -> dict[str, float]:
    """What a lean server has met so far."""
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/counters") as answer:
        return json.load(answer)


def materialization(
    upstream: dg.AssetsDefinition, column: dg.AssetsDefinition, openai: OpenAIResource
) -> float:
    """Seconds to materialize a column, storage included, its upstream not."""
    with tempfile.TemporaryDirectory() as folder:
        resources = {"openai": openai, "columns": ColumnStore(base_path=folder)}
        instance = dg.DagsterInstance.ephemeral()
        dg.materialize([upstream], resources=resources, instance=instance, run_config=QUIET)
        started = time.perf_counter()
        dg.materialize(
            [column, upstream], selection=[column], resources=resources, instance=instance, run_config=QUIET
        )
        return time.perf_counter() - started


def take_turns(
    base_url: str, rows: int, rounds: int, sides: Mapping[str, Callable[[str, int, int], float]]
) -> None:
    """Runs the sides in turns and compares them; each is given the URL, rows and a number, and returns its seconds."""
    for side in sides.values():
        side(base_url, 50, 99)  # imports and caches are warm on both sides
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for turn, (name, side) in enumerate(sides.items()):
            rates[name].append(rows / side(base_url, rows, len(sides) * number + turn))
    compare(rates)


def compare(rates: Mapping[str, Sequence[float]]) -> float:
    """Prints each side's rows/s of all rounds; the first side's median by the second's."""
    for name, values in rates.items():
        print(
            f"{name:16} {' '.join(f'{v:7.0f}' for v in values)}  rows/s, median {statistics.median(values):.0f}"
        )
    ours, bare = (statistics.median(values) for values in rates.values())
    print(f"ratio            {ours / bare:.2f}")
    return ours / bare
