"""The world around a computation, for tests that kill it: an API that remembers, and a disk that a kill cuts off."""

import asyncio
import contextlib
import json
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import pyarrow as pa
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from upath import UPath

import pxt_assets.storage.atomic_file
from pxt_assets.api.request import Request
from tests.model_partition import Cell, Question, Result

_URL = httpx2.URL("http://127.0.0.1/v1/")


class Killed(BaseException):
    """The process is dead: what would go on in it does not."""


@dataclass(frozen=True)
class Event:
    """A request that ended: with answers for all its questions, refused, or without an answer."""

    questions: tuple[Question, ...]
    fate: str
    """`answered`, `refused`, `divided` for a refusal of many questions at once, `lost`, `faulty`."""
    request_id: str
    generation: int
    at: float
    """Seconds on the run's clock."""
    encoding: str | None = None
    """Of the vectors that it asked for."""
    is_final: bool = True
    """Whether a refusal is the cell's own: of vectors it may be of their encoding, until the model has answered."""

    @property
    def cells(self) -> list[Cell]:
        """The cells that it finished, if it is final."""
        if self.fate == "answered":
            return [Cell(q, Result(self.generation, self.request_id)) for q in self.questions]
        if self.fate == "refused":
            return [Cell(q, Result(None, self.request_id, "BadRequestError")) for q in self.questions]
        return []


def questions_of(request: Request) -> tuple[Question, ...]:
    """What a request asks, cell by cell."""
    body = json.loads(request.payload)
    if "input" in body:
        return tuple(Question("embeddings", body["model"], "", text) for text in body["input"])
    prompt, text = (message["content"] for message in body["messages"])
    return (Question("chat", body["model"], prompt, text),)


