"""Files and batches of the lean server: a batch's answers are made while they are read, line by line.

A batch is over after --batch-seconds, or at once; cancelled before, it has answered the share of its lines that the time
allows. Lines come shuffled within blocks of a thousand. What is paid for is counted by custom id, and what is paid for twice.
"""

import asyncio
import json
import mmap
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

CUSTOM_ID = re.compile(rb'"custom_id":\s*("[^"]*")')
BODY = re.compile(rb'"body":\s*')
BLOCK = 1_000
"""Lines that are made at once; others have their turn in between."""
BLOCK_BYTES = 1_000_000
OVER = ("completed", "cancelled")
COUNTS = ("files", "batches", "batch_polls", "batch_lines", "batch_lines_twice")

Make = Callable[[bytes], bytes]


@dataclass
class File:
    """A file: bytes of an upload, or the answers of a batch."""

    id: str
    name: str
    created: float
    path: Path | None = None
    start: int = 0
    end: int = 0
    batch: "Batch | None" = None

    def shown(self) -> dict[str, Any]:
        """As the API describes it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.end - self.start,
            "created_at": int(self.created),
            "expires_at": int(self.created) + 2_592_000,
            "filename": self.name,
            "purpose": "batch" if self.batch is None else "batch_output",
            "status": "processed",
            "status_details": None,
        }


@dataclass
class Batch:
    """A batch."""

    id: str
    asked: dict[str, Any]
    created: float
    seconds: float
    lines: int
    model: str
    ended: float | None = None
    answered: int = 0
    status: str = "in_progress"
    output: File | None = None
    input: File | None = field(default=None, repr=False)

    def shown(self) -> dict[str, Any]:
        """As the API describes it."""
        ended = None if self.ended is None else int(self.ended)
        times = dict.fromkeys(
            ("finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at")
        )
        if ended is not None:
            times[f"{self.status}_at"] = ended
        tokens = {
            "input_tokens": 100 * self.answered,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 28 * self.answered,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 128 * self.answered,
        }
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.asked["endpoint"],
            "model": self.model,
            "errors": None,
            "input_file_id": self.asked["input_file_id"],
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output and self.output.id,
            "error_file_id": None,
            "created_at": int(self.created),
            "in_progress_at": int(self.created),
            "expires_at": int(self.created) + 86_400,
            **times,
            "request_counts": {"total": self.lines, "completed": self.answered, "failed": 0},
            "usage": tokens,
            "metadata": self.asked.get("metadata"),
        }


class Later:
    """The files and batches of one server."""

    def __init__(self, folder: str, seconds: float, answers: dict[bytes, Make]) -> None:
        self.folder, self.seconds, self.answers = Path(folder), seconds, answers
        self.files: dict[str, File] = {}
        self.batches: dict[str, Batch] = {}
        self.paid: set[int] = set()
        self.counts = dict.fromkeys(COUNTS, 0)
        self.random = random.Random(1)
        self.counting: asyncio.Task[None] | None = None

    def new_id(self, kind: str) -> str:
        """An id."""
        return f"{kind}-{self.random.getrandbits(96):024x}"

    def upload(self) -> Path:
        """Where the body of an upload is to be written."""
        return self.folder / self.new_id("upload")

    def add_upload(self, path: Path) -> File:
        """The file in a form that lies at `path`."""
        with path.open("rb") as form, mmap.mmap(form.fileno(), 0, access=mmap.ACCESS_READ) as data:
            boundary = b"\r\n" + data[: data.find(b"\r\n")]
            name_at = data.find(b'filename="') + 10
            start = data.find(b"\r\n\r\n", name_at) + 4
            name = data[name_at : data.find(b'"', name_at)].decode()
            end = data.find(boundary, start)
        file = File(self.new_id("file"), name, time.time(), path, start, end)
        self.files[file.id] = file
        self.counts["files"] += 1
        return file

    def answer(self, method: bytes, path: bytes, query: bytes, body: bytes) -> dict[str, Any] | File:
        """What a request is answered; a file stands for its content. Raises KeyError for what is not there."""
        _, _, kind, *rest = path.decode().split("/")
        given = {name: values[-1] for name, values in parse_qs(query.decode()).items()}
        one, *more = rest or [""]
        if kind == "files":
            if not one:
                return self.listed(self.files, given, 10_000)
            file = self.files[one]
            if more:
                return file
            if method == b"DELETE":
                self.delete(file)
                return {"id": file.id, "object": "file", "deleted": True}
            return file.shown()
        if method == b"POST" and not one:
            return self.create(json.loads(body)).shown()
        if not one:
            return self.listed(self.batches, given, 20)
        batch = self.batches[one]
        if more:
            self.end(batch, "cancelled")
        else:
            self.counts["batch_polls"] += 1
            self.look(batch)
        return batch.shown()

    def listed(self, all_of_them: dict[str, Any], given: dict[str, str], most: int) -> dict[str, Any]:
        """A page of a list, the newest first."""
        ids = list(reversed(all_of_them))
        if "after" in given:
            ids = ids[ids.index(given["after"]) + 1 :]
        limit = int(given.get("limit", most))
        for id in ids[:limit]:
            if isinstance(all_of_them[id], Batch):
                self.look(all_of_them[id])
        data = [all_of_them[id].shown() for id in ids[:limit]]
        return {"object": "list", "data": data, "has_more": len(ids) > limit}

    def create(self, asked: dict[str, Any]) -> Batch:
        """A new batch."""
        file = self.files[asked["input_file_id"]]
        model = json.loads(next(_lines(file)))["body"]["model"]
        lines = _count(file)
        batch = Batch(self.new_id("batch"), asked, time.time(), self.seconds, lines, model, input=file)
        self.batches[batch.id] = batch
        self.counts["batches"] += 1
        return batch

    def look(self, batch: Batch) -> None:
        """Ends a batch whose time is over."""
        if time.time() >= batch.created + batch.seconds:
            self.end(batch, "completed")

    def end(self, batch: Batch, status: str) -> None:
        """Ends a batch that is not over, with its results."""
        if batch.status in OVER or batch.input is None:
            return
        share = min(1.0, (time.time() - batch.created) / batch.seconds) if batch.seconds else 1.0
        batch.status, batch.ended, batch.answered = status, time.time(), int(batch.lines * share)
        if batch.answered:
            name = f"{batch.id}_output.jsonl"
            batch.output = File(self.new_id("file"), name, time.time(), batch=batch)
            self.files[batch.output.id] = batch.output
            self.counting = asyncio.create_task(self.count_paid(batch, batch.input, self.counting))

    async def count_paid(self, batch: Batch, file: File, before: "asyncio.Task[None] | None") -> None:
        """Counts what a batch has answered, after the batches that ended before it."""
        if before is not None:
            await before
        for number, line in enumerate(_lines(file)):
            if number == batch.answered:
                return
            found = CUSTOM_ID.search(line)
            name = hash(found[1] if found else b"")
            self.counts["batch_lines"] += 1
            self.counts["batch_lines_twice"] += name in self.paid
            self.paid.add(name)
            if number % BLOCK == 0:
                await asyncio.sleep(0)

    def delete(self, file: File) -> None:
        """Deletes a file; the content of an input lives on until its batch's output is deleted too."""
        del self.files[file.id]
        if file.path is not None and not any(batch.input is file for batch in self.batches.values()):
            file.path.unlink(missing_ok=True)
        if file.batch is not None and file.batch.input is not None:
            path, file.batch.input = file.batch.input.path, None
            if path is not None and file.batch.asked["input_file_id"] not in self.files:
                path.unlink(missing_ok=True)

    def pieces(self, file: File) -> Iterator[bytes]:
        """The content of a file, a block of lines at a time."""
        batch = file.batch
        if batch is None:
            yield from _blocks(file)
            return
        if batch.input is None:
            return
        make, number = self.answers[batch.asked["endpoint"].encode()], 0
        for block in _blocks(batch.input):
            lines = block.splitlines()[: batch.answered - number]
            number += len(lines)
            self.random.shuffle(lines)
            yield b"".join([_answer(line, make) for line in lines])
            if number >= batch.answered:
                return


