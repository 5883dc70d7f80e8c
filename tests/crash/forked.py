"""Processes to signal and kill, forked from one that has imported everything: starting Python anew takes seconds each."""

import atexit
import gc
import importlib
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
_IMPORTED = (
    "aiohttp",
    "httpx2",
    "openai",
    "s3fs",
    "genai_prices.data",
    "lancedb",
    "pxt_assets.assets.step.events",
    "pxt_assets.assets.columns.materialize",
    "pxt_assets.assets.indexes.index_materialize",
)


class Process:
    """A process that has been started; `pid` stays its own until `wait` has returned."""

    def __init__(self, forks: "Forks", pid: int) -> None:
        self._forks = forks
        self.pid = pid
        self._end = os.pidfd_open(pid)

    def send(self, number: int) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = 60) -> int:
        """Its exit status, minus the signal's number where one ended it; it is killed if it takes too long."""
        ended, _, _ = select.select([self._end], [], [], seconds)
        if not ended:
            self.send(signal.SIGKILL)
        os.close(self._end)
        status = self._forks._ask(self.pid)
        assert ended, f"the process {self.pid} had not ended after {seconds} s"
        return int(status)

    def seconds_until(self, number: int, seen: Callable[[], bool]) -> float:
        """Sends a signal; how long it then takes until something is seen, at most 30 s."""
        sent = time.monotonic()
        self.send(number)
        while not seen():
            assert time.monotonic() < sent + 30, "it is not seen after 30 s"
        return time.monotonic() - sent


class Forks:
    """The process that others are forked from, and what it is told over its pipes."""

    def __init__(self, server: "subprocess.Popen[bytes]", errors: Path) -> None:
        self._server = server
        self._errors = errors

    def start(self, function: Callable[..., object], *args: Any) -> Process:
        """Runs a function of a module, in a process that ends as any program does when it returns or raises."""
        return Process(self, self._ask((function, args)))

    @property
    def errors(self) -> str:
        """The end of what the processes wrote to stderr."""
        return self._errors.read_text(errors="replace")[-4_000:]

    def _ask(self, request: Any) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        pickle.dump(request, self._server.stdin)
        self._server.stdin.flush()
        try:
            return pickle.load(self._server.stdout)
        except EOFError:
            raise RuntimeError(f"the process to fork from has ended: {self.errors}") from None


@contextmanager
def forks(folder: Path) -> Iterator[Forks]:
    """Within the block, processes can be forked; their stderr and temporary files go to `folder`."""
    errors = folder / "stderr.txt"
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", "from tests.crash.forked import serve; serve()"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # an interrupt of the tests is none of theirs
        ) as server,
    ):
        yield Forks(server, errors)


def _run(function: Callable[..., object], args: tuple[Any, ...]) -> NoReturn:
    """Ends the process as Python ends, threads waited for, but without taking apart the memory that it shares."""
    status = 1
    try:
        function(*args)
        status = 0
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(status)


def serve() -> None:
    """Forks a process for each function that comes over stdin; says its number, and how it ended when asked for it."""
    for name in _IMPORTED:
        importlib.import_module(name)
    importlib.import_module("tests.crash.attempt").warm_up()
    gc.freeze()  # or each process would copy all that is in memory, to look for garbage there
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed is no answer
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            return
        if isinstance(request, int):
            answer = os.waitstatus_to_exitcode(os.waitpid(request, 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                _run(*request)
        pickle.dump(answer, answers)
        answers.flush()
