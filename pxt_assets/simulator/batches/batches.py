"""The batches of a simulator: created, worked on, looked at, cancelled."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pxt_assets.simulator.batches.answered_lines import AnsweredLines, Tally, usage_of
from pxt_assets.simulator.batches.batch_records import BatchRecord, BatchRecords
from pxt_assets.simulator.batches.file_records import KEPT_SECONDS, FileRecord, FileRecords, Part
from pxt_assets.simulator.batches.life import (
    WINDOW_SECONDS,
    Course,
    Moment,
    draw_course,
    moment,
    validated_at,
)
from pxt_assets.simulator.batches.storage import Storage, new_id
from pxt_assets.simulator.batches.work import Answering, Checked, Work, do_work
from pxt_assets.simulator.endpoint.errors import SimulatedError
from pxt_assets.simulator.endpoint.models import model_family

WAIT_SECONDS = 10.0
"""How long a question about a batch waits for the work on it; after that the batch is as far as the work is."""
Pieces = Generator[bytes, None, None]
"""The content of a file, in pieces; to be closed by whoever does not read it to the end."""
_NOTHING = Tally(0, 0, usage_of())


@dataclass(frozen=True, slots=True)
class BatchRules:
    """How batches fare."""

    seconds: float
    """From a batch's creation to its end."""
    expiry_rate: float
    """Share of the batches that expire."""
    failure_rate: float
    """Share of the batches that fail with a part of them answered."""
    queue_tokens: float | None
    """Tokens that the batches of a model's family may have together; None for no limit."""
    fault_rate: float
    """Share of the requests that fail."""
    seed: int