def _answer(line: bytes, make: Make) -> bytes:
    custom_id, body = CUSTOM_ID.search(line), BODY.search(line)
    assert custom_id is not None, line
    assert body is not None, line
    answer = make(line[body.end() : line.rindex(b"}")])
    number = hash(custom_id[1]) & 0xFFFFFFFFFFFF
    return (
        b'{"id": "batch_req_%012x", "custom_id": %b, "response": {"status_code": 200, "request_id": "req_%012x", '
        b'"body": %b}, "error": null}\n' % (number, custom_id[1], number, answer)
    )


def _lines(file: File) -> Iterator[bytes]:
    for block in _blocks(file):
        yield from block.splitlines()


def _blocks(file: File) -> Iterator[bytes]:
    """A thousand lines at a time, or as many as there are in a million bytes."""
    assert file.path is not None
    with file.path.open("rb") as data:
        data.seek(file.start)
        left, lines, size = file.end - file.start, list[bytes](), 0
        while left > 0:
            line = data.readline(left)
            left, size = left - len(line), size + len(line)
            lines.append(line)
            if len(lines) == BLOCK or size > BLOCK_BYTES or left <= 0:
                yield b"".join(lines)
                lines, size = [], 0


def _count(file: File) -> int:
    """The lines of a file, the last of which may lack its end."""
    assert file.path is not None
    with file.path.open("rb") as data:
        data.seek(file.start)
        left, lines, end = file.end - file.start, 0, b"\n"
        while left > 0:
            part = data.read(min(left, BLOCK_BYTES))
            left, lines, end = left - len(part), lines + part.count(b"\n"), part[-1:]
        return lines + (end != b"\n")
