"""CPU of a row between its prepared request and its journaled answer, without HTTP: what the limiter and the client take.

    python tests/benchmarks/in_flight.py [chat] [embeddings] [--rows 20000] [--profile]

The transport is one of this process: it answers a request by the event loop's timer, at once for all that are in flight
that long, with the headers of a server that limits. Requests are made before the clock starts, and answers go to a
journal that keeps nothing. To compare two builds, run it with the one and the other on PYTHONPATH, in turns.
"""

import argparse
import asyncio
import base64
import cProfile
import gc
import json
import pstats
import random
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from pxt_assets.api.client import Client
from pxt_assets.compute.asking.cell_requester import CellRequester
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.partition.plan import Plan, ReadyCall
from pxt_assets.demo.models import CHAT_MODEL, EMBEDDING_MODEL
from pxt_assets.functions import chat_completions, embeddings
from pxt_assets.throttle import Pool
from pxt_assets.types import Array, Json

LATENCY = 0.05
IN_FLIGHT = 500
BATCH_ROWS = 1_024
LIMIT_RPM, LIMIT_TPM = 30_000_000, 3_000_000_000
CELLS = {"chat": 1, "embeddings": 2_048}
CHAT_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_800_000_000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "The zip is broken, and a new jacket is wanted."},
        }
    ],
    "usage": {"prompt_tokens": 80, "completion_tokens": 12, "total_tokens": 92},
}


class Server:
    """A transport that answers every request after `LATENCY`, with the limits of a server of the first tier."""

    def __init__(self, kind: str) -> None:
        self.base_url: Any = SimpleNamespace(
            host="127.0.0.1", port=None, scheme="http", netloc=b"127.0.0.1", path="/v1"
        )
        self._chat = json.dumps(CHAT_ANSWER).encode()
        self._is_chat = kind == "chat"
        self._number = 0
        vector = base64.b64encode(np.ones(256, "<f4").tobytes()).decode()
        self._vector = {"object": "embedding", "index": 0, "embedding": vector}

    async def post(self, request: Any) -> Any:
        """The answer to a request."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()
        loop.call_later(LATENCY, answered.set_result, None)
        await answered
        self._number += 1
        return SimpleNamespace(status_code=200, headers=self._headers(), content=self._content(request))

    def _content(self, request: Any) -> bytes:
        if self._is_chat:
            return self._chat
        cells = [{**self._vector, "index": i} for i in range(len(request.body["input"]))]
        used = {"prompt_tokens": 70 * len(cells), "total_tokens": 70 * len(cells)}
        answer = {"object": "list", "data": cells, "model": EMBEDDING_MODEL, "usage": used}
        return json.dumps(answer).encode()

    def _headers(self) -> Any:
        number = self._number
        return Headers(
            [
                (b"date", b"Mon, 30 Nov 2026 12:00:00 GMT"),
                (b"content-type", b"application/json"),
                (b"content-length", b"400"),
                (b"x-ratelimit-limit-requests", b"%d" % LIMIT_RPM),
                (b"x-ratelimit-limit-tokens", b"%d" % LIMIT_TPM),
                (b"x-ratelimit-remaining-requests", b"%d" % (LIMIT_RPM - 1 - number % 400)),
                (b"x-ratelimit-remaining-tokens", b"%d" % (LIMIT_TPM - 80 - number % 400 * 80)),
                (b"x-ratelimit-reset-requests", b"%dms" % (number % 50)),
                (b"x-ratelimit-reset-tokens", b"%dms" % (number % 50)),
                (b"x-request-id", b"req_%032d" % number),
                (b"openai-processing-ms", b"%d" % (number % 900)),
            ]
        )


class Headers:
    """Headers as an HTTP client gives them."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self.raw = raw


class Journal:
    """Keeps nothing but the number of cells."""

    def __init__(self) -> None:
        self.cells = 0

    def append(self, _cell: object) -> None:
        """Counts a cell."""
        self.cells += 1

    async def keep_flushing(self) -> None:
        """Never ends."""
        await asyncio.Event().wait()

    def flush(self) -> None:
        """Does nothing."""


def prepared(kind: str, rows: int) -> list[ReadyCall]:
    """The calls of a column, with everything made that is made before a cell is asked for."""
    found = []
    for row in range(rows):
        text = f"Ticket {row}. The zip of my jacket broke after two days. I would like a new one. " * 3
        if kind == "chat":
            arguments = {"messages": [{"role": "user", "content": text}], "model": CHAT_MODEL}
            request = chat_completions.cell_request(arguments)
        else:
            request = embeddings.cell_request({"input": text, "model": EMBEDDING_MODEL})
        request.digest, request.tokens, request.memory_bytes, request.pack_key  # noqa: B018
        found.append(ReadyCall(request))
    return found


def column(kind: str, calls: list[ReadyCall]) -> Any:
    """What `CellRequester` knows of a column."""
    call = (
        chat_completions([], model=CHAT_MODEL)
        if kind == "chat"
        else embeddings("text", model=EMBEDDING_MODEL)
    )
    column_type = Json if kind == "chat" else Array
    plan: Any = Plan(call, column_type)
    plan.prepare = lambda row: row[0]

    def batches(size: int, *_: object) -> Iterator[list[tuple[ReadyCall]]]:
        for first in range(0, len(calls), size):
            yield [(one,) for one in calls[first : first + size]]

    return SimpleNamespace(
        label=kind,
        budget=None,
        names_files=True,
        total=len(calls),
        column_type=column_type,
        plan=plan,
        options=SimpleNamespace(on_error="abort"),
        inputs=SimpleNamespace(batches=batches, batch_rows=BATCH_ROWS, holds_media=False),
    )


async def ask(kind: str, calls: list[ReadyCall], profile: cProfile.Profile | None = None) -> float:
    """Seconds of CPU in which all cells were asked for and answered."""
    pool = Pool()
    server: Any = Server(kind)
    client = Client(
        server,
        lambda _request: pool,
        max_in_flight=IN_FLIGHT,
        max_retries=3,
        timeout=600.0,
        outage_timeout=600.0,
        rng=random.Random(1),
    )
    cells: Any = SimpleNamespace(
        missing_mask=lambda digests: np.ones(len(digests), bool),
        failed_before=lambda digests: np.zeros(len(digests), bool),
    )
    journal: Any = Journal()
    requester = CellRequester(column(kind, calls), cells, journal, RunState(client, name=kind), lambda: None)
    gc.collect()
    started = time.process_time()
    if profile is not None:
        profile.enable()
    await requester.run()
    if profile is not None:
        profile.disable()
    seconds = time.process_time() - started
    assert journal.cells == len(calls), journal.cells
    return seconds


def main() -> None:
    """Prints the CPU a row, and where it goes if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=[*CELLS])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", choices=["tottime", "cumtime"], help="print where the time goes")
    options = parser.parse_args()
    for kind in options.kinds:
        calls = prepared(kind, options.rows)
        asyncio.run(ask(kind, calls[:2_000]))
        took = sorted(asyncio.run(ask(kind, calls)) for _ in range(options.rounds))
        print(f"{kind}: {took[len(took) // 2] / options.rows * 1e6:.1f} µs of CPU a row", flush=True)
        if options.profile:
            profile = cProfile.Profile(time.process_time)
            asyncio.run(ask(kind, calls, profile))
            pstats.Stats(profile).sort_stats(options.profile).print_stats(60)


if __name__ == "__main__":
    main()
