"""What the benchmarks have in common: a simulator in a process of its own, and the comparison of two sides."""

import contextlib
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

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


def compare(rates: Mapping[str, Sequence[float]]) -> float:
    """Prints each side's rows/s of all rounds; the first side's median by the second's."""
    for name, values in rates.items():
        print(
            f"{name:16} {' '.join(f'{v:7.0f}' for v in values)}  rows/s, median {statistics.median(values):.0f}"
        )
    ours, bare = (statistics.median(values) for values in rates.values())
    print(f"ratio            {ours / bare:.2f}")
    return ours / bare
