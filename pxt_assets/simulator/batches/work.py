"""The work on a batch: one pass over its file, in slices, in which all requests are checked and answered."""

import asyncio
import json
import random
import re
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from pxt_assets.simulator.batches.answered_lines import LineWriter
from pxt_assets.simulator.batches.input_lines import MAX_BYTES, InputLine, LineReader
from pxt_assets.simulator.endpoint.endpoint import Answer, Call
from pxt_assets.simulator.endpoint.errors import SimulatedError, server_error, server_overloaded

_SLICE_SECONDS = 0.005
"""How long other requests wait for this work."""
_LONG_LINE = 256 * 1024
"""Bytes from which on a line is parsed in a thread."""
_LOST = b'{"code":"request_timeout","message":"The underlying call to the model timed out. (A fault of the simulator.)"}'
_TOKENS = {
    kind: re.compile(rb'"%b": ?(\d+)' % name)
    for kind, name in (("cached", b"cached_tokens"), ("reasoning", b"reasoning_tokens"))
}


class Answering(Protocol):
    """Answers the requests of one batch, as its endpoint does."""

    async def read(self, body: dict[str, Any]) -> Call:
        """The call that a body asks for; raises a `SimulatedError` as the endpoint does."""

    async def answer(self, call: Call, identity: bytes) -> Answer:
        """Its answer; raises a `SimulatedError` as the endpoint does."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the pass found."""

    total: int
    model: str | None
    tokens: int
    """Tokens by which the queue of the model grows."""
    errors: tuple[dict[str, Any], ...]
    """Why the batch as a whole fails; none where it goes on."""
    results: str = ""
    """Names the answered lines; empty where the batch fails."""

    def as_text(self) -> str:
        """For the database."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Checked":
        """The same again."""
        found = json.loads(text)
        return cls(**{**found, "errors": tuple(found["errors"])})


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done for a batch."""

    batch_id: str
    endpoint: str
    content: Path
    """The file of requests."""
    lines: Path
    """Where the answered lines are to be written."""
    index: Path
    """Where their index is to be written."""
    seed: int
    """Decides the order of the answers, and which of them meet faults."""
    fault_rate: float = 0.0
    """Share of the requests that fail: two thirds by a 5xx, one third by a lost answer."""


async def do_work(work: Work, answering: Answering) -> Checked:
    """Check and answer all requests. The lines and their index are written, or, where the batch fails, removed.

    Raises FileNotFoundError if the file of requests was deleted.
    """
    reader = LineReader(work.endpoint)
    size = work.content.stat().st_size
    if size > MAX_BYTES:
        message = f"The input file has {size:,} bytes; a batch may have {MAX_BYTES:,} at most."
        reader.refuse("file_too_large", message)
        return Checked(0, None, 0, tuple(reader.errors))
    is_written = False
    try:
        with work.content.open("rb") as content, work.lines.open("wb") as file:
            pass_over = _Pass(work, answering, reader, file)
            async for line in _in_slices(content):
                await pass_over.take(line)
        reader.end()
        if not reader.errors:
            work.index.write_bytes(await asyncio.to_thread(pass_over.writer.index, work.seed))
            is_written = True
    finally:
        if not is_written:
            work.lines.unlink(missing_ok=True)
    results = work.lines.stem if is_written else ""
    return Checked(reader.count, reader.model, pass_over.tokens, tuple(reader.errors), results)


async def _in_slices(content: BinaryIO) -> AsyncIterator[bytes]:
    """The lines of a file; others have their turn in between."""
    slice_end = time.perf_counter() + _SLICE_SECONDS
    for line in content:
        yield line
        if time.perf_counter() > slice_end:
            await asyncio.sleep(0)
            slice_end = time.perf_counter() + _SLICE_SECONDS


class _Pass:
    """One pass over the lines."""

    def __init__(self, work: Work, answering: Answering, reader: LineReader, file: BinaryIO) -> None:
        self.tokens = 0
        self.writer = LineWriter(file)
        self._work = work
        self._answering = answering
        self._reader = reader
        self._faults = random.Random(f"batch faults {work.seed}")  # noqa: S311

    async def take(self, line: bytes) -> None:
        """Check the next line, and answer it unless the batch fails anyway."""
        reader = self._reader
        read = await asyncio.to_thread(reader.read, line) if len(line) > _LONG_LINE else reader.read(line)
        if read is None:
            return
        fault = self._draw_fault()
        try:
            call = await self._answering.read(read.body)
        except SimulatedError as error:
            self._take_refused(read, error)
            return
        if not reader.note_model(call.model, read.number):
            return
        if self._work.endpoint.endswith("/embeddings"):
            reader.note_inputs(len(getattr(call, "inputs", ())))
        self.tokens += call.charge(count_max_tokens=False)
        if reader.errors:
            return
        if fault == "lost":
            self._write(read, b',"response":null,"error":%b}\n' % _LOST, failed=True)
            return
        if fault is not None:
            failure = server_error() if fault == "500" else server_overloaded()
            self._write_response(read, failure.status, failure.body())
            return
        try:
            answer = await self._answering.answer(call, _identity(read.body))
        except SimulatedError as error:
            self._write_response(read, error.status, error.body())
            return
        self._write_response(read, 200, answer.body, _tokens(answer))

    def _take_refused(self, read: InputLine, error: SimulatedError) -> None:
        model = read.body.get("model")
        if error.code == "model_not_found":
            self._reader.refuse(
                "model_not_found",
                f"The provided model '{model}' is not supported by the Batch API.",
                param="body.model",
                line=read.number,
            )
        elif not isinstance(model, str) or self._reader.note_model(model, read.number):
            self._write_response(read, error.status, error.body())

    def _draw_fault(self) -> str | None:
        if self._work.fault_rate == 0 or self._faults.random() >= self._work.fault_rate:
            return None
        return self._faults.choice(("500", "503", "lost"))

    def _write_response(
        self, read: InputLine, status: int, body: bytes, tokens: tuple[int, int, int, int] = (0, 0, 0, 0)
    ) -> None:
        request_id = f"sim-req-{self._work.batch_id.rpartition('-')[2]}-{read.number}".encode()
        response = b'{"status_code":%d,"request_id":"%b","body":%b}' % (status, request_id, body)
        self._write(read, b',"response":%b,"error":null}\n' % response, failed=status != 200, tokens=tokens)

    def _write(
        self, read: InputLine, rest: bytes, *, failed: bool, tokens: tuple[int, int, int, int] = (0, 0, 0, 0)
    ) -> None:
        line_id = f"sim-batch-req-{self._work.batch_id.rpartition('-')[2]}-{read.number}"
        head = f'{{"id":"{line_id}","custom_id":{json.dumps(read.custom_id)}'.encode()
        self.writer.write(head, rest, failed=failed, tokens=tokens)


def _identity(body: dict[str, Any]) -> bytes:
    """The bytes of the body as clients send it, so that its answer has the id that it would have had at once."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _tokens(answer: Answer) -> tuple[int, int, int, int]:
    cached, reasoning = (
        int(found[1]) if (found := pattern.search(answer.body)) else 0 for pattern in _TOKENS.values()
    )
    return answer.input_tokens, cached, answer.output_tokens, reasoning
