"""How much of a limit is used, in real time, and how many 429s are met.

    python tests/benchmarks/limiter.py [scenario ...]

The simulator enforces the limits in a process of its own, for the top tier the lean server; requests go through OpenAIResource as those of a column do.
Latency is log-normal with a median of 0.3 s where nothing else is said. Ideal is what the bucket at the start and its
refill allow; seconds are from the first request sent to the last one sent that was answered, so that the last answer's
latency is not in them; utilization is ideal / seconds. The share of a core is CPU, user and system, of all processes that
ask. For several processes they are started first, and released
together.
"""

import argparse
import asyncio
import contextlib
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from versus import lean_server, simulator

from pxt_assets import OpenAIResource
from pxt_assets.api.meter import Meter
from pxt_assets.demo.models import CHAT_MODEL
from pxt_assets.functions import chat_completions
from pxt_assets.simulator.server.simulator import ENDPOINTS
from pxt_assets.throttle import LimitUtilization

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.throttle.ledger.postgres import postgres_server

LATENCY = 0.3
SIGMA = "0.4"
KEY = "sk-benchmark"


@dataclass(frozen=True)
class Scenario:
    """Requests before a limit."""

    name: str
    requests: int
    rpm: float | None = None
    tpm: float | None = None
    level: float = 0.1
    latency: float = LATENCY
    processes: int = 1
    ledger: str = "sqlite"
    long_tailed: bool = False
    known: bool = False
    """Whether the limits are known from an earlier run."""
    cut_at: float | None = None
    """Second at which the limit is halved."""
    others: float = 0.0
    """Share of the limit that another client takes."""
    text_tokens: int = 70
    lean: bool = False
    """Whether the lean server enforces the limits: the simulator takes half a core at 500 requests a second."""


SCENARIOS = [
    Scenario("requests", 1_200, rpm=1_200),
    Scenario("tokens", 500, tpm=60_000),
    Scenario("long-tailed tokens", 500, tpm=60_000, long_tailed=True),
    Scenario("4 processes, SQLite", 1_200, rpm=1_200, processes=4),
    Scenario("4 processes, PostgreSQL", 1_200, rpm=1_200, processes=4, ledger="postgresql"),
    Scenario("answers after 30 s", 1_200, rpm=600, level=1.0, latency=30.0, known=True),
    Scenario("limit halved", 900, rpm=1_200, cut_at=20.0),
    Scenario("another client", 1_200, rpm=1_200, others=0.3),
    Scenario("top tier", 30_000, rpm=30_000, tpm=180_000_000, level=0.02, latency=1.0, lean=True),
]


@dataclass
class Seen:
    """What a process saw; times are those of the host's clock."""

    first: float = math.inf
    last: float = 0.0
    rate_limited: int = 0
    failed: int = 0
    cpu: float = 0.0
    utilization: float | None = field(default=None)


def bodies(scenario: Scenario) -> list[dict[str, Any]]:
    """The requests of a scenario, each with a text of its own."""
    source = random.Random(1)
    found = []
    for number in range(scenario.requests):
        tokens = scenario.text_tokens
        if scenario.long_tailed:
            tokens = min(4_000, max(10, round(source.lognormvariate(math.log(120), 1.3))))
        text = f"{number:07} " + "word " * math.ceil((tokens * 4 - 8) / 5)
        found.append(
            {"model": CHAT_MODEL, "messages": [{"role": "user", "content": text[: max(8, tokens * 4)]}]}
        )
    return found


def ideal(scenario: Scenario) -> float:
    """Seconds that the limit demands."""
    if scenario.rpm is not None and scenario.tpm in (None, 180_000_000):
        share, limit, wanted = 1 - scenario.others, scenario.rpm, float(scenario.requests)
    else:
        charge = ENDPOINTS["chat/completions"].read
        share, limit = 1.0, scenario.tpm or 0.0
        wanted = sum(
            charge(json.loads(json.dumps(body))).charge(count_max_tokens=False) for body in bodies(scenario)
        )
    seconds = (wanted - limit * scenario.level) / (limit / 60 * share)
    if scenario.cut_at is not None:
        seconds = scenario.cut_at + (seconds - scenario.cut_at) * 2
    return seconds


async def drive(resource: OpenAIResource, requests: Sequence[dict[str, Any]]) -> Seen:
    """Send the requests, as many at once as the resource lets."""
    seen = Seen()

    async with resource.client() as client:
        used = LimitUtilization()

        async def send(body: dict[str, Any]) -> None:
            meter = Meter(limit_usage=used)
            try:
                await client.send(chat_completions.cell_request(body), meter)
            except Exception as error:
                seen.failed += 1
                print(error, file=sys.stderr)
                return
            finally:
                seen.rate_limited += meter.rate_limited
            sent = time.time() - meter.latencies.quantile(0.5)
            seen.first, seen.last = min(seen.first, sent), max(seen.last, sent)

        cpu = time.process_time()
        async with asyncio.TaskGroup() as group:
            for body in requests:
                group.create_task(send(body))
        seen.cpu = time.process_time() - cpu
        seen.utilization = used.utilization
    return seen


