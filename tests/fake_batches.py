"""Batches in memory, for tests of what asks for them: the test says when a batch goes on, and how it ends."""

import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pxt_assets.api.batches import (
    BackgroundState,
    BatchError,
    BatchState,
    LineAnswer,
    UnknownBatchError,
    UnknownFileError,
    UnknownResponseError,
)

Answerer = Callable[[Mapping[str, Any]], tuple[int, Any]]
"""(a line of an input file) -> status and body of its answer."""


class Died(BaseException):
    """The process ended here, as by a kill: nothing catches it."""


def chat_answer(line: Mapping[str, Any]) -> tuple[int, Any]:
    """What the API says: `re: <what was asked>`, an embedding `[length, 1, 2]`, nothing flagged; 10 tokens in, 5 out."""
    body, url = line["body"], line["url"]
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    if url.endswith("/embeddings"):
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        data = [
            {"object": "embedding", "index": i, "embedding": [float(len(text)), 1.0, 2.0]}
            for i, text in enumerate(inputs)
        ]
        return 200, {"object": "list", "model": body["model"], "data": data, "usage": usage}
    if url.endswith("/responses"):
        content = [{"type": "output_text", "text": f"re: {body['input']}", "annotations": []}]
        output = [
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
        ]
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        answer = {"id": "resp_1", "object": "response", "status": "completed", "model": body["model"]}
        return 200, {**answer, "output": output, "usage": usage}
    message = {"role": "assistant", "content": f"re: {body['messages'][-1]['content']}"}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    return 200, {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": body["model"],
        "choices": choices,
        "usage": usage,
    }


@dataclass
class FakeFile:
    """A file that the server has."""

    id: str
    name: str
    content: bytes


