"""The longest time that the event loop stands still while images are prepared, and what rows cost beside them.

    python tests/benchmarks/image_stalls.py [--rows 12] [--megapixels 12] [--format TIFF]

Captions of photographs of 12 megapixels, TIFFs by default, which are decoded and sent as PNG. The API is a server in the
same process's thread, which answers at once. A timer on the event loop measures how late it fires; peak memory is that
of the process.
"""

import argparse
import asyncio
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import numpy as np
import PIL.Image
from versus import QUIET

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.compute.asking import progress
from pxt_assets.functions import chat_completions
from pxt_assets.values.types import Image

ANSWER = json.dumps(
    {
        "id": "x",
        "model": "gpt-6-luna",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "a photograph"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
).encode()
TICK_SECONDS = 0.01


class Answering(BaseHTTPRequestHandler):
    """Answers every POST at once."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def photograph(number: int, megapixels: float, form: str) -> bytes:
    """A photograph of that many pixels: smooth areas, and noise as sensors have it."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    random = np.random.default_rng(number)
    coarse = random.integers(0, 256, (24, 32, 3), np.uint8)
    smooth = np.asarray(
        PIL.Image.fromarray(coarse).resize((width, width * 3 // 4), PIL.Image.Resampling.BICUBIC)
    )
    noisy = np.clip(smooth + random.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)
    target = io.BytesIO()
    PIL.Image.fromarray(noisy).save(target, form, **({"compression": "tiff_lzw"} if form == "TIFF" else {}))
    return target.getvalue()


class Lag:
    """How late a timer fires on the event loop that reports progress."""

    def __init__(self) -> None:
        self.gaps: list[float] = []

    async def measure(self) -> None:
        """Measures until it is cancelled."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            self.gaps.append(time.perf_counter() - began - TICK_SECONDS)


def measured(lag: Lag) -> None:
    """Has the lag measured on the loop of each run."""
    report = progress.ProgressDisplay.keep_reporting

    async def keep_reporting(self: progress.ProgressDisplay, *logs: object) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(lag.measure())
            group.create_task(report(self, *logs))  # type: ignore[arg-type]

    progress.ProgressDisplay.keep_reporting = keep_reporting  # type: ignore[assignment,method-assign]


def main() -> None:
    """Prints the longest gap, the seconds of the run, and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=12)
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--format", default="TIFF")
    for name in ("--draw", "--to"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        Path(options.to).write_bytes(photograph(int(options.draw), options.megapixels, options.format))
        return
    command = [sys.executable, __file__, "--megapixels", str(options.megapixels)]
    command += ["--format", options.format, "--draw"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lag = Lag()
    measured(lag)
    with tempfile.TemporaryDirectory() as name, dg.DagsterInstance.ephemeral() as instance:
        folder = Path(name)
        paths = []
        for number in range(options.rows):
            paths.append(folder / f"{number}.{options.format.lower()}")
            subprocess.run(
                [*command, str(number), "--to", str(paths[-1])], check=True
            )  # it takes memory of its own
        megabytes = sum(path.stat().st_size for path in paths) / 1e6 / len(paths)

        @dg.asset(io_manager_key="columns")
        def photographs() -> list[dict[str, object]]:
            return [{"id": i, "picture": str(path)} for i, path in enumerate(paths)]

        tbl = Table(photographs, key="id", schema={"picture": Image})
        parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": tbl.picture}]
        tbl.add_computed_column(
            caption=chat_completions([{"role": "user", "content": parts}], model="gpt-6-luna")
        )
        resources = {
            "openai": OpenAIResource(
                api_key="sk-benchmark",
                base_url=f"http://127.0.0.1:{server.server_port}/v1",
                ledger="memory",
            ),
            "columns": ColumnStore(base_path=str(folder / "store")),
        }
        began = time.perf_counter()
        dg.materialize([photographs, *tbl.assets], resources=resources, instance=instance, run_config=QUIET)
        seconds = time.perf_counter() - began
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    gaps = sorted(lag.gaps)
    print(f"{options.rows} {options.format} of {options.megapixels:g} megapixels, {megabytes:.0f} MB each")
    print(
        f"longest gap of the event loop {gaps[-1]:.2f} s, sum of those above 0.1 s "
        f"{sum(gap for gap in gaps if gap > 0.1):.1f} s, of {seconds:.1f} s; peak memory {peak:.0f} MB"
    )


if __name__ == "__main__":
    main()