class Api:
    """Stands for the wire: answers are a function of the question and of `generation`.

    What a text says decides what becomes of it: `refused …` is refused each time, `refused once …`, `lost once …` and
    `faulty once …` fare so the first time that they are asked.
    """

    base_url = _URL

    def __init__(self, disk: "Disk") -> None:
        self.generation = 0
        self.events: list[Event] = []
        self.sent: Counter[Question] = Counter()
        self.requests = 0
        """Of this run, as `events` and `sent`."""
        self.dies_at: int | None = None
        """The request of this run at whose answer the process is killed, counted from 1."""
        self._disk = disk
        self._met: set[Question] = set()
        self._names: list[Question] = []
        self._ids = 0

    def begin(self, dies_at: int | None = None) -> None:
        """Begins a run."""
        self.events = []
        self.sent = Counter()
        self.requests = 0
        self.dies_at = dies_at

    @property
    def finished(self) -> list[Cell]:
        """The cells that this run finished: after a refusal another encoding may be tried, whose answer counts."""
        cells: dict[Question, Cell] = {}
        ended = [(cell, event.encoding) for event in self.events for cell in event.cells]
        assert len({(cell.question, encoding) for cell, encoding in ended}) == len(ended), (
            "nothing is answered twice"
        )
        for cell, _ in ended:
            earlier = cells.get(cell.question, cell)
            assert earlier is cell or earlier.result.errortype, "what is answered is not asked again"
            cells[cell.question] = earlier if cell.result.errortype else cell
        return list(cells.values())

    async def post(self, request: Request) -> httpx2.Response:
        self._disk.check()
        questions = questions_of(request)
        self.requests += 1
        self.sent.update(questions)
        self._ids += 1
        request_id = f"req-{self._ids}"
        await asyncio.sleep(_latency(questions))
        self._disk.check()
        if self.dies_at is not None and len(self.events) + 1 >= self.dies_at:
            self._disk.die()
        fate = self._fate(questions)
        self._met.update(questions)
        at = asyncio.get_running_loop().time()
        encoding = request.body.get("encoding_format")
        is_final = encoding != "base64" or any(
            event.fate == "answered" and event.questions[0][:2] == questions[0][:2] for event in self.events
        )
        self.events.append(
            Event(questions, fate, request_id, self.generation, at, encoding, is_final or fate == "answered")
        )
        return self._reply(questions, fate, request_id)

    def vector(self, question: Question, generation: int) -> list[float]:
        """What stands for a question's embedding."""
        if question not in self._names:
            self._names.append(question)
        return [float(generation), float(self._names.index(question))]

    def decoded(self, value: Any, errortype: str | None, errormsg: str | None) -> tuple[Question, int | None]:
        """What a stored cell answers, and the generation of the answer."""
        if errortype is not None:
            return Question(*json.JSONDecoder().raw_decode(str(errormsg))[0]), None
        if isinstance(value, str):
            generation, *question = json.loads(json.loads(value)["choices"][0]["message"]["content"])
            return Question(*question), generation
        generation, name = value
        return self._names[int(name)], int(generation)

    def _fate(self, questions: Sequence[Question]) -> str:
        texts = [q.text for q in questions]
        first = [q.text for q in questions if q not in self._met]
        if any(t.startswith("lost once") for t in first):
            return "lost"
        if any(t.startswith("faulty once") for t in first):
            return "faulty"
        if any(t.startswith("refused") and not t.startswith("refused once") for t in texts) or any(
            t.startswith("refused once") for t in first
        ):
            return "refused" if len(questions) == 1 else "divided"
        return "answered"

    def _reply(self, questions: Sequence[Question], fate: str, request_id: str) -> httpx2.Response:
        asked = httpx2.Request("POST", _URL)
        if fate == "lost":
            raise openai.APIConnectionError(request=asked) from httpx2.ReadError("closed", request=asked)
        if fate == "faulty":
            failed = httpx2.Response(500, request=asked, headers={"x-request-id": request_id})
            raise openai.InternalServerError("no", response=failed, body={"message": "no"})
        if fate != "answered":
            failed = httpx2.Response(400, request=asked, headers={"x-request-id": request_id})
            raise openai.BadRequestError("no", response=failed, body={"message": json.dumps(questions[0])})
        if questions[0].function == "embeddings":
            said = {
                "data": [
                    {"index": i, "embedding": self.vector(q, self._generation_of(q))}
                    for i, q in enumerate(questions)
                ]
            }
        else:
            content = json.dumps([self._generation_of(questions[0]), *questions[0]])
            said = {"choices": [{"message": {"role": "assistant", "content": content}}]}
        return httpx2.Response(200, json=said, request=asked, headers={"x-request-id": request_id})

    def _generation_of(self, question: Question) -> int:
        return self.generation


class Replay(Api):
    """Answers once more as it did: from `results`, at once."""

    def __init__(self, original: Api, results: Mapping[Question, Result]) -> None:
        super().__init__(original._disk)
        self._names = original._names
        self._results = results

    async def post(self, request: Request) -> httpx2.Response:
        questions = questions_of(request)
        fates = {self._fate([q]) for q in questions}
        fate = "answered" if fates == {"answered"} else "refused"
        return self._reply(questions, fate, self._results[questions[0]].request_id)

    def _fate(self, questions: Sequence[Question]) -> str:
        return "answered" if self._results[questions[0]].errortype is None else "refused"

    def _generation_of(self, question: Question) -> int:
        generation = self._results[question].generation
        assert generation is not None
        return generation


def _latency(questions: Sequence[Question]) -> float:
    """0.1 to 1.5 s, the same for the same question."""
    return 0.1 + zlib.crc32(repr(questions[0]).encode()) % 15 / 10


