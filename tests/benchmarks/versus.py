"""What the benchmarks have in common: a server in a process of its own, and the comparison of two sides."""

import argparse
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
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg

import pxt_assets
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


@dataclass(frozen=True)
class Took:
    """What one side took in one round."""

    seconds: float
    cpu: float
    """CPU seconds, user and system, of the whole process with all its threads."""
    megabytes: float
    """The process's peak of resident memory."""


@contextlib.contextmanager
def timed(found: list[Took]) -> Iterator[None]:
    """Adds what the block took."""
    started, cpu = time.perf_counter(), time.process_time()
    yield
    seconds, spent = time.perf_counter() - started, time.process_time() - cpu
    status = Path("/proc/self/status").read_text()  # getrusage would begin with the peak of the parent
    found.append(Took(seconds, spent, int(status.split("VmHWM:")[1].split()[0]) / 1024))


def materialization(
    upstream: dg.AssetsDefinition, column: dg.AssetsDefinition, openai: OpenAIResource
) -> Took:
    """What it takes to materialize a column, reading and storage included, its upstream not."""
    found: list[Took] = []
    with tempfile.TemporaryDirectory() as folder:
        resources = {"openai": openai, "columns": ColumnStore(base_path=folder)}
        instance = dg.DagsterInstance.ephemeral()
        dg.materialize([upstream], resources=resources, instance=instance, run_config=QUIET)
        with timed(found):
            dg.materialize(
                [column, upstream],
                selection=[column],
                resources=resources,
                instance=instance,
                run_config=QUIET,
            )
    return found[0]


def add_side_options(parser: argparse.ArgumentParser) -> None:
    """Options of a benchmark whose sides take turns, each round of a side in a process of its own."""
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tls", action="store_true", help="over HTTPS")
    parser.add_argument(
        "--today", type=Path, help="folder of another version of this repository, a further side"
    )
    for name in ("--side", "--base-url", "--number"):
        parser.add_argument(name, help=argparse.SUPPRESS)


def run_side(sides: Mapping[str, Callable[[str, int, int], Took]], options: argparse.Namespace) -> None:
    """What the process of a side does: a few rows, so that imports and caches are warm, then what is measured."""
    assert Path(pxt_assets.__file__).is_relative_to(os.environ["PYTHONPATH"])
    side = sides[options.side]
    side(options.base_url, min(50, options.rows), 99)
    print(json.dumps(asdict(side(options.base_url, options.rows, int(options.number)))))


def take_turns(
    script: str, base_url: str, sides: Mapping[str, str], options: argparse.Namespace, *given: str
) -> dict[str, list[Took]]:
    """Runs the sides in turns, in another order each round, and compares the first with the others.

    `sides` are names of what `run_side` knows by what to call them; `given` are further options of the script.
    """
    here = Path(__file__).parents[2]
    runs = {name: (side, here) for name, side in sides.items()}
    if options.today:
        runs["the other version"] = (next(iter(sides.values())), options.today)
    found: dict[str, list[Took]] = {name: [] for name in runs}
    before = counters(base_url)
    for number in range(options.rounds):
        for name, (side, tree) in list(runs.items())[:: -1 if number % 2 else 1]:
            command = [
                sys.executable,
                script,
                "--side",
                side,
                "--base-url",
                base_url,
                "--number",
                str(number),
            ]
            command += ["--rows", str(options.rows), *given]
            environment = os.environ | {"PYTHONPATH": str(tree)}
            said = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=environment
            ).stdout
            found[name].append(Took(**json.loads(said.splitlines()[-1])))
    tell(found, options.rows)
    met = {name: value - before[name] for name, value in counters(base_url).items()}
    print(
        f"the server took {1000 * met['cpu_seconds'] / met['requests']:.3f} ms of CPU a request", flush=True
    )
    return found


def tell(found: Mapping[str, Sequence[Took]], rows: int) -> None:
    """Prints what each side took, and the first by the others; medians of the rounds."""

    def median(name: str, what: Callable[[Took], float]) -> float:
        return statistics.median(map(what, found[name]))

    first = next(iter(found))
    for name, tooks in found.items():
        print(
            f"{name:18} {' '.join(f'{rows / took.seconds:6.0f}' for took in tooks)}  rows/s, median "
            f"{rows / median(name, lambda took: took.seconds):.0f}; {1000 * median(name, lambda took: took.cpu) / rows:.3f} "
            f"ms of CPU a row; peak memory {max(took.megabytes for took in tooks):.0f} MB"
        )
    for name in list(found)[1:]:
        faster = median(name, lambda took: took.seconds) / median(first, lambda took: took.seconds)
        cpu = median(first, lambda took: took.cpu) / median(name, lambda took: took.cpu)
        print(f"{faster:.2f} times as fast as {name}, with {cpu:.2f} of its CPU", flush=True)


def compare(rates: Mapping[str, Sequence[float]]) -> float:
    """Prints each side's rows/s of all rounds; the first side's median by the second's."""
    for name, values in rates.items():
        print(
            f"{name:16} {' '.join(f'{v:7.0f}' for v in values)}  rows/s, median {statistics.median(values):.0f}"
        )
    ours, bare = (statistics.median(values) for values in rates.values())
    print(f"ratio            {ours / bare:.2f}")
    return ours / bare
