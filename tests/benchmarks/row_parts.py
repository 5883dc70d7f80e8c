"""CPU microseconds a row of what is done before and after its request, in this process, without any server.

    python tests/benchmarks/row_parts.py [--rows 20000] [--rounds 3] [--kinds chat embeddings captions moderations]

Parts: `prepare` (a row becomes a request with its digest), `admit` (its bytes, its size for the limiter), `payload` (the
bytes that are sent; embeddings are packed), `parse` (the bytes of an answer become its values, usage and price),
`finish` (the cell's value, its check and its provenance), `journal` (the cells become an Arrow table). The least of the
rounds counts. To compare with another build, set PYTHONPATH to it and run both in turns.
"""

import argparse
import base64
import gc
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import numpy as np

from pxt_assets.api.meter import Meter
from pxt_assets.api.read_answer import parse_answer
from pxt_assets.api.request import Request, pack
from pxt_assets.compute.cells.cell import Cell, table_of_cells
from pxt_assets.compute.partition.plan import Plan, ReadyCall, cell_digest, memory_bytes
from pxt_assets.expressions.expr import Call, ColumnRef
from pxt_assets.functions import chat_completions, embeddings, moderations
from pxt_assets.storage.provenance import Provenance, split_usage
from pxt_assets.values.media import Media
from pxt_assets.values.types import Image, String

COLUMN = ColumnRef(dg.AssetKey("tickets"), dg.AssetKey("tickets"), "body", String)
PHOTO = ColumnRef(dg.AssetKey("tickets"), dg.AssetKey("tickets"), "photo", Image)
CATEGORIES = ("harassment", "harassment/threatening", "hate", "illicit", "self-harm", "sexual", "violence")
DIMENSIONS = 1_536
PHOTO_BYTES = 60_000


def text(row: int) -> str:
    """A text of some 270 characters, different in every row."""
    return f"Ticket {row}. The zip of my jacket broke after two days. I would like a new one. " * 3


