"""Rows/s and peak memory of moderations, captions of images, and speech, beside a bare `gather` of the client's calls.

    python tests/benchmarks/media_rows.py [--job moderations|captions|speech] [--rounds 3]

10,000 moderations, 1,000 captions of 512 x 512 JPEGs, 1,000 texts read aloud. The simulator runs without limits and
latency in a process of its own. Each side of each round is a process of its own too, so that its peak memory is its own;
both sides use the same transport (aiohttp), 200 requests in flight, and read their rows from the same Parquet file; ours
includes the journal and the column's file. Rounds alternate, so that the ratio holds where the machine's speed drifts.
"""

import argparse
import asyncio
import base64
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import openai
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
from versus import QUIET, compare, simulator

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


def ours(job: str, base_url: str, folder: Path, name: str) -> float:
    """Seconds to materialize the column, reading and storing included."""

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
    with dg.DagsterInstance.ephemeral() as instance:
        started = time.perf_counter()
        dg.materialize(
            [column, upstream],
            selection=[column],
            resources=resources,
            instance=instance,
            run_config=QUIET,
        )
        return time.perf_counter() - started


async def bare(job: str, base_url: str, folder: Path, name: str) -> float:
    """Seconds for the client's typed calls alone."""
    slots = asyncio.Semaphore(IN_FLIGHT)
    started = time.perf_counter()
    rows = pq.read_table(folder / name / f"{name}.parquet")["given"].to_pylist()
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

        await asyncio.gather(*map(ask, rows))
        return time.perf_counter() - started


def measure(job: str, side: str, base_url: str, number: int) -> tuple[float, float]:
    """Rows/s of one side in a process of its own, and its peak memory in MB."""
    with tempfile.TemporaryDirectory() as name:
        write_rows(job, Path(name), "few", 99, 10)
        write_rows(job, Path(name), "rows", number, ROWS[job])
        command = [
            sys.executable,
            __file__,
            "--job",
            job,
            "--side",
            side,
            "--base-url",
            base_url,
            "--folder",
            name,
        ]
        said = json.loads(
            subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        )
    return ROWS[job] / said["seconds"], said["megabytes"]


def run_side(options: argparse.Namespace) -> None:
    """What a process of `measure` does."""
    folder = Path(options.folder)
    for name in ("few", "rows"):  # the first time is that of imports and caches
        if options.side == "ours":
            seconds = ours(options.job, options.base_url, folder, name)
        else:
            seconds = asyncio.run(bare(options.job, options.base_url, folder, name))
    status = Path("/proc/self/status").read_text()  # getrusage would begin with the peak of the parent
    megabytes = int(status.split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "megabytes": megabytes}))


def main() -> None:
    """Prints each round's rows/s, the ratio of the medians, and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", choices=ROWS)
    parser.add_argument("--rounds", type=int, default=3)
    for name in ("--side", "--base-url", "--folder"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options)
        return
    with simulator(0.0) as base_url:
        for job in [options.job] if options.job else ROWS:
            print(f"{ROWS[job]:,} {job}")
            rates: dict[str, list[float]] = {"ours": [], "bare": []}
            peaks: dict[str, float] = {"ours": 0.0, "bare": 0.0}
            for number in range(2 * options.rounds):
                side = ("ours", "bare")[number % 2]
                rate, megabytes = measure(job, side, base_url, number)
                rates[side].append(rate)
                peaks[side] = max(peaks[side], megabytes)
            compare({"materialization": rates["ours"], "bare gather": rates["bare"]})
            print(f"peak memory      {peaks['ours']:.0f} MB, bare gather {peaks['bare']:.0f} MB")


if __name__ == "__main__":
    main()
