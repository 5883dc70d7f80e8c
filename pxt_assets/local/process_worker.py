"""A worker in a process of its own, as its parent sees it.

Not a `ProcessPoolExecutor`: there, one process that dies fails whatever all others compute, and nothing tells which batch
it died of; a main script would be run anew in each; and its processes outlive a parent that is killed.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock

from pxt_assets.errors import RunError
from pxt_assets.local.worker_pool import WorkerEndedError
from pxt_assets.local.worker_server import read_frame, write_frame

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pxt_assets.local.worker_server import serve; serve()"
)
_THREAD_COUNTS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
"""What libraries read to know how many threads they may use: by default each of them takes all cores."""
_END_SECONDS = 2.0
"""How long an idle worker may take to end."""
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(cpu_max: Path = _CPU_MAX) -> int:
    """The cores that this process may use: those it is bound to, and no more than its container is given."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = cpu_max.read_text().split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(cores, 1)


class ProcessWorker:
    """A process that answers one request after the other; it is one of `count` on this machine."""

    def __init__(self, count: int) -> None:
        path = [str(Path(folder).absolute()) for folder in sys.path]
        threads = str(max(1, usable_cores() // count))
        try:
            self._process = subprocess.Popen(  # noqa: S603  # this interpreter
                [sys.executable, "-c", _START, json.dumps(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**dict.fromkeys(_THREAD_COUNTS, threads), **os.environ},
                start_new_session=True,  # so that what its functions start ends with it
            )
        except OSError as e:
            msg = f"a worker process cannot be started with {sys.executable!r}: {e}"
            raise RunError(msg) from e
        self._ending = Lock()
        self._is_busy = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def answer(self, request: bytes) -> bytes:
        """The answer to a request. Raises WorkerEndedError where the process ends instead."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._is_busy = True
        try:
            write_frame(self._process.stdin, request)
            answer = read_frame(self._process.stdout)
        except (OSError, EOFError, ValueError) as e:  # a ValueError of a pipe that was closed meanwhile
            self._process.stdout.close()
            how = self._how_it_ended()
            self._kill_all()
            raise WorkerEndedError(how) from e
        self._is_busy = False
        return answer

    def close(self) -> None:
        """Ends the process: at once where it computes, or else when it has cleaned up, within _END_SECONDS."""
        with self._ending:
            process = self._process
            assert process.stdin is not None
            assert process.stdout is not None
            if self._is_busy:
                process.kill()
            with suppress(OSError, ValueError):
                if not self._is_busy:
                    write_frame(process.stdin, b"")
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._kill_all()
            with suppress(OSError):  # what could not be written to a process that has ended
                process.stdin.close()
            if not self._is_busy:  # or a thread reads it, which sees its end
                process.stdout.close()

    def _kill_all(self) -> None:
        """Ends the processes that functions started in it, which would hold the run's stderr open."""
        if hasattr(os, "killpg"):
            with suppress(OSError):  # there are none
                os.killpg(self._process.pid, signal.SIGKILL)

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return "its process closed its pipes"
        if code >= 0:
            return f"its process ended with exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        reason = ", as the system does where memory runs out" if name == "SIGKILL" else ""
        return f"its process was ended by signal {-code} ({name}{reason})"