def chat_answer(row: int) -> bytes:
    """An answer as the API writes it: indented, with all of its fields."""
    message = {
        "role": "assistant",
        "content": f"We are sorry, “{row}” is replaced. " * 6,
        "refusal": None,
        "annotations": [],
    }
    usage = {
        "prompt_tokens": 70 + row % 9,
        "completion_tokens": 40 + row % 7,
        "total_tokens": 110,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
    answer = {
        "id": f"chatcmpl-{row:032d}",
        "object": "chat.completion",
        "created": 1_790_000_000 + row,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
    return json.dumps(answer, indent=2, ensure_ascii=False).encode()


def moderation_answer(row: int) -> bytes:
    """An answer with the flags and scores of its categories."""
    scores = {name: (row + i) % 97 / 9_700_000 for i, name in enumerate(CATEGORIES)}
    result = {
        "flagged": False,
        "categories": dict.fromkeys(CATEGORIES, False),
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
    answer = {"id": f"modr-{row}", "model": "omni-moderation-latest", "results": [result]}
    return json.dumps(answer, indent=2).encode()


def embeddings_answer(count: int) -> bytes:
    """An answer of many vectors, base64."""
    vectors = np.random.default_rng(1).standard_normal((count, DIMENSIONS)).astype("<f4")
    data = [
        {"object": "embedding", "index": i, "embedding": base64.b64encode(vector).decode()}
        for i, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 60 * count, "total_tokens": 60 * count}
    return json.dumps(
        {"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}
    ).encode()


def kind_of(name: str, rows: int) -> tuple[Call, list[tuple[Any, ...]], Callable[[int], bytes]]:
    """The expression of a kind of column, its rows' values, and what the server answers to a row."""
    if name == "embeddings":
        whole = {count: embeddings_answer(count) for count in {min(2_048, rows), rows % 2_048 or 2_048}}
        return (
            embeddings(COLUMN, model="text-embedding-3-small"),
            [(text(i),) for i in range(rows)],
            whole.__getitem__,
        )
    if name == "moderations":
        return moderations(COLUMN), [(text(i),) for i in range(rows)], moderation_answer
    if name == "captions":
        parts = [
            {"type": "text", "text": "What is in the picture?"},
            {"type": "image_url", "image_url": PHOTO},
        ]
        messages = [{"role": "user", "content": parts}]
        jpeg = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * (PHOTO_BYTES // 256)
        photos = [(Media(jpeg + b"%d" % i),) for i in range(rows)]
        return chat_completions(messages, model="gpt-4o-mini"), photos, chat_answer
    messages = [
        {"role": "system", "content": "You answer tickets in one sentence."},
        {"role": "user", "content": COLUMN},
    ]
    return (
        chat_completions(messages, model="gpt-4o-mini"),
        [(text(i),) for i in range(rows)],
        chat_answer,
    )


def one_round(name: str, rows: int) -> dict[str, float]:
    """CPU seconds of each part."""
    call, values, answer = kind_of(name, rows)
    taken: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(of: str) -> Iterator[None]:
        gc.collect()
        began = time.process_time()
        yield
        taken[of] += time.process_time() - began

    plan, meter = Plan(call, call._function.returns), Meter()
    with part("prepare"):
        prepared = [plan.prepare(row) for row in values]
        digests = [cell_digest(cell) for cell in prepared]
    with part("admit"):
        for cell in prepared:
            assert isinstance(cell, ReadyCall)
            memory_bytes(cell)
            assert isinstance(cell.request, Request)
            if cell.request.max_cells > 1:
                assert cell.request.pack_key
                assert cell.request.tokens
    requests = [cell.request for cell in prepared]
    step = requests[0].max_cells
    bodies = [answer(min(step, rows - i) if step > 1 else i) for i in range(0, rows, step)]
    with part("payload"):
        sent = requests if step == 1 else [pack(requests[i : i + step]) for i in range(0, rows, step)]
        for request in sent:
            assert request.size
            assert request.payload
    with part("parse"):
        answers = []
        for request, body in zip(sent, bodies, strict=True):
            parsed = parse_answer(request, body, {}, ())
            cost = meter.count_answer(parsed.model or request.model, parsed.usage, 0.5)
            answers.append((parsed, cost))
    cells: list[Cell] = []
    with part("finish"):
        for number, (parsed, cost) in enumerate(answers):
            some = requests[number * step : (number + 1) * step]
            estimates = [one.tokens for one in some]
            shares = split_usage(parsed.usage, cost, estimates)
            for i, (value, (usage, share)) in enumerate(zip(parsed.values, shares, strict=True)):
                provenance = Provenance()
                provenance += Provenance(
                    "req_1",
                    parsed.model,
                    usage.input_tokens if usage else None,
                    usage.output_tokens if usage else None,
                    usage.cached_tokens if usage else None,
                    estimates[i],
                    share,
                    0.5,
                    1,
                    "api.openai.com",
                )
                at = number * step + i
                finished = _run(plan, prepared[at], some[i].cell_value(value))
                cells.append(Cell(digests[at], finished, provenance=provenance))
    for first in range(0, rows, 2_048):
        with part("journal"):
            table_of_cells(cells[first : first + 2_048], call._function.returns, "run")
    return taken


def _run(plan: Plan, prepared: Any, value: Any) -> Any:
    """What `finish` gives where the call is answered at once, driven without an event loop."""

    async def call(_request: object) -> Any:
        return value

    try:
        plan.finish(prepared, call).send(None)
    except StopIteration as ended:
        return ended.value
    msg = "the cell waits for something"
    raise AssertionError(msg)


def main() -> None:
    """Prints a table: a line a kind, a column a part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", default=["chat", "embeddings", "captions", "moderations"])
    given = parser.parse_args()
    for kind in given.kinds:
        rows = min(given.rows, 1_000) if kind == "captions" else given.rows
        rounds = [one_round(kind, rows) for _ in range(given.rounds)]
        least = {name: min(taken[name] for taken in rounds) / rows * 1e6 for name in rounds[0]}
        parts = "  ".join(f"{name} {micros:6.1f}" for name, micros in least.items())
        print(f"{kind:12} {sum(least.values()):7.1f} µs a row:  {parts}")


if __name__ == "__main__":
    main()
