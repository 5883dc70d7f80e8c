"""A journal, what is written to it, and what is found in it."""

import numpy as np
from upath import UPath

from pxt_assets.compute.cells.cell import Cell
from pxt_assets.compute.cells.journal import Journal
from pxt_assets.values.conversion import to_python
from pxt_assets.values.types import ColumnType, Json


class Clock:
    """A wall clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000_000

    def __call__(self) -> int:
        return self.now


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def open_journal(folder: UPath, column_type: type[ColumnType] = Json, clock: Clock | None = None) -> Journal:
    return Journal(folder, column_type, clock_ns=clock or Clock())


def write(journal: Journal, *cells: Cell) -> None:
    for cell in cells:
        journal.append(cell)
    journal.flush()


def found(journal: Journal, *numbers: int, errors: bool = False) -> list[object]:
    """The cells' values, the error's type for those that failed, "absent" for those that are not there."""
    done, failed = journal.load(errors=errors)
    names = np.array([name(n) for n in numbers], "S16")
    at = np.where(done.find(names) < 0, failed.find(names), done.find(names))
    got: list[object] = ["absent"] * len(numbers)
    here = np.flatnonzero(at >= 0)
    if len(here):
        table = journal.take(at[here])
        values, types = to_python(table["value"]), table["errortype"].to_pylist()
        for i, value, errortype in zip(here, values, types, strict=True):
            got[i] = errortype or value
    return got


def segments(folder: UPath) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []
