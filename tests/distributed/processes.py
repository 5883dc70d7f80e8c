"""Processes of a deployment: started in groups of their own, with logs, waited for by looking, ended by their ids."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

LOOK_SECONDS = 0.05
LONGEST_SECONDS = 600.0
"""How long anything may take that a test waits for: many times what it takes."""
END_SECONDS = 10.0
"""How long a process may take to end before it is killed."""

T = TypeVar("T")


def wait_until(
    what: str | Callable[[], str],
    look: Callable[[], T | None],
    seconds: float = LONGEST_SECONDS,
    every: float = LOOK_SECONDS,
) -> T:
    """The first result of `look` that is true. Raises AssertionError, naming `what`, where there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(every)  # between looks at processes that nobody can wait for
    raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether somebody listens on that port of loopback."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def children(pid: int) -> list[int]:
    """The processes that a process started and that still run."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(one) for one in found]


class Running:
    """One process with all that it starts, and its log."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """What it has written by now."""
        return self._log.read_text(errors="replace")

    def until(self, what: str, look: Callable[[], T | None], seconds: float = LONGEST_SECONDS) -> T:
        """As `wait_until`; fails with the log as soon as the process has ended."""

        def while_running() -> T | None:
            assert self.process.poll() is None, f"{self.name} has ended: {self.log[-4_000:]}"
            return look()

        return wait_until(f"{what} of {self.name}", while_running, seconds)

    def signal_all(self, number: int) -> None:
        """To the process and all that it started: they are a group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Asks the process to end; then nothing is left of its group."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(END_SECONDS)
        self.signal_all(signal.SIGKILL)
        self.process.wait()


@contextmanager
def running(
    name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Within the block that command runs in `folder`; `<folder>/<name>.log` has what it writes."""
    log = folder / f"{name}.log"
    with log.open("ab") as written:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = Running(name, process, log)
    try:
        yield started
    finally:
        started.end()


def kill(pid: int) -> None:
    """`kill -9`."""
    os.kill(pid, signal.SIGKILL)