class Batches:
    """The batches of all owners."""

    def __init__(self, storage: Storage, files: FileRecords, rules: BatchRules) -> None:
        self._storage = storage
        self._files = files
        self._records = BatchRecords(storage)
        self._rules = rules
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def create(
        self,
        owner: str,
        answering: Callable[[str], Answering],
        *,
        input_file: str,
        endpoint: str,
        metadata: dict[str, str] | None,
        output_seconds: int | None,
    ) -> dict[str, Any]:
        """Create a batch, and begin with the work on it. Answers with its description, as all that follows."""
        batch = self._records.add(
            owner,
            new_id("batch"),
            input_file=input_file,
            endpoint=endpoint,
            metadata=metadata,
            output_seconds=output_seconds,
            created=self._storage.now(),
        )
        self._begin(batch, answering)
        return self._describe(batch, self._moment(batch, batch.created), _NOTHING)

    async def retrieve(self, owner: str, id: str, answering: Callable[[str], Answering]) -> dict[str, Any]:
        """A batch as it is now. Raises a 404 for one that is not there."""
        await self.settle(owner, answering, only=id)
        return self._now(self._find(owner, id))

    async def page(
        self, owner: str, answering: Callable[[str], Answering], *, after: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Batches, the newest first; and whether there are more. Raises a 404 for an `after` that is not there."""
        await self.settle(owner, answering)
        last = None if after is None else self._find(owner, after)
        records, more = self._records.page(owner, after=last, limit=limit)
        return [self._now(record) for record in records], more

    async def cancel(self, owner: str, id: str, answering: Callable[[str], Answering]) -> dict[str, Any]:
        """Ask for the end of a batch. Raises a 409 for one that is over, a 404 for one that is not there."""
        await self.settle(owner, answering, only=id)
        batch, now = self._find(owner, id), self._storage.now()
        status = self._now(batch)["status"]
        if status in ("completed", "failed", "expired", "cancelled"):
            raise SimulatedError(409, f"Cannot cancel a batch with status '{status}'.")
        if batch.cancelling is None:
            ends = moment(self._course(batch), batch.created, now, is_valid=True, now=now).ends
            self._records.cancel(batch, now, ends)
        return self._now(self._find(owner, id))

    async def settle(
        self, owner: str, answering: Callable[[str], Answering], only: str | None = None
    ) -> None:
        """Record the ends of batches that are over by the clock, with their results.

        Waits for a while for the work on those that need it by now, or on the one of the id `only`.
        """
        self._files.delete_expired(self._storage.now())
        waiting = [
            self._begin(batch, answering)
            for batch in self._records.not_ended(owner)
            if batch.checked is None and only in (None, batch.id) and self._is_due(batch)
        ]
        if waiting:
            done, _ = await asyncio.wait(waiting, timeout=WAIT_SECONDS)
            for task in done:
                task.result()
        for batch in self._records.not_ended(owner):
            self._end_if_over(batch)

    def content(self, owner: str, file: FileRecord) -> Pieces:
        """A result of a batch, in pieces. Raises a 404 if its lines are gone."""
        name = file.results or ""
        batch = self._records.find(owner, name.partition(".")[0])
        if batch is None or batch.ended is None or file.part is None:
            raise unknown_file(file.id)
        try:
            lines = AnsweredLines(*self._files.results(name))
        except FileNotFoundError:
            raise unknown_file(file.id) from None
        return lines.read(file.part, batch.ended["reach"], batch.ended["batch"]["status"])

    def _find(self, owner: str, id: str) -> BatchRecord:
        batch = self._records.find(owner, id)
        if batch is None:
            raise SimulatedError(404, f"No batch found with id '{id}'.")
        return batch

    def _is_due(self, batch: BatchRecord) -> bool:
        """Whether the clock says that the batch has been validated."""
        return self._storage.now() >= validated_at(batch.created, self._course(batch))

    def _course(self, batch: BatchRecord) -> Course:
        rules = self._rules
        return draw_course(rules.seed, batch.seq, rules.seconds, rules.expiry_rate, rules.failure_rate)

    def _begin(self, batch: BatchRecord, answering: Callable[[str], Answering]) -> asyncio.Task[None]:
        """The task that works on a batch: at most one in this process."""
        task = self._tasks.get(batch.id)
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = asyncio.create_task(self._work(batch, answering(batch.endpoint)))
            self._tasks[batch.id] = task
            task.add_done_callback(lambda done: self._forget(batch.id, done))
        return task

    def _forget(self, id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(id) is task:
            del self._tasks[id]

    async def _work(self, batch: BatchRecord, answering: Answering) -> None:
        # Of its own name, since another process may do the same work.
        lines, index = self._files.results(f"{batch.id}.{uuid.uuid4().hex[:8]}")
        seed = int.from_bytes(blake2b(f"{self._rules.seed} {batch.seq}".encode(), digest_size=6).digest())
        content = self._files.content(batch.input_file)
        work = Work(batch.id, batch.endpoint, content, lines, index, seed, self._rules.fault_rate)
        try:
            checked = await do_work(work, answering)
        except FileNotFoundError:
            gone = {
                "code": "invalid_input_file",
                "line": None,
                "message": f"The input file '{batch.input_file}' was deleted before it was validated.",
                "param": "input_file_id",
            }
            checked = Checked(0, None, 0, (gone,))
        self._admit(self._find(batch.owner, batch.id), checked)
        recorded = self._find(batch.owner, batch.id).checked
        if checked.results and (recorded is None or recorded.results != checked.results):
            self._files.drop_results(checked.results)

    def _admit(self, batch: BatchRecord, checked: Checked) -> None:
        """Record what the pass found, or that the queue has no room."""
        course, family = self._course(batch), model_family(checked.model or "")
        at = max(validated_at(batch.created, course), self._storage.now())
        ends = moment(course, batch.created, batch.cancelling, is_valid=True, now=at).ends
        limit = self._rules.queue_tokens
        if self._records.admit(batch, checked, family=family, at=at, ends=ends, limit=limit):
            return
        message = (
            f"Enqueued token limit reached for {checked.model} in organization org-simulated. Limit: {limit:,.0f} enqueued "
            "tokens. Please try again once some in_progress batches have been completed."
        )
        error = {"code": "token_limit_exceeded", "line": None, "message": message, "param": None}
        refused = Checked(checked.total, checked.model, 0, (error,))
        self._records.admit(batch, refused, family=family, at=at, ends=at, limit=None)

    def _moment(self, batch: BatchRecord, now: float) -> Moment:
        """How far a batch is; before the work on it is done, it is being validated."""
        is_valid = batch.checked is None or not batch.checked.errors
        course = self._course(batch)
        found = moment(course, batch.created, batch.cancelling, is_valid=is_valid, now=now)
        if batch.checked is not None:
            return found
        if batch.cancelling is not None:
            return Moment("cancelling", 0.0, {"cancelling_at": batch.cancelling}, found.ends)
        return Moment("validating", 0.0, {}, found.ends)

    def _now(self, batch: BatchRecord) -> dict[str, Any]:
        if batch.ended is not None:
            description: dict[str, Any] = batch.ended["batch"]
            return description
        found = self._moment(batch, self._storage.now())
        return self._describe(batch, found, self._tally(batch, found))

    def _tally(self, batch: BatchRecord, found: Moment) -> Tally:
        checked = batch.checked
        if checked is None or checked.errors or "in_progress_at" not in found.times:
            return _NOTHING
        try:
            return AnsweredLines(*self._files.results(checked.results)).tally(found.reach)
        except FileNotFoundError:
            return _NOTHING

    def _end_if_over(self, batch: BatchRecord) -> None:
        found = self._moment(batch, self._storage.now())
        if not found.is_over or batch.checked is None:
            return
        tally = self._tally(batch, found)
        with self._storage.transaction():
            current = self._records.find(batch.owner, batch.id)
            if current is None or current.ended is not None:
                return
            results = {
                part: self._add_result(batch, batch.checked.results, found, part)
                for part in ("output", "error")
                if not batch.checked.errors
            }
            description = self._describe(batch, found, tally) | {
                f"{part}_file_id": file for part, file in results.items()
            }
            self._records.end(batch, {"batch": description, "reach": found.reach})
        if batch.checked.results and not any(results.values()):
            self._files.drop_results(batch.checked.results)

    def _add_result(self, batch: BatchRecord, name: str, found: Moment, part: Part) -> str | None:
        """The id of a result, which becomes a file if there is anything in it; `name` is that of the answered lines."""
        size = AnsweredLines(*self._files.results(name)).size(part, found.reach, found.status)
        if size == 0:
            return None
        id = new_id("file")
        expires = found.ends + (batch.output_seconds or KEPT_SECONDS)
        filename = f"{batch.id}_{part}.jsonl"
        self._files.add(
            batch.owner, id, filename, "batch_output", size, found.ends, expires, results=name, part=part
        )
        return id

    def _describe(self, batch: BatchRecord, found: Moment, tally: Tally) -> dict[str, Any]:
        """The API's description of a batch."""
        checked = batch.checked
        is_validated = checked is not None and found.status not in ("validating",)
        errors = list(checked.errors) if checked is not None and is_validated else []
        if found.status == "failed" and not errors:
            message = "The batch failed after a part of it was answered. (A fault of the simulator.)"
            errors = [{"code": "server_error", "line": None, "message": message, "param": None}]
        times = {
            f"{name}_at": int(at) if (at := found.times.get(f"{name}_at")) is not None else None
            for name in (
                *("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"),
            )
        }
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.endpoint,
            "model": checked.model if checked is not None and is_validated else None,
            "errors": {"object": "list", "data": errors} if errors and found.status == "failed" else None,
            "input_file_id": batch.input_file,
            "completion_window": "24h",
            "status": found.status,
            "output_file_id": None,
            "error_file_id": None,
            "created_at": int(batch.created),
            "expires_at": int(batch.created) + WINDOW_SECONDS,
            **times,
            "request_counts": {
                "total": checked.total if checked is not None and "in_progress_at" in found.times else 0,
                "completed": tally.completed,
                "failed": tally.failed,
            },
            "usage": tally.usage,
            "metadata": batch.metadata,
        }


def unknown_file(id: str) -> SimulatedError:
    """404: no such file, or one that was deleted."""
    return SimulatedError(404, f"No such File object: {id}", param="id")


async def in_turn(pieces: Pieces) -> AsyncIterator[bytes]:
    """Pieces of a file for an answer; others have their turn in between."""
    with closing(pieces):
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)
