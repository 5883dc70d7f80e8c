"""What a worker does: it loads functions, and answers batches of rows with their values.

It runs in a process that `process_worker.py` starts, or in an actor of Ray's. Requests and answers are bytes; nothing
that a function returned or raised travels as it is, but as what a column holds, and as texts.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import struct
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, NamedTuple, NoReturn

from pxt_assets.errors import CellError, RunError
from pxt_assets.local.function_address import FunctionAddress, LoadError, load
from pxt_assets.local.udf import LocalFunction

_LENGTH = struct.Struct(">Q")
_PARENT_SECONDS = 1.0
"""How often a worker looks whether its parent lives."""
_serving = False


class Batch(NamedTuple):
    """Rows that are to be computed, or, without rows, a function that is to be loaded."""

    function: int
    """By what number the worker knows the function."""
    address: FunctionAddress | None = None
    rows: Sequence[Mapping[str, Any]] = ()


class Fault(NamedTuple):
    """A CellError: of a row, or of all rows of a batch."""

    errortype: str
    message: str
    divisible: bool = False

    @classmethod
    def of(cls, error: CellError) -> Fault:
        """The error's texts."""
        return cls(error.errortype, error.message, error.divisible)

    def error(self) -> CellError:
        """The error again."""
        return CellError(self.errortype, self.message, divisible=self.divisible)


class Unloadable(NamedTuple):
    """A function that cannot be loaded, and why."""

    message: str


def refuse_in_worker() -> None:
    """Raises RunError in a worker: a script that starts a run when it is imported would start one in each of them."""
    if _serving:
        msg = (
            "a worker imports this script to find a function in it, which starts a run; put what starts it below "
            '`if __name__ == "__main__":`, or the function into a module of its own'
        )
        raise RunError(msg)


class Functions:
    """The functions that a worker has loaded, which keep what they load themselves."""

    def __init__(self) -> None:
        global _serving  # noqa: PLW0603  # what a worker imports must know that it is in one
        _serving = True
        self._loaded: dict[int, LocalFunction[...]] = {}

    def answer(self, request: bytes) -> bytes:
        """The answer to a pickled Batch: a list of values and Faults, one Fault for all, or Unloadable; None once loaded."""
        process = os.getpid()
        answer = self._answered(request)
        if (
            os.getpid() != process
        ):  # a process that the function forked returned from it too: nobody asked that one
            os._exit(0)
        return answer

    def _answered(self, request: bytes) -> bytes:
        try:
            batch = pickle.loads(request)  # noqa: S301  # from the process that started this one
        except Exception as e:  # such as an argument of a class that only that process has
            msg = f"a worker cannot read its arguments: {type(e).__name__}: {e}"
            return pickle.dumps(Fault(type(e).__name__, msg, divisible=True))
        answer = self._answer(batch)
        try:
            data = io.BytesIO()
            _PlainPickler(data, pickle.HIGHEST_PROTOCOL).dump(answer)
            return data.getvalue()
        except Exception as e:  # such as a value of a class that was made in a function
            msg = f"its values cannot be sent to the run's process: {type(e).__name__}: {e}"
            return pickle.dumps(Fault(type(e).__name__, msg, divisible=True))

    def _answer(self, batch: Batch) -> object:
        if batch.address is not None:
            try:
                self._loaded[batch.function] = load(batch.address)
            except LoadError as e:
                return Unloadable(str(e))
            return None
        try:
            values = self._loaded[batch.function].compute(batch.rows)
        except CellError as e:
            return Fault.of(e)
        return [Fault.of(value) if isinstance(value, CellError) else value for value in values]


class _PlainPickler(pickle.Pickler):
    """Pickles texts, numbers and bytes of a class of the user's as what a column holds of them: the run may not have it."""

    def reducer_override(self, obj: Any) -> Any:
        """How an object is made again that is of no type of Python's own."""
        if isinstance(obj, str):
            return str, (str.__str__(obj),)
        if isinstance(obj, int) and type(obj) is not bool:
            return int, (int.__int__(obj),)
        if isinstance(obj, float):
            return float, (float.__float__(obj),)
        if isinstance(obj, bytes):
            return bytes, (bytes(memoryview(obj)),)
        return NotImplemented


def write_frame(pipe: IO[bytes], data: bytes) -> None:
    """Writes bytes so that `read_frame` gives them."""
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> bytes:
    """The next bytes that were written. Raises EOFError at the end."""
    head = pipe.read(_LENGTH.size)
    data = pipe.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
    if len(head) < _LENGTH.size or len(data) < _LENGTH.unpack(head)[0]:
        raise EOFError
    return data


def serve() -> None:
    """Answers what comes by stdin to stdout, until an empty request comes. It ends at once where its parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for its parent, which ends it
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    try:
        os.dup2(2, 1)  # what functions print
    except OSError:  # stderr is closed
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
    with suppress(AttributeError):
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    frames: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read, args=(requests, frames), daemon=True).start()
    threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()
    if hasattr(
        os, "register_at_fork"
    ):  # or the run would wait for what a function forked when this process has died
        os.register_at_fork(after_in_child=lambda: _let_go(requests, answers))
    functions = Functions()
    while request := frames.get():
        try:
            write_frame(answers, functions.answer(request))
        except OSError:
            _end()
        del request


def _read(requests: IO[bytes], frames: SimpleQueue[bytes]) -> None:
    while True:
        try:
            frame = read_frame(requests)
        except EOFError:
            _end()  # in the middle of a batch too: nobody waits for it any more
        frames.put(frame)
        if not frame:
            return


def _watch_parent(parent: int) -> None:
    """Ends the process once its parent has: a process forked from that may still hold the pipe open."""
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    _end()


def _let_go(*pipes: IO[bytes]) -> None:
    """Takes the pipes from a process that a function forked."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for pipe in pipes:
        os.dup2(nothing, pipe.fileno(), inheritable=False)
    os.close(nothing)


def _end() -> NoReturn:
    """Ends this process at once, and those that functions started in it."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