class FakeBatches:
    """A BatchApi. `now` is the clock of the server, in seconds since 1970.

    Batches stand at `in_progress` until the test ends them by `complete`, `expire`, `fail` or `finish_cancel`, or at once
    with `at_once`.
    """

    def __init__(
        self,
        answer: Answerer = chat_answer,
        *,
        now: Callable[[], float] = lambda: 1_800_000_000.0,
        at_once: bool = False,
    ) -> None:
        self.answer, self.now, self.at_once = answer, now, at_once
        self.files: dict[str, FakeFile] = {}
        self.batches: dict[str, BatchState] = {}
        self.calls: list[str] = []
        """The names of all calls, in their order."""
        self.paid: Counter[str] = Counter()
        """How often each custom_id was answered with a result."""
        self.die: set[str] = set()
        """Where the process ends next: "before upload", "after upload", "before create", "after create", ..."""
        self.cut_after: int | None = None
        """Lines after which the next reading of a file ends in Died."""
        self.queue_tokens: int | None = None
        """With a limit, batches fail with token_limit_exceeded while the texts of others on their way fill it."""
        self.is_azure = False
        self._random = random.Random(7)
        self._count = 0

    def _new_id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if f"before {name}" in self.die:
            self.die.remove(f"before {name}")
            raise Died(name)

    def _taken(self, name: str) -> None:
        if f"after {name}" in self.die:
            self.die.remove(f"after {name}")
            raise Died(name)

    async def upload(self, path: Path, file_name: str) -> str:
        self._called("upload")
        file = FakeFile(self._new_id("file"), file_name, path.read_bytes())  # noqa: ASYNC240
        self.files[file.id] = file
        self._taken("upload")
        return file.id

    async def create(self, file_id: str, endpoint: str, name: str) -> BatchState:
        self._called("create")
        lines = self.requests(file_id)
        assert len({line["custom_id"] for line in lines}) == len(lines), "a custom_id stands twice in a file"
        assert {line["url"] for line in lines} == {endpoint}
        assert len({line["body"]["model"] for line in lines}) == 1
        batch = BatchState(
            self._new_id("batch"),
            name,
            "in_progress",
            endpoint,
            lines[0]["body"]["model"],
            self.now(),
            self.now() + 86_400,
            len(lines),
            0,
            0,
            file_id,
        )
        self.batches[batch.id] = batch
        if self.queue_tokens is not None and self._enqueued() > self.queue_tokens:
            limit = f"Limit: {self.queue_tokens:,} enqueued tokens. Please try again once some in_progress batches are done."
            self.fail(
                batch.id, "token_limit_exceeded", f"Enqueued token limit reached for {batch.model}. {limit}"
            )
        elif self.at_once:
            self.complete(batch.id)
        self._taken("create")
        return batch

    def _enqueued(self) -> int:
        """The tokens on their way: a quarter of the bytes of input files."""
        files = [batch.input_file_id for batch in self.batches.values() if not batch.is_ended]
        return sum(len(self.files[str(file)].content) // 4 for file in files)

    async def retrieve(self, batch_id: str) -> BatchState:
        self._called("retrieve")
        return self._batch(batch_id)

    def _batch(self, batch_id: str) -> BatchState:
        if batch_id not in self.batches:
            raise UnknownBatchError(f"no batch {batch_id}")
        return self.batches[batch_id]

    async def find(self, name: str, since: float, file_id: str | None = None) -> BatchState | None:
        self._called("find")
        found = [
            batch
            for batch in await self.list_batches(since)
            if batch.name == name or (batch.name is None and file_id and batch.input_file_id == file_id)
        ]
        for later in found[:-1]:
            await self.cancel(later.id)
        return found[-1] if found else None

    async def list_batches(self, since: float) -> list[BatchState]:
        self._called("list_batches")
        return [batch for batch in reversed(self.batches.values()) if (batch.created_at or 0) >= since]

    async def cancel(self, batch_id: str) -> BatchState:
        self._called("cancel")
        batch = self._batch(batch_id)
        if not batch.is_ended:
            batch = self.batches[batch_id] = replace(batch, status="cancelling")
        self._taken("cancel")
        return batch

    async def lines(self, file_id: str) -> AsyncIterator[list[bytes]]:
        self._called("lines")
        if file_id not in self.files:
            raise UnknownFileError(f"no file {file_id}")
        lines = self.files[file_id].content.splitlines()
        for i in range(0, len(lines), 100):
            if self.cut_after is not None and i + 100 > self.cut_after:
                rest, self.cut_after = lines[i : self.cut_after], None
                yield rest
                raise Died("lines")
            yield lines[i : i + 100]

    async def delete_file(self, file_id: str) -> None:
        self._called("delete_file")
        self.files.pop(file_id, None)

    async def find_files(self, file_name: str, since: float = 0.0) -> list[str]:
        self._called("find_files")
        return [file.id for file in self.files.values() if file.name == file_name]

    def requests(self, file_id: str) -> list[dict[str, Any]]:
        """The lines of an input file."""
        return [json.loads(line) for line in self.files[file_id].content.splitlines()]

    @property
    def on_their_way(self) -> list[str]:
        """The ids of the batches that have not ended."""
        return [batch.id for batch in self.batches.values() if not batch.is_ended]

    def complete(self, batch_id: str | None = None, *, failed: Collection[str] = ()) -> None:
        """Ends a batch, or all, with all requests answered; those of `failed` by status 400."""
        for one in self._chosen(batch_id):
            self._end(one, "completed", None, failed)

    def expire(self, batch_id: str | None = None, *, after: int = 0, failed: Collection[str] = ()) -> None:
        """Ends a batch after 24 hours, with so many of its requests answered."""
        for one in self._chosen(batch_id):
            self._end(one, "expired", after, failed)

    def finish_cancel(self, batch_id: str | None = None, *, after: int = 0) -> None:
        """Ends a batch that was cancelled, with so many of its requests answered."""
        for one in self._chosen(batch_id):
            self._end(one, "cancelled", after, ())

    def fail(self, batch_id: str, code: str, message: str, *, line: int | None = None) -> None:
        """Ends a batch at its validation."""
        errors = (BatchError(code, message, line),)
        self.batches[batch_id] = replace(
            self.batches[batch_id], status="failed", errors=errors, has_ended_at=True
        )

    def forget(self, batch_id: str) -> None:
        """Lets the server know nothing more of a batch."""
        del self.batches[batch_id]

    def _chosen(self, batch_id: str | None) -> Iterable[str]:
        return self.on_their_way if batch_id is None else [batch_id]

    def _end(self, batch_id: str, status: str, after: int | None, failed: Collection[str]) -> None:
        batch = self.batches[batch_id]
        requests = self.requests(str(batch.input_file_id))
        done = len(requests) if after is None else after
        out, errors = list[Any](), list[Any]()
        for i, line in enumerate(requests):
            name = line["custom_id"]
            if i >= done:
                code = f"batch_{status}"
                error = {
                    "code": code,
                    "message": f"This request could not be executed before the batch {status}.",
                }
                errors.append(self._line(name, None, error))
                continue
            code, body = (
                (400, {"error": {"message": "refused", "type": "invalid_request_error"}})
                if name in failed
                else self.answer(line)
            )
            answer = {"status_code": code, "request_id": self._new_id("req"), "body": body}
            (out if code == 200 else errors).append(self._line(name, answer, None))
            self.paid[name] += code == 200
        ids = [
            self._store(f"{batch_id}_{kind}.jsonl", lines)
            for kind, lines in (("output", out), ("error", errors))
        ]
        self.batches[batch_id] = replace(
            batch,
            status=status,
            completed=len(out),
            failed=sum(1 for line in errors if line["response"] is not None),
            output_file_id=ids[0],
            error_file_id=ids[1],
            has_ended_at=True,
        )

    def _line(self, name: str, response: Any, error: Any) -> dict[str, Any]:
        return {"id": self._new_id("batch_req"), "custom_id": name, "response": response, "error": error}

    def _store(self, name: str, lines: list[Any]) -> str | None:
        if not lines:
            return None
        self._random.shuffle(lines)
        content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        file = FakeFile(self._new_id("file"), name, content)
        self.files[file.id] = file
        return file.id


class FakeBackground:
    """A BackgroundApi; the test says by `respond` what becomes of a response."""

    def __init__(self) -> None:
        self.responses: dict[str, BackgroundState] = {}
        self.calls: list[tuple[str, str]] = []
        """The names of all calls and the ids, in their order."""

    def respond(self, response_id: str, status: str, body: Mapping[str, Any] | None = None) -> None:
        """Sets the state of a response, with the rest of its JSON."""
        said = {"id": response_id, "object": "response", "status": status, **(body or {})}
        answer = LineAnswer(response_id, 200, json.dumps(said).encode(), f"req-{response_id}")
        self.responses[response_id] = BackgroundState(response_id, status, answer)

    async def fetch(self, response_id: str) -> BackgroundState:
        self.calls.append(("fetch", response_id))
        return self._known(response_id)

    async def cancel(self, response_id: str) -> BackgroundState:
        self.calls.append(("cancel", response_id))
        if not self._known(response_id).is_ended:
            self.respond(response_id, "cancelled")
        return self.responses[response_id]

    async def delete(self, response_id: str) -> None:
        self.calls.append(("delete", response_id))
        self.responses.pop(response_id, None)

    def _known(self, response_id: str) -> BackgroundState:
        if response_id not in self.responses:
            raise UnknownResponseError(f"no response {response_id}")
        return self.responses[response_id]
