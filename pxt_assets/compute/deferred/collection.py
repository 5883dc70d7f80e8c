"""Collects what a batch that has ended answered, in whatever way it ended: into a file that is durable before anything is deleted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from pxt_assets.api.batches import (
    TOKEN_LIMIT_CODE,
    BatchState,
    LineAnswer,
    UnknownFileError,
    read_line,
)
from pxt_assets.compute.deferred.answer_file import AnswerWriter
from pxt_assets.compute.deferred.polling import UNKNOWN, may_appear
from pxt_assets.compute.deferred.record import BatchRecord
from pxt_assets.compute.deferred.submission import Submission
from pxt_assets.errors import RunError
from pxt_assets.local.threads import run_in_thread

if TYPE_CHECKING:
    from upath import UPath

_LOOKS = 3
"""How often a file that is said to be unknown is asked for."""
_PAUSE = 5.0
"""Seconds between two looks."""
_SERVER_CODES = frozenset(
    {
        "server_error",
        "internal_error",
        "internal_server_error",
        "rate_limit_exceeded",
        "service_unavailable",
        "timeout",
        "request_timeout",
    }
)
"""Codes of lines without a status that tell of the server, not of the request."""
_TIMEOUT, _CONFLICT, _TOO_MANY = 408, 409, 429
_NO_LINE, _RESULT, _ERROR = "no line", "result", "error"
_log = logging.getLogger("pxt_assets.compute.batches")


def reason_unanswered(answer: LineAnswer) -> str | None:
    """Why a line is no answer: the request was not come to, or the server failed at it. None for an answer."""
    if answer.never_started:
        return answer.error_code
    if answer.status is None:
        code = (answer.error_code or "").lower()
        return (code or _NO_LINE) if code in _SERVER_CODES or not (code or answer.error_message) else None
    if answer.status >= 500 or answer.status in (_TIMEOUT, _CONFLICT, _TOO_MANY):
        return str(answer.status)
    return None


class FileNotThereError(Exception):
    """A file that a batch names, and that may be there a little later."""


class _Read:
    """What was read of a batch's files; `digests` are those of its requests."""

    def __init__(self, writer: AnswerWriter, digests: Iterable[bytes]) -> None:
        self.writer = writer
        self.unknown = 0
        """Lines that answer no request of it, or cannot be read."""
        self._found: dict[bytes, str] = dict.fromkeys(digests, _NO_LINE)
        """Of each request `_RESULT`, `_ERROR`, or why it has no answer."""

    def add(self, line: bytes) -> None:
        """Reads a line. Of several of one request the first result counts; without one the first error."""
        try:
            answer = read_line(line)
            digest = bytes.fromhex(answer.custom_id)
        except ValueError:
            self.unknown += 1
            return
        found = self._found.get(digest)
        if found is None:
            self.unknown += 1
        elif answer.is_answered:
            if found != _RESULT:
                self._found[digest] = _RESULT
                self.writer.add(digest, answer)
        elif found not in (_RESULT, _ERROR):
            reason = reason_unanswered(answer)
            self._found[digest] = _ERROR if reason is None else reason
            if reason is None:
                self.writer.add(digest, answer)

    def counts(self) -> tuple[int, int, Counter[str]]:
        """How many requests have a result, how many an error, and by reason how many have no answer."""
        counts = Counter(self._found.values())
        return counts.pop(_RESULT, 0), counts.pop(_ERROR, 0), counts


async def collect(by: Submission, record: BatchRecord, state: BatchState) -> BatchRecord:
    """Keeps the answers of a batch that has ended, closes its record, and deletes its files.

    Raises RunError where its files cannot be read now, FileNotThereError where one may come yet; then nothing has changed.
    """
    folder = by.batches.folder
    asked = await run_in_thread(folder.read_digests, record.name)
    path = folder.new_answers()
    gone = set[str]()
    read = _Read(AnswerWriter(path), (digest.ljust(16, b"\0") for digest in asked.digests.tolist()))
    try:
        try:
            for file_id in (state.output_file_id, state.error_file_id):
                if file_id is not None:
                    try:
                        async for lines in _lines(by, file_id):
                            for line in lines:
                                read.add(line)
                    except UnknownFileError as e:
                        if may_appear(record.poll.ended_at, by.clock()):
                            raise FileNotThereError from e
                        gone.add(file_id)
                        _log.warning(
                            "the file %s of the batch %s is gone: %s. What it answered is asked for anew.",
                            file_id,
                            record.name,
                            e,
                        )
        finally:
            read.writer.close()
        by.check_claim()
        kept = None
        results, errors, unanswered = read.counts()
        if results or errors:
            kept = await run_in_thread(folder.put_answers, path, record.name)
    except OSError as e:
        msg = (
            f"cannot keep the answers of the batch {state.id} in {folder.path} ({type(e).__name__}: {e}); make room there, let "
            "this process write, and materialize again: they stay at the server until they are kept"
        )
        raise RunError(msg) from e
    finally:
        path.unlink(missing_ok=True)
    if read.unknown:
        _log.warning(
            "%d lines in the files of the batch %s are left out: they answer no request of it, or cannot be read",
            read.unknown,
            state.id,
        )
    files = (record.file_id, state.input_file_id, state.output_file_id, state.error_file_id)
    turned_away = _turned_away(state)
    if turned_away is not None and not results:
        unanswered = Counter({turned_away: unanswered.total()})
    ended = replace(
        record,
        state="ended",
        ended_at=by.clock(),
        status=state.status,
        answers=kept,
        answered=results + errors,
        failed=errors,
        unanswered=dict(unanswered),
        unknown=read.unknown,
        counts_as_try=turned_away is None,
        to_delete=tuple(dict.fromkeys(file for file in files if file is not None and file not in gone)),
    )
    return await close(by, replace(ended, refused=_refusal(ended, state)))


