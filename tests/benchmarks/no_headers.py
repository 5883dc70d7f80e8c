"""Servers without rate-limit headers, in real time: how fast they answer, and how many 429s they send.

    python tests/benchmarks/no_headers.py [--seconds 20] [scenario ...]

`concurrency` works on 32 requests at once and rejects the rest, `once` rejects the fifth request and none after,
`chaos` rejects a quarter by chance and fails 15 %, and is asked for 60 rows. Answers take 50 ms. The server is a
process of its own; `base` is the rate with `max_in_flight=32`, at which `concurrency` rejects nothing.

`slots` rejects nothing: it works on four requests at once, 50 ms each and varying, and queues the others in silence; an
answer is waited for a second at most, and 400 rows are asked for. `slots-by-hand` is the same with `max_in_flight=4`.
`scales` has no queue at all, and answers after 0.3 s; `scales-by-hand` is that with `max_in_flight=500`.
"""

import argparse
import asyncio
import math
import multiprocessing
import random
import tempfile
import urllib.request
from multiprocessing.connection import Connection
from typing import Any

import dagster as dg
import pyarrow as pa
from versus import QUIET

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.compute.asking.progress import Progress, observe_progress
from pxt_assets.functions import chat_completions

SCENARIOS = (
    "base",
    "concurrency",
    "once",
    "chaos",
    "slots",
    "slots-by-hand",
    "scales",
    "scales-by-hand",
)
ROWS = 60_000
CHAOS_ROWS = 60
SLOT_ROWS = 400
SCALES_ROWS = 5_000
SLOTS = 4
SLOT_TIMEOUT_SECONDS = 1.0
SECONDS_AN_ANSWER = 0.05
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A zip."}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
}
REJECTION = {"error": {"message": "too many requests", "type": "rate_limit", "code": None}}
FAULT = {"error": {"message": "something broke", "type": "server_error", "code": None}}


def serve(port: Connection, scenario: str) -> None:
    """Serve until killed; send the port number."""
    from aiohttp import web

    source, counts = random.Random(1), {"requests": 0, "at work": 0}
    slots = asyncio.Semaphore(SLOTS)

    async def work_in_slot(seconds: float) -> None:
        async with slots:  # whether or not somebody still waits for the answer
            await asyncio.sleep(seconds)

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        counts["requests"] += 1
        counts["at work"] += 1
        try:
            if scenario.startswith("slots"):
                seconds = source.lognormvariate(math.log(SECONDS_AN_ANSWER), 0.3)
                await asyncio.shield(asyncio.create_task(work_in_slot(seconds)))
                return web.json_response(ANSWER)
            if scenario.startswith("scales"):
                await asyncio.sleep(0.3)
                return web.json_response(ANSWER)
            chance = source.random() if scenario == "chaos" else 1.0
            full = scenario in ("base", "concurrency") and counts["at work"] > 32
            if full or chance < 0.25 or (scenario == "once" and counts["requests"] == 5):
                return web.json_response(REJECTION, status=429)
            if chance < 0.4:
                return web.json_response(FAULT, status=500)
            await asyncio.sleep(SECONDS_AN_ANSWER)
            return web.json_response(ANSWER)
        finally:
            counts["at work"] -= 1

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        app.router.add_get("/requests", lambda _: web.json_response(counts["requests"]))
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


def measure(scenario: str, port: int, seconds: float, result: Connection) -> None:
    """Run a column for so long, in a process of its own; send its last progress."""
    rows = {"chaos": CHAOS_ROWS, "slots": SLOT_ROWS, "scales": SCALES_ROWS}.get(
        scenario.removesuffix("-by-hand"), ROWS
    )

    @dg.asset(io_manager_key="columns", name="rows")
    def source() -> pa.Table:
        return pa.table({"id": range(rows), "text": [f"Row {n}" for n in range(rows)]})

    table = Table(source, key="id")
    table.add_computed_column(
        answer=chat_completions([{"role": "user", "content": table.text}], model="m"), on_error="ignore"
    )
    most = {"base": 32, "slots-by-hand": SLOTS, "scales-by-hand": 500}.get(scenario)
    options: dict[str, Any] = {} if most is None else {"max_in_flight": most}
    if scenario.startswith("slots"):
        options["timeout"] = SLOT_TIMEOUT_SECONDS

    def watch(progress: Progress) -> None:
        if progress.done == progress.total or progress.seconds > seconds:
            result.send((progress.done, progress.meter.rate_limited, progress.seconds))

    with tempfile.TemporaryDirectory() as base, observe_progress(watch):
        resources = {
            "columns": ColumnStore(base_path=base),
            "openai": OpenAIResource(
                base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-x", ledger="memory", **options
            ),
        }
        dg.materialize([source, *table.assets], resources=resources, run_config=QUIET)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=SCENARIOS)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    for scenario in arguments.scenarios:
        here, there = processes.Pipe()
        server = processes.Process(target=serve, args=(there, scenario))
        server.start()
        port = here.recv()
        run = processes.Process(target=measure, args=(scenario, port, arguments.seconds, there))
        run.start()
        done, rejected, seconds = here.recv()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/requests") as answer:
            sent = int(answer.read())
        run.kill()
        server.kill()
        print(
            f"{scenario:14s} {done / seconds:6.1f} rows/s, {sent} requests, {rejected} 429s, {done} rows in {seconds:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