def work(index: int, base_url: str, ledger: str, part: str) -> None:
    """Be one of several processes."""
    scenario = SCENARIOS[index]
    number, processes = map(int, part.split("/"))
    mine = bodies(scenario)[number::processes]
    resource = OpenAIResource(api_key=KEY, base_url=base_url, ledger=ledger, max_in_flight=2_000)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(vars(asyncio.run(drive(resource, mine)))), flush=True)


@contextlib.contextmanager
def ledger_of(scenario: Scenario) -> Iterator[str]:
    """The URL of a ledger of its own."""
    with contextlib.ExitStack() as stack:
        if scenario.ledger == "postgresql":
            yield stack.enter_context(postgres_server())
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            yield f"sqlite:///{folder}/ledger.sqlite"


async def _others(base_url: str, per_second: float) -> None:
    source = random.Random(7)
    async with httpx2.AsyncClient(timeout=60) as http, asyncio.TaskGroup() as group:
        body = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}]}
        while True:
            await asyncio.sleep(source.expovariate(per_second))
            headers = {"authorization": f"Bearer {KEY}"}
            group.create_task(http.post(f"{base_url}/chat/completions", json=body, headers=headers))


async def _halve(base_url: str, scenario: Scenario) -> None:
    assert scenario.cut_at is not None
    assert scenario.rpm is not None
    await asyncio.sleep(scenario.cut_at)
    async with httpx2.AsyncClient() as http:
        url = f"{base_url.removesuffix('/v1')}/simulator/limits"
        (await http.post(url, json={"rpm": scenario.rpm / 2})).raise_for_status()


async def _alone(scenario: Scenario, base_url: str, ledger: str) -> Seen:
    resource = OpenAIResource(api_key=KEY, base_url=base_url, ledger=ledger, max_in_flight=2_000)
    beside: list[asyncio.Task[None]] = []
    if scenario.others:
        assert scenario.rpm is not None
        beside.append(asyncio.create_task(_others(base_url, scenario.rpm / 60 * scenario.others)))
    if scenario.cut_at is not None:
        beside.append(asyncio.create_task(_halve(base_url, scenario)))
    try:
        return await drive(resource, bodies(scenario))
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


def _learn_limits(base_url: str, ledger: str, index: int) -> None:
    """An earlier run: one request, from a process of its own."""
    code = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[2])]!r}\n"
        "import asyncio, limiter\n"
        f"resource = limiter.OpenAIResource(api_key={KEY!r}, base_url={base_url!r}, ledger={ledger!r})\n"
        f"asyncio.run(limiter.drive(resource, limiter.bodies(limiter.SCENARIOS[{index}])[:1]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _together(scenario: Scenario, base_url: str, ledger: str) -> Seen:
    index = str(SCENARIOS.index(scenario))
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, "--work", index, base_url, ledger, f"{n}/{scenario.processes}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(scenario.processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    found = Seen()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        output, _ = worker.communicate()
        seen = Seen(**json.loads(output))
        found.first, found.last = min(found.first, seen.first), max(found.last, seen.last)
        found.rate_limited += seen.rate_limited
        found.failed += seen.failed
        found.cpu += seen.cpu
    return found


def measure(scenario: Scenario) -> None:
    """Print a row for a scenario."""
    options = ["--latency-sigma", SIGMA, "--initial-level", str(scenario.level)]
    options += [] if scenario.rpm is None else ["--rpm", str(scenario.rpm)]
    options += [] if scenario.tpm is None else ["--tpm", str(scenario.tpm)]
    server = lean_server if scenario.lean else simulator
    with ledger_of(scenario) as ledger, server(scenario.latency, *options) as base_url:
        if scenario.known:
            _learn_limits(base_url, ledger, SCENARIOS.index(scenario))
        if scenario.processes > 1:
            seen = _together(scenario, base_url, ledger)
        else:
            seen = asyncio.run(_alone(scenario, base_url, ledger))
    seconds, least = seen.last - seen.first, ideal(scenario)
    print(
        f"{scenario.name:24} ideal {least:6.1f} s  took {seconds:6.1f} s  utilization {least / seconds:6.1%}  "
        f"429s {seen.rate_limited:4} ({seen.rate_limited / scenario.requests:.2%})  {seen.cpu / seconds:.0%} of a core"
        f"{f'  FAILED {seen.failed}' if seen.failed else ''}",
        flush=True,
    )


def main() -> None:
    """Measure the scenarios that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("scenario", nargs="*", help=", ".join(s.name for s in SCENARIOS))
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        index, *rest = asked.work
        work(int(index), *rest)
        return
    for scenario in SCENARIOS:
        if not asked.scenario or scenario.name in asked.scenario:
            measure(scenario)


if __name__ == "__main__":
    main()
