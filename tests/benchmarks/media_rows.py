"""Rows/s, CPU and peak memory of moderations, captions of images, and speech, beside a bare `gather` of the client's calls.

    python tests/benchmarks/media_rows.py [--job moderations|captions|speech] [--rounds 3] [--tls] [--today FOLDER]

10,000 moderations, 1,000 captions of 512 x 512 JPEGs, 1,000 texts read aloud. The server is the lean one, without limits and
latency. Each side of each round is a process of its own, so that its peak memory is its own; both sides have 200 requests in
flight, the bare one over aiohttp, and read their rows from the same Parquet file; ours includes the journal and the column's
file. With --today a version of this repository in another folder is a further side.
"""

import argparse
import asyncio
import base64
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import openai
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
from versus import QUIET, Took, add_side_options, lean_server, run_side, take_turns, timed

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions, moderations, speech
from pxt_assets.values.types import Image

IN_FLIGHT = 200
ROWS = {"moderations": 10_000, "captions": 1_000, "speech": 1_000}
MODELS = {"moderations": "omni-moderation-latest", "captions": "gpt-6-luna", "speech": "gpt-4o-mini-tts"}
QUESTION = "What is in this picture?"


def text(row: int, number: int) -> str:
    """A text of some 270 characters, different in every row and round."""
    return f"Ticket {number}-{row}. The zip of my jacket broke after two days. I would like a new one. " * 3


def picture(row: int, number: int) -> bytes:
    """A 512 x 512 JPEG of some 60 KB, different in every row and round."""
    coarse = np.random.default_rng((number, row)).integers(0, 256, (128, 128, 3), np.uint8)
    target = io.BytesIO()
    PIL.Image.fromarray(coarse).resize((512, 512), PIL.Image.Resampling.BICUBIC).save(
        target, "JPEG", quality=85
    )
    return target.getvalue()


def write_rows(job: str, folder: Path, name: str, number: int, rows: int) -> None:
    """An upstream table, where the ColumnStore keeps it."""
    make: Callable[[int, int], Any] = picture if job == "captions" else text
    (folder / name).mkdir()
    table = pa.table({"id": range(rows), "given": [make(row, number) for row in range(rows)]})
    pq.write_table(table, folder / name / f"{name}.parquet", row_group_size=100)


def ours(job: str, base_url: str, folder: Path, name: str) -> Took:
    """The column is materialized, reading and storing included."""

    @dg.asset(name=name, io_manager_key="columns")
    def upstream() -> pa.Table:
        raise NotImplementedError  # it is stored already

    tbl = Table(upstream, key="id", schema={"given": Image} if job == "captions" else None)
    model = MODELS[job]
    if job == "moderations":
        column = tbl.add_computed_column(answer=moderations(tbl.given, model=model))
    elif job == "speech":
        column = tbl.add_computed_column(answer=speech(tbl.given, model=model, voice="nova"))
    else:
        parts = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": tbl.given}]
        column = tbl.add_computed_column(
            answer=chat_completions([{"role": "user", "content": parts}], model=model)
        )
    resources = {
        "openai": OpenAIResource(
            api_key="sk-benchmark", base_url=base_url, max_in_flight=IN_FLIGHT, default_rpm=10_000_000
        ),
        "columns": ColumnStore(base_path=str(folder)),
    }
    found: list[Took] = []
    with dg.DagsterInstance.ephemeral() as instance, timed(found):
        dg.materialize(
            [column, upstream],
            selection=[column],
            resources=resources,
            instance=instance,
            run_config=QUIET,
        )
    return found[0]


async def bare(job: str, base_url: str, folder: Path, name: str) -> Took:
    """The client's typed calls alone."""
    slots = asyncio.Semaphore(IN_FLIGHT)
    found: list[Took] = []
    async with openai.AsyncOpenAI(
        api_key="sk-benchmark", base_url=base_url, http_client=openai.DefaultAioHttpClient(timeout=60)
    ) as client:

        async def ask(given: Any) -> object:
            async with slots:
                if job == "moderations":
                    return await client.moderations.create(model=MODELS[job], input=given)
                if job == "speech":
                    answer = await client.audio.speech.create(model=MODELS[job], input=given, voice="nova")
                    return answer.content
                url = f"data:image/jpeg;base64,{base64.b64encode(given).decode()}"
                parts: list[Any] = [
                    {"type": "text", "text": QUESTION},
                    {"type": "image_url", "image_url": {"url": url}},
                ]
                return await client.chat.completions.create(
                    model=MODELS[job], messages=[{"role": "user", "content": parts}]
                )

        with timed(found):
            rows = pq.read_table(folder / name / f"{name}.parquet")["given"].to_pylist()
            await asyncio.gather(*map(ask, rows))
    return found[0]


def sides(job: str, folder: Path) -> dict[str, Callable[[str, int, int], Took]]:
    """What a side's process runs, over rows that are stored: a few, or those of a round."""

    def name(number: int) -> str:
        return "few" if number == 99 else f"rows_{number}"

    return {
        "ours": lambda base_url, _, number: ours(job, base_url, folder, name(number)),
        "bare": lambda base_url, _, number: asyncio.run(bare(job, base_url, folder, name(number))),
    }


def main() -> None:
    """Prints each round's rows/s, the ratios of the medians, and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", choices=ROWS)
    parser.add_argument("--rows", type=int, help="instead of the job's own number")
    add_side_options(parser)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(sides(options.job, Path(options.folder)), options)
        return
    asked = options.rows
    with lean_server(0.0, *(["--tls"] if options.tls else [])) as base_url:
        for job in [options.job] if options.job else ROWS:
            options.rows = asked or ROWS[job]
            print(f"{options.rows:,} {job}")
            with tempfile.TemporaryDirectory() as name:
                write_rows(job, Path(name), "few", 99, 10)
                for number in range(options.rounds):
                    write_rows(job, Path(name), f"rows_{number}", number, options.rows)
                called = {"materialization": "ours", "bare gather": "bare"}
                take_turns(__file__, base_url, called, options, "--job", job, "--folder", name)


if __name__ == "__main__":
    main()
