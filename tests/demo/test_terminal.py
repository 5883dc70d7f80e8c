"""`pxt-assets demo` in a pseudo-terminal."""

import fcntl
import os
import pty
import re
import struct
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from pxt_assets.demo.terminal import DemoConsole, demo_console
from tests.pseudo_terminal import pseudo_terminal

SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run that somebody interrupts once its first bar is full: what was seen until then, and its terminal."""
    folder = tmp_path_factory.mktemp("demo")
    rows = "".join(f"{n};The tent leaks, {n}.\n" for n in range(40))
    (folder / "tickets.csv").write_text(f"id;body\n{rows}")
    arguments = ["demo", "--data", "tickets.csv"]
    with pseudo_terminal(folder, arguments, columns=80, NO_COLOR="1") as terminal:
        terminal.read_until("Starting Dagster")
        first = terminal.text
        terminal.read_until(r"tickets/\S+ +\S+ 1/1")
        seen = terminal.text
        terminal.type("\x03")
        terminal.read_to_end()
    return first, seen, terminal


def test_the_first_thing_said_is_that_dagster_starts(interrupted):
    """Before anything that takes time."""
    assert interrupted[0].startswith(("Starting", "\u280b Starting"))


def test_bars_move_while_the_run_executes(interrupted):
    """Dagster keeps standard output to itself then, until the last step has ended."""
    _, seen, terminal = interrupted
    assert "columns `id`, `body`, separated by ;" in seen
    assert "Materializing 9 assets, with the simulator" in seen
    assert "Dagster starts the run: 9 steps" in seen
    assert "tickets: step 1 of 9" in seen
    assert re.search(r"tickets/\S+: step 2 of 9", seen)
    assert "tickets/summary" not in seen  # whose step has not begun
    assert "interrupted" not in seen.lower()
    assert terminal.exit_code == 1


def test_an_interrupted_run_gives_the_cursor_back_and_says_how_to_go_on(interrupted):
    """Ctrl-C ends it with a line, not with a traceback of ours."""
    terminal = interrupted[2]
    assert terminal.raw.rindex(SHOW_CURSOR) > terminal.raw.rindex(HIDE_CURSOR)
    assert "Interrupted. Finished answers are kept" in terminal.text
    assert "dg dev -m pxt_assets.demo.definitions" in terminal.text
    assert "pxt_assets/" not in terminal.text


def test_the_console_writes_where_standard_output_pointed_and_closes_what_it_opened(capfd):
    """Though the descriptor is pointed elsewhere meanwhile."""
    before = _open_descriptors()
    elsewhere, kept = os.open(os.devnull, os.O_WRONLY), os.dup(1)
    with demo_console() as console:
        os.dup2(elsewhere, 1)
        try:
            console.print("at once")
        finally:
            os.dup2(kept, 1)
    os.close(kept)
    os.close(elsewhere)
    assert capfd.readouterr().out == "at once\n"
    assert _open_descriptors() == before


def _open_descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_a_reader_that_went_away_does_not_end_the_run():
    """As `head` does once it has seen enough."""
    reader, writer = os.pipe()
    os.close(reader)
    file = os.fdopen(writer, "w")
    console = DemoConsole(file=file)
    console.print("nobody reads this")
    assert console.quiet
    with suppress(BrokenPipeError):
        file.close()


def test_the_console_measures_its_own_terminal(monkeypatch):
    """Standard output may be no terminal meanwhile."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as file:
        console = DemoConsole(file=file, _environ={"TERM": "xterm"})
        for lines, columns in ((12, 47), (30, 120)):
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            assert console.size == (columns, lines)
    os.close(ours)
