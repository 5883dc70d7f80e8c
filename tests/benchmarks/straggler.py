"""Whether a row that is answered late holds the others back: when all others are finished, with it and without.

    python tests/benchmarks/straggler.py [--rows 10000] [--seconds 60]

The rows are answered at once but for the hundredth, by a server of the benchmark's own in a process of its own.
"""

import argparse
import asyncio
import json
import multiprocessing
import re
import tempfile
import time
from multiprocessing.connection import Connection

import dagster as dg
import pyarrow as pa
from versus import QUIET

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.compute.asking.progress import Progress, observe_progress
from pxt_assets.demo.models import CHAT_MODEL
from pxt_assets.functions import chat_completions

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": CHAT_MODEL,
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A zip."}}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
    }
).encode()


def _serve(port: Connection, seconds: float) -> None:
    """Answers chats on loopback: those that hold LATE after `seconds`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            found = _LENGTH.search(head)
            body = await reader.readexactly(int(found[1])) if found else b""
            if b"LATE" in body:
                await asyncio.sleep(seconds)
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                % (len(_ANSWER), _ANSWER)
            )

    async def quietly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(quietly, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def _finished(base_url: str, rows: int, *, late: bool) -> tuple[float, float]:
    """Seconds until all rows but one are finished, and until the column is stored."""

    @dg.asset(io_manager_key="columns")
    def tickets() -> pa.Table:
        bodies = [f"Ticket {i}{' LATE' if late and i == 99 else ''}: the zip broke." for i in range(rows)]
        return pa.table({"id": range(rows), "body": bodies})

    tbl = Table(tickets, key="id")
    tbl.add_computed_column(
        response=chat_completions([{"role": "user", "content": tbl.body}], model=CHAT_MODEL)
    )
    others: list[float] = []
    started = time.perf_counter()

    def note(progress: Progress) -> None:
        if progress.done >= rows - 1 and not others:
            others.append(time.perf_counter() - started)

    with (
        tempfile.TemporaryDirectory() as folder,
        dg.DagsterInstance.ephemeral() as instance,
        observe_progress(note),
    ):
        resources = {
            "openai": OpenAIResource(
                api_key="sk-benchmark", base_url=base_url, max_in_flight=200, ledger="memory"
            ),
            "columns": ColumnStore(base_path=folder),
        }
        dg.materialize([tickets, *tbl.assets], resources=resources, instance=instance, run_config=QUIET)
    return others[0], time.perf_counter() - started


def main() -> None:
    """Prints both times, with and without the late row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs, options.seconds), daemon=True
    )
    server.start()
    base_url = f"http://127.0.0.1:{ours.recv()}/v1"
    try:
        _finished(base_url, 50, late=False)  # imports and caches are warm
        for late in (False, True):
            others, stored = _finished(base_url, options.rows, late=late)
            print(
                f"{options.rows:,} rows, {f'one of them after {options.seconds:.0f} s' if late else 'none of them late':25}: "
                f"all others finished after {others:.1f} s, the column stored after {stored:.1f} s",
                flush=True,
            )
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
