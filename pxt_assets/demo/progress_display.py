"""How far the demo's columns are: a bar for each, or a line for each where nothing can be drawn over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.spinner import Spinner
from rich.text import Text

from pxt_assets.api.meter import spent_text
from pxt_assets.compute.asking import progress
from pxt_assets.demo.terminal import DemoConsole
from pxt_assets.values.wording import counted

_LINE_SECONDS = 10.0


class _ColumnProgress:
    """How far one column is, over all its partitions."""

    def __init__(self, asset: str, partitions: int | None) -> None:
        self.asset = asset
        self.partitions = partitions
        """How many partitions it has; None without any."""
        self._seen: dict[str, progress.Progress] = {}

    def note(self, now: progress.Progress) -> None:
        """Takes over a partition's progress."""
        self._seen[now.label] = now

    @property
    def parts(self) -> int:
        """What its bar counts: partitions, or the whole."""
        return 1 if self.partitions is None else self.partitions

    @property
    def done(self) -> float:
        """How many of them are done, with the fractions of those that are not."""
        return round(sum(p.done / p.total if p.total else 1.0 for p in self._seen.values()), 2)

    @property
    def is_complete(self) -> bool:
        """Whether every partition is done."""
        return sum(p.done >= p.total for p in self._seen.values()) >= self.parts

    def line(self) -> str:
        """One line about it."""
        seen = self._seen.values()
        ended = sum(p.done >= p.total for p in seen)
        meters = [p.meter for p in seen]
        rejected = sum(meter.rate_limited for meter in meters)
        parts = [
            f"{sum(p.done for p in seen):,} of {counted(sum(p.total for p in seen), 'row')}",
            *([] if self.partitions is None else [f"{ended:,} of {counted(self.partitions, 'partition')}"]),
            counted(sum(meter.requests for meter in meters), "request"),
            spent_text(meters),
            counted(rejected, "429") if rejected else "no 429s",
        ]
        return f"{self.asset}: {', '.join(parts)}"


@contextmanager
def show_progress(console: DemoConsole, columns: Mapping[str, int | None]) -> Iterator[Callable[[str], None]]:
    """Within the block, a run's progress is shown. `columns` are its assets with how many partitions each has.

    What it gives is to be called with each asset when its step begins.
    """
    states = {asset: _ColumnProgress(asset, partitions) for asset, partitions in columns.items()}

    def state_of(p: progress.Progress) -> _ColumnProgress:
        asset = p.label.partition("[")[0]
        state = states.setdefault(asset, _ColumnProgress(asset, None))
        state.note(p)
        return state

    display = _bars(console, state_of, len(columns)) if console.draws else _lines(console, state_of)
    with display as (observer, note_step), progress.observe_progress(observer):
        yield note_step


_StateOf = Callable[[progress.Progress], _ColumnProgress]
_Display = Iterator[tuple[progress.Observer, Callable[[str], None]]]
"""What is called with the progress of a partition, and with the asset whose step begins."""


@contextmanager
def _lines(console: DemoConsole, state_of: _StateOf) -> _Display:
    """A line for each column once it is complete, and for one that is not every 10 s."""
    printed_at = time.monotonic()
    complete: set[str] = set()

    def print_line(p: progress.Progress) -> None:
        nonlocal printed_at
        state = state_of(p)
        if state.asset in complete:
            return
        if state.is_complete:
            complete.add(state.asset)
        elif time.monotonic() - printed_at < _LINE_SECONDS:
            return
        printed_at = time.monotonic()
        console.print(state.line(), soft_wrap=True, markup=False)

    yield print_line, lambda _: None


class _Bars(Progress):
    """Bars, and below them a line about what is waited for while none moves."""

    _spinner: Spinner | None = None

    def wait_for(self, what: str) -> None:
        """Shows at once what is waited for, until it is something else; nothing for an empty text."""
        if not what and self._spinner is None:
            return
        self._spinner = Spinner("dots", Text(what)) if what else None
        self.refresh()

    def get_renderables(self) -> Iterator[RenderableType]:
        """The bars and that line."""
        if self.tasks:
            yield self.make_tasks_table(self.tasks)
        spinner = self._spinner  # another thread draws
        if spinner is not None:
            yield spinner


@contextmanager
def _bars(console: DemoConsole, state_of: _StateOf, steps: int) -> _Display:
    """A bar for each column from when it asks; where they are more than the terminal has lines, the last ones.

    What is waited for while none moves stands below them: Dagster, or a step that has not come to its rows.
    """
    width = max(4, min(40, console.width - 42))
    shown = (
        TextColumn("{task.description}", markup=False),
        BarColumn(width),
        TextColumn("{task.fields[count]}", markup=False, style="progress.download"),
        TimeElapsedColumn(),
    )
    # What steps print belongs into the compute log, as in any run: nothing is drawn into meanwhile.
    with _Bars(
        *shown, console=console, refresh_per_second=5, redirect_stdout=False, redirect_stderr=False
    ) as bars:
        bars.wait_for(f"Dagster starts the run: {counted(steps, 'step')}")
        tasks: dict[str, TaskID] = {}
        begun = 0

        def note_step(asset: str) -> None:
            nonlocal begun
            begun += 1
            bars.wait_for(f"{asset}: step {begun} of {steps}")

        def update_bar(p: progress.Progress) -> None:
            bars.wait_for("")
            state = state_of(p)
            if state.asset not in tasks:
                tasks[state.asset] = bars.add_task(state.asset, total=state.parts, count="")
                for early in list(tasks.values())[: max(0, len(tasks) + 1 - console.height)]:
                    bars.update(early, visible=False)
            bars.update(tasks[state.asset], completed=state.done, count=f"{int(state.done)}/{state.parts}")

        try:
            yield update_bar, note_step
        finally:
            bars.wait_for("")
            for task in tasks.values():
                bars.update(task, visible=True)