class Disk:
    """The file systems, until the process is killed: from then on nothing is written nor removed.

    Each write has two steps at which that may happen, before it begins and before it is complete; a removal has one.
    """

    def __init__(self) -> None:
        self._replacing = pxt_assets.storage.atomic_file.replace_atomically
        self.begin()

    def revive(self) -> bool:
        """Lets everything through again; says whether the process was killed."""
        killed, self.dead, self._dies_at = self.dead, False, None
        return killed

    def begin(self, dies_at: int | None = None, *, in_commit: bool = False) -> None:
        """Begins a run, which is killed at that step of its writes and removals, or of its commit, counted from 1."""
        self.dead = False
        self.died_at = 0.0
        """Seconds on the run's clock."""
        self.replaced: list[str] = []
        """Names of the files that this run has put in place."""
        self._steps = 0
        self._counting = not in_commit
        self._dies_at = dies_at

    def die(self) -> None:
        """Kills the process."""
        self.dead = True
        self.died_at = asyncio.get_running_loop().time()
        raise Killed

    def check(self) -> None:
        """Raises Killed in a process that is dead."""
        if self.dead:
            raise Killed

    def step(self) -> None:
        """One more step. Raises Killed."""
        self.check()
        self._steps += self._counting
        if self._counting and self._steps == self._dies_at:
            self.die()

    def patch(self, patched: pytest.MonkeyPatch) -> None:
        """Puts itself between the product and the file systems."""
        patched.setattr("pxt_assets.storage.parquet.replace_atomically", self.replacing)
        patched.setattr("pxt_assets.compute.cells.segments.replace_atomically", self.replacing)
        patched.setattr("pxt_assets.compute.cells.earlier_companions.move_file", self.moving)
        for fs in (LocalFileSystem, MemoryFileSystem):
            for name in ("rm_file", "pipe_file", "rmdir"):
                patched.setattr(fs, name, self._stepping(getattr(fs, name)))

    @contextlib.contextmanager
    def replacing(
        self, path: UPath, keep: Path | None = None, staging: UPath | None = None
    ) -> Iterator[Path]:
        """As `pxt_assets.storage.atomic_file.replace_atomically`; a kill leaves half of what was being written."""
        self._counting = self._counting or path.suffix in (".parquet", ".provenance")
        self.step()
        with self._replacing(path, keep, staging) as staged:
            yield staged
            try:
                self.step()
            except Killed:
                if path.protocol in ("", "file", "local"):
                    half = staged.read_bytes()[: staged.stat().st_size // 2]
                    staged.with_name(f".{path.name}.{0:032x}.tmp").write_bytes(half)
                raise
        self.replaced.append(path.name)

    def moving(self, source: UPath, target: UPath) -> None:
        """As `pxt_assets.storage.atomic_file.move_file`, which copies and removes on an object store."""
        self.step()
        pxt_assets.storage.atomic_file.move_file(source, target)

    def _stepping(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(fs: Any, *args: Any, **kwargs: Any) -> Any:
            self.step()
            return original(fs, *args, **kwargs)

        return stepped


class WallClock:
    """The time that names segments; `back` nanoseconds behind on this host."""

    def __init__(self) -> None:
        self.back = 0

    def __call__(self) -> int:
        return time.time_ns() - self.back


@contextlib.asynccontextmanager
async def unclaimed(*_: Any) -> AsyncIterator[Callable[[], None]]:
    """Stands for a claim on an object store, which beats in a thread: only one attempt runs at a time."""
    yield lambda: None


class InlineThreads(Executor):
    """Stands for `pxt_assets.local.threads.DaemonThreadPool`, for the same reason."""

    def __init__(self, _count: int) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as e:
            future.set_exception(e)
        return future


def journaled(files: Sequence[UPath], api: Api) -> list[Cell]:
    """The cells in the complete segments among the files of a journal, in order."""
    cells = []
    for path in files:
        if path.name.endswith(".arrow") and not path.name.startswith("."):
            try:
                table = pa.ipc.open_file(pa.BufferReader(path.read_bytes())).read_all()
            except pa.ArrowInvalid:
                continue
            columns = (table[c].to_pylist() for c in ("value", "errortype", "errormsg", "request_id"))
            for value, errortype, errormsg, request_id in zip(*columns, strict=True):
                question, generation = api.decoded(value, errortype, errormsg)
                cells.append(Cell(question, Result(generation, request_id, errortype)))
    return cells
