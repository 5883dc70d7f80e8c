"""A command in a pseudo-terminal, as a person would see it."""

import errno
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SECONDS = 120.0


class PseudoTerminal:
    """The terminal of one process; `raw` is all that was written to it so far."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self.raw = ""
        self.exit_code: int | None = None

    @property
    def text(self) -> str:
        """What was written, without colours and movements of the cursor."""
        return _ESCAPES.sub("", self.raw).replace("\r", "")

    def read_until(self, pattern: str) -> re.Match[str]:
        """Reads until what was written matches; fails if the process ends before."""
        while not (found := re.search(pattern, self.text)):
            assert self._read(), f"ended without {pattern!r}:\n{self.text}"
        return found

    def read_to_end(self) -> str:
        """Reads until the process has ended."""
        while self._read():
            pass
        self.exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.text

    def type(self, keys: str) -> None:
        """Types these characters; `\\x03` is Ctrl-C."""
        os.write(self._descriptor, keys.encode())

    def _read(self) -> bool:
        """Reads what there is next; False at the end."""
        ready, _, _ = select.select([self._descriptor], [], [], _SECONDS)
        assert ready, f"nothing for {_SECONDS} s:\n{self.text}"
        try:
            chunk = os.read(self._descriptor, 1 << 16)
        except OSError as e:
            if e.errno != errno.EIO:  # how Linux says that nobody has the terminal open any more
                raise
            chunk = b""
        self.raw += chunk.decode(errors="replace")
        return bool(chunk)


@contextmanager
def pseudo_terminal(
    folder: Path, arguments: Sequence[str], *, columns: int = 100, lines: int = 40, **variables: str
) -> Iterator[PseudoTerminal]:
    """`pxt-assets ...` in a folder and a terminal of that size; killed at the end unless it has ended."""
    pid, descriptor = pty.fork()
    if pid == 0:
        _become(folder, arguments, {"COLUMNS": None, "LINES": None, "TERM": "xterm-256color", **variables})
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    terminal = PseudoTerminal(pid, descriptor)
    try:
        yield terminal
    finally:
        if terminal.exit_code is None:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        os.close(descriptor)


def _become(folder: Path, arguments: Sequence[str], variables: Mapping[str, str | None]) -> None:
    """Makes this process, the child of a fork, that command."""
    try:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PXT_", "OPENAI_", "DAGSTER_"))}
        wanted = {k: v for k, v in {**kept, **variables}.items() if v is not None}
        os.chdir(folder)
        os.execve(sys.executable, [sys.executable, "-m", "pxt_assets", *arguments], wanted)
    finally:
        os._exit(127)
