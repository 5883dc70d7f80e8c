"""Functions of the user's own that never return: their process can be ended, and the next one goes on."""

import signal
from pathlib import Path

import pyarrow as pa
import pytest

from pxt_assets import ColumnStore
from tests.crash import hanging_column
from tests.crash.attempt import Told
from tests.crash.forked import Forks
from tests.runs import values


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_hangs_can_be_ended_and_gone_on_with(
    number: signal.Signals, tmp_path: Path, forks: Forks, told: Told
) -> None:
    """Its process ends though a function never does; what is on disk by then another process does not compute again."""
    folder = tmp_path / "columns"
    written = Told(tmp_path / "written")
    hung = forks.start(hanging_column.run_and_hang, str(folder), told.path, written.path)
    told.wait()
    if number is signal.SIGKILL:
        written.wait()  # what is in memory would be lost
    hung.send(number)
    assert hung.wait() != 0
    written.close()
    journal = folder / ".pxt_assets" / "tickets" / "c" / "c.journal"
    kept = sum(pa.ipc.open_file(segment).read_all().num_rows for segment in journal.glob("[!.]*.arrow"))
    assert kept > 0
    hanging_column.called.clear()
    hanging_column.run(str(folder))
    assert len(hanging_column.called) == 50 - kept
    assert values(ColumnStore(base_path=str(folder)), "tickets/c") == [2 * i for i in range(50)]
