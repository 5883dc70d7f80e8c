"""The demo's terminal: what is written reaches it at once, also while Dagster keeps a run's output to itself.

Dagster points the file descriptors of standard output and standard error at its compute log while a run executes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from rich.console import Console, ConsoleDimensions


class DemoConsole(Console):
    """A console that measures its own file rather than the process's streams, and whose reader may go away."""

    @property
    def size(self) -> ConsoleDimensions:
        """The terminal's columns and lines, as they are now; COLUMNS and LINES say otherwise."""
        known = super().size
        if self.is_dumb_terminal:
            return known
        try:
            columns, lines = os.get_terminal_size(self.file.fileno())
        except (OSError, ValueError):
            return known
        given = {name: int(os.environ[name]) for name in ("COLUMNS", "LINES") if _is_number(name)}
        return ConsoleDimensions(
            given.get("COLUMNS") or columns or known.width, given.get("LINES") or lines or known.height
        )

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    @property
    def draws(self) -> bool:
        """Whether lines can be drawn over: on a terminal that knows how to."""
        return self.file.isatty() and self.is_interactive

    def on_broken_pipe(self) -> None:
        """Goes on in silence: the run is not to end because `head` has seen enough."""
        self.quiet = True


def printable(text: str) -> str:
    """A text without characters that a terminal would take for a command; lines stay lines."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def _is_number(variable: str) -> bool:
    return os.environ.get(variable, "").isdigit()


@contextmanager
def demo_console() -> Iterator[DemoConsole]:
    """A console over a duplicate of standard output's descriptor, which is closed at the end.

    Where standard output has none, as in a test, it is used itself.
    """
    sys.stdout.flush()
    try:
        descriptor = os.dup(sys.stdout.fileno())
    except (OSError, ValueError):
        yield DemoConsole(file=sys.stdout, highlight=False)
        return
    file: IO[str] = os.fdopen(descriptor, "w", encoding=sys.stdout.encoding, errors="replace")
    try:
        yield DemoConsole(file=file, highlight=False)
    finally:
        with suppress(BrokenPipeError):
            file.close()


@contextmanager
def starting(console: DemoConsole, what: str) -> Iterator[None]:
    """Says what is being started, and on a terminal that it still is."""
    if not console.draws:
        console.print(what, soft_wrap=True)
        yield
        return
    with console.status(what):
        yield
