"""Where the CPU time of a chat row goes: the shares of packages in a profile of a whole materialization.

    python tests/benchmarks/row_cpu.py [--rows 5000]

The server is the lean one, in a process of its own, and not in the shares. The profiler makes calls of small Python functions
look dearer than they are, so that shares are right to a few per cent.
"""

import argparse
import cProfile
import pstats
import time
from collections import Counter
from pathlib import Path

from chat_rows import ours
from versus import lean_server

PARTS = {
    "pxt_assets/throttle": "limiter: bucket, learned costs, ledger",
    "pxt_assets/api/wire": "HTTP client",
    "pxt_assets/compute": "journal, cells, assembling",
    "pxt_assets": "requests, digests, values (ours)",
    "site-packages/aiohttp": "HTTP client",
    "site-packages/httpx2": "HTTP client",
    "site-packages/httpcore2": "HTTP client",
    "site-packages/httpx_aiohttp": "HTTP client",
    "site-packages/openai": "HTTP client",
    "site-packages/multidict": "HTTP client",
    "site-packages/yarl": "HTTP client",
    "site-packages/httptools": "HTTP client",
    "site-packages/aiohappyeyeballs": "HTTP client",
    "site-packages/dagster": "Dagster",
    "site-packages/sqlalchemy": "Dagster",
    "site-packages/pyarrow": "Arrow and Parquet",
    "/asyncio/": "event loop",
    "/json/": "JSON",
}


def part_of(path: str, function: str) -> str:
    """What a function belongs to."""
    for fragment, part in PARTS.items():
        if fragment in path:
            return part
    if "httptools" in function:
        return "HTTP client"
    if "select" in function or "socket" in function or "_run_once" in function:
        return "event loop"
    if "json" in function or "raw_decode" in function or "scan" in function or "encode" in function:
        return "JSON"
    return "other"


def main() -> None:
    """Prints the shares, largest first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000)
    rows = parser.parse_args().rows
    profile = cProfile.Profile(time.process_time)
    with lean_server(0.3) as base_url:
        ours(base_url, 50, 99)
        ours(base_url, rows, 1)
        plain = ours(base_url, rows, 2).cpu
        profile.enable()
        ours(base_url, rows, 3)
        profile.disable()
    shares: Counter[str] = Counter()
    for (path, _, function), (_, _, own, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        part = part_of(Path(path).as_posix(), function)
        if part != "other" or path != "~":
            shares[part] += own
            continue
        for (caller, _, name), (_, _, own_there, _) in callers.items():  # a builtin's time is its caller's
            shares[part_of(Path(caller).as_posix(), name)] += own_there
    total = sum(shares.values())
    print(f"{plain / rows * 1e6:.0f} µs of CPU a row (without the profiler)")
    for part, seconds in shares.most_common():
        print(f"{seconds / total:6.1%}  {part}")


if __name__ == "__main__":
    main()
