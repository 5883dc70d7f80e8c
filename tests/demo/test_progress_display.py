"""How far the demo's columns are, on a terminal and elsewhere."""

import io
import re

import pytest

from pxt_assets.api.meter import Meter
from pxt_assets.compute.asking.progress import Progress, notify_observer
from pxt_assets.demo.progress_display import show_progress
from pxt_assets.demo.terminal import DemoConsole


class _TerminalFile(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """What is shown of some progress; each is a label, rows done, and rows."""
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def show(columns, *progress, terminal=True, term="xterm", width=80, height=40):
        monkeypatch.setenv("TERM", term)
        file = _TerminalFile() if terminal else io.StringIO()
        console = DemoConsole(file=file, width=width, height=height, highlight=False)
        with show_progress(console, columns):
            for label, done, total in progress:
                notify_observer(Progress(label, done, total, 1.0, Meter()))
            if console.draws:
                before = file.tell()
        text = file.getvalue()
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text[before:] if console.draws else text)

    return show


def test_a_bar_counts_the_partitions_and_of_an_asset_without_them_the_whole(shown):
    """Both end full."""
    days = [(f"t/a[{day}]", 3, 3) for day in range(5)]
    drawn = shown({"t/a": 5, "s/b": None}, *days, ("s/b", 24, 24))
    assert re.search(r"t/a +\S+ 5/5", drawn)
    assert re.search(r"s/b +\S+ 1/1", drawn)


def test_a_bar_moves_with_the_rows_of_a_partition(shown):
    """Half of one partition's rows are half of it."""
    few, many = (shown({"t/a": None}, ("t/a", done, 100), width=100) for done in (10, 60))
    assert "0/1" in few
    assert few != many


def test_what_is_waited_for_stands_below_the_bars_until_one_moves(waited):
    """Dagster at first, then the step that has not come to its rows; at the end nothing."""
    starting, first, moving, second, ended = waited({"t": None, "[t]/a": None}, "t", ("t", 1, 2), "[t]/a")
    assert "Dagster starts the run: 2 steps" in starting
    assert "t: step 1 of 2" in first
    assert "Dagster starts" not in first
    assert "step" not in moving
    assert moving.startswith("t ")
    assert "[t]/a: step 2 of 2" in second
    assert "step" not in ended


@pytest.fixture
def waited(monkeypatch):
    """What stands on the screen at the beginning, after each thing that happens, and at the end."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def show(columns, *happened):
        console = DemoConsole(file=_TerminalFile(), width=80, height=40, highlight=False)
        screens = []

        def look():
            screens.append(console.file.getvalue().rpartition("\x1b[2K")[2])

        with show_progress(console, columns) as note_step:
            look()
            for one in happened:
                console.file.truncate(0)
                if isinstance(one, str):
                    note_step(one)
                else:
                    notify_observer(Progress(*one, 1.0, Meter()))
                look()
            console.file.truncate(0)
        look()
        return screens

    return show


def test_a_partition_without_rows_is_done(shown):
    """Nothing is left to do in it."""
    assert "1/1" in shown({"t/a": None}, ("t/a", 0, 0))


def test_at_the_end_all_bars_are_there_though_the_terminal_is_low(shown):
    """Meanwhile the first ones make room for those that move."""
    columns = {f"t/c{n:02}": None for n in range(30)}
    drawn = shown(columns, *((name, 1, 1) for name in columns), height=10)
    assert all(name in drawn for name in columns)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_of_bars_is_wider_than_the_terminal(shown, width):
    """Names and counts are there at any width."""
    drawn = shown({"solved/body_idx_vectors": 5}, ("solved/body_idx_vectors[1]", 1, 1), width=width)
    lines = re.split(r"[\r\n]+", drawn)
    assert any("1/5" in line for line in lines)
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("kind", [{"terminal": False}, {"term": "dumb"}])
def test_where_nothing_can_be_drawn_over_each_column_has_one_line(shown, kind):
    """Once all its partitions are done, however often and in whichever order they say so."""
    done = [(f"t/a[{day}]", 2, 2) for day in (2, 1, 1, 3, 3)]
    drawn = shown(
        {"t/a": 3, "t/b": None, "t/c": 1}, *done, ("t/b", 1, 2), ("t/b", 1, 1), ("t/c[1]", 1, 1), **kind
    )
    assert drawn.splitlines() == [
        "t/a: 6 of 6 rows, 3 of 3 partitions, 0 requests, $0.00, no 429s",
        "t/b: 1 of 1 row, 0 requests, $0.00, no 429s",
        "t/c: 1 of 1 row, 1 of 1 partition, 0 requests, $0.00, no 429s",
    ]
