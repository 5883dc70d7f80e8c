"""A column whose function never returns for its last row, materialized in a process of its own."""

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, Table, udf
from tests.crash.attempt import Step, Tell
from tests.runs import materialize

ROWS = 50
called: list[int] = []
"""The rows that the function was called for."""
_hangs: list[Tell] = []


@udf
def doubled(id: int) -> int:
    """Twice a number; of the last row, if it is to hang, nothing ever."""
    called.append(id)
    for hang in _hangs:
        if id == ROWS - 1:
            hang(())
    return 2 * id


def run(folder: str) -> None:
    """Materializes it."""

    @dg.asset(io_manager_key="columns")
    def tickets() -> pa.Table:
        return pa.table({"id": range(ROWS)})

    table = Table(tickets, key="id")
    table.add_computed_column(c=doubled(table.id))
    materialize([tickets, *table.assets], ColumnStore(base_path=folder))


def run_and_hang(folder: str, at_the_end: str, written: str) -> None:
    """The same, telling when it hangs, and when a segment of the journal is written."""
    _hangs.append(Tell(at_the_end, hang=True))
    Step("pxt_assets.compute.cells.segments:Segments.write", after=True).intercept(Tell(written))
    run(folder)