async def close(by: Submission, ended: BatchRecord) -> BatchRecord:
    """Closes the record of a batch that has ended, the answers of which are kept, and deletes its files."""
    ended = await run_in_thread(by.batches.write, ended)
    await run_in_thread(by.queue.release, ended.name)
    return await delete_files(by, ended)


async def delete_files(by: Submission, ended: BatchRecord) -> BatchRecord:
    """Deletes the files of a batch that has ended; says in the log which ones stay where the server refuses that."""
    try:
        return await by.delete_files(ended)
    except RunError as e:
        _log.warning(
            "the files %s of the batch %s are read and could not be deleted: %s",
            ", ".join(ended.to_delete),
            ended.name,
            e,
        )
        return ended


def forgotten(record: BatchRecord, now: float) -> BatchRecord:
    """The record of a batch of which nobody knows anything any more: nothing is answered."""
    return replace(
        record,
        state="ended",
        ended_at=now,
        status=UNKNOWN,
        unanswered={UNKNOWN: record.requests},
        counts_as_try=False,
        to_delete=() if record.file_id is None else (record.file_id,),
    )


async def _lines(by: Submission, file_id: str) -> AsyncIterator[list[bytes]]:
    """The lines of a file. Raises UnknownFileError where it stays unknown."""
    for look in range(_LOOKS):
        try:
            async for lines in by.api.lines(file_id):
                yield lines
            return
        except UnknownFileError:
            if look + 1 == _LOOKS:
                raise
        await by.sleep(_PAUSE)


def _turned_away(state: BatchState) -> str | None:
    """The code with which a batch was refused as a whole, None if it was not, or for a fault of the server's."""
    if state.status != "failed" or not state.errors:
        return None
    codes = [(error.code or "").lower() for error in state.errors]
    if all(code in _SERVER_CODES for code in codes):
        return None
    return TOKEN_LIMIT_CODE if TOKEN_LIMIT_CODE in codes else codes[0] or "failed"


def _refusal(record: BatchRecord, state: BatchState) -> str:
    """Why a batch was refused as a whole for what its requests are; empty for any other."""
    code = _turned_away(state)
    if code is None or code == TOKEN_LIMIT_CODE:
        return ""
    told = "; ".join(
        f"{f'{error.code}: ' if error.code else ''}{error.message.rstrip('.')}{f' (line {error.line})' if error.line else ''}"
        for error in state.errors[:3]
    )
    more = f", and {len(state.errors) - 3} more" if len(state.errors) > 3 else ""
    paid = "Nothing was paid for"
    if record.answered:
        paid = f"What it had answered, {record.answered:,} of {record.requests:,} requests, is kept"
    return (
        f"the batch {state.id} of {record.requests:,} requests to {record.model} at {record.endpoint} was refused: "
        f"{told}{more}. {paid}; correct the column, or ask without within, and materialize again"
    )


def unknown_batch_error(label: str, record: BatchRecord, asked: str | None, folder: UPath) -> RunError:
    """The error of a batch, on record in `folder`, that the server `asked` does not know, though it should."""
    elsewhere = f" It was submitted to {record.server}, asked is {asked}." if asked != record.server else ""
    return RunError(
        f"{label}the batch {record.batch_id} of {record.requests:,} requests to {record.model}, submitted for this column, is "
        f"not known to the API with this key.{elsewhere} Materialize with the key, project and base_url that it was submitted "
        f"with: what it answered is paid for. To give it up and have its rows asked for anew, remove "
        f"{folder / f'{record.name}.json'}"
    )
