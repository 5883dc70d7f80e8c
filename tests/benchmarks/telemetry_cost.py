"""What telemetry costs a request, in CPU time: without `opentelemetry-api`, with it alone, and with an SDK that records.

    python tests/benchmarks/telemetry_cost.py [--requests 20000]

The wire is a function that answers at once, so that what differs is telemetry alone; whole rows take as long as
`row_cpu.py` says. Each figure is the best of several turns.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from unittest import mock

import httpx2
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from pxt_assets.api.client import Client
from pxt_assets.api.meter import Meter
from pxt_assets.api.telemetry import Telemetry, find_telemetry
from pxt_assets.functions import chat_completions
from pxt_assets.throttle import Pool

TURNS = 5
REQUEST = chat_completions.cell_request(
    {"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-4o-mini"}
)
ANSWER = {
    "id": "chatcmpl-1",
    "model": "gpt-4o-mini",
    "choices": [{"message": {"content": "Hello"}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5},
}


class Wire:
    """Answers at once."""

    base_url = httpx2.URL("http://127.0.0.1:8000/v1/")

    async def post(self, _: object) -> httpx2.Response:
        return httpx2.Response(200, content=json.dumps(ANSWER).encode())


def nothing() -> None:
    """No telemetry: what there is without the API package."""


def recording() -> Telemetry:
    """Telemetry with an SDK whose spans go to a processor that drops them."""
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SpanProcessor())
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    return Telemetry(tracers.get_tracer("benchmark"), meters.get_meter("benchmark"))


def microseconds(telemetry: Callable[[], Telemetry | None], requests: int) -> float:
    """CPU time of a request."""

    async def send() -> float:
        pool, meter = Pool(), Meter()
        client = Client(
            Wire(),  # type: ignore[arg-type]
            lambda _: pool,
            max_in_flight=10,
            max_retries=0,
            timeout=60,
            outage_timeout=60,
        )
        started = time.process_time()
        for _ in range(requests):
            await client.send(REQUEST, meter)
        return time.process_time() - started

    with mock.patch("pxt_assets.api.client.find_telemetry", telemetry):
        return asyncio.run(send()) / requests * 1e6


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    requests = parser.parse_args().requests
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider), (
        "OpenTelemetry is set up already"
    )
    assert metrics.get_meter_provider() is not None
    ways = {
        "without the API package": nothing,
        "with the API alone": find_telemetry,
        "with an SDK": recording,
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(TURNS):
        for name, telemetry in ways.items():
            made = telemetry()
            best[name] = min(best[name], microseconds(lambda made=made: made, requests))
    least = best["without the API package"]
    for name, cost in best.items():
        print(f"{cost:7.1f} µs a request  {cost - least:+6.1f} µs  {name}")


if __name__ == "__main__":
    main()
