"""What a user-defined function has computed it does not compute again, until it is another one."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, Table, udf
from tests.local.udfs import shout
from tests.runs import materialize, metadata, values


class TestReuse:
    def test_unchanged_rows_are_not_computed_again(self, tickets):
        """Nor equal rows twice."""
        calls: list[str] = []

        @udf
        def f(text: str) -> str:
            calls.append(text)
            return text

        tickets.run(lambda t: f(t.body), body=["a", "b", "a"])
        result = tickets.run(lambda t: f(t.body), body=["b", "c"])
        assert sorted(calls) == ["a", "b", "c"]
        assert metadata(result, "tickets/c")["pxt/rows_reused"] == 1

    def test_a_refresh_computes_every_row(self, tickets):
        """Whatever is there."""
        calls: list[str] = []

        @udf
        def f(text: str) -> str:
            calls.append(text)
            return text

        tickets.run(lambda t: f(t.body))
        tickets.run(lambda t: f(t.body), config={"refresh": True})
        assert sorted(calls) == ["a", "a", "b", "b"]

    def test_a_trial_computes_the_first_rows(self, tickets):
        """Which the run that follows takes over."""
        calls: list[str] = []

        @udf
        def f(text: str) -> str:
            calls.append(text)
            return text

        tickets.run(lambda t: f(t.body), config={"limit": 1})
        assert calls == ["a"]
        tickets.run(lambda t: f(t.body))
        assert calls == ["a", "b"]

    @pytest.mark.parametrize("changed", ["source", "version", "default", "closure"])
    def test_a_changed_function_computes_every_row(self, changed, tickets):
        """By its source, its version, its defaults or what it closes over."""

        def made(new: bool) -> Any:
            suffix = "2" if new and changed == "closure" else "1"
            if new and changed == "source":

                def f(text: str, times: int = 1) -> str:
                    return text + suffix + "!"
            else:

                def f(text: str, times: int = 2 if new and changed == "default" else 1) -> str:
                    return text + suffix

            return udf(version="2" if new and changed == "version" else "1")(f)

        tickets.run(lambda t: made(False)(t.body))
        assert metadata(tickets.run(lambda t: made(False)(t.body)), "tickets/c")["pxt/rows_computed"] == 0
        assert metadata(tickets.run(lambda t: made(True)(t.body)), "tickets/c")["pxt/rows_computed"] == 2

    def test_each_partition_has_its_own_rows(self, store):
        """Computed by the same function."""
        days = dg.StaticPartitionsDefinition(["mon", "tue"])

        @dg.asset(name="tickets", io_manager_key="columns", partitions_def=days)
        def upstream(context: dg.AssetExecutionContext) -> pa.Table:
            return pa.table({"id": [1], "body": [context.partition_key]})

        table = Table(upstream, key="id")
        table.add_computed_column(c=shout(table.body))
        for day in ("mon", "tue"):
            materialize([upstream, *table.assets], store, partition=day)
            assert values(store, "tickets/c", day) == [day.upper()]


PROGRAM = """
import os, sys, threading
import dagster as dg, pyarrow as pa
from pxt_assets import ColumnStore, Table, udf

folder, hang = sys.argv[1], sys.argv[2] == "hang"

@dg.asset(io_manager_key="columns")
def tickets():
    return pa.table({"id": range(50)})

def calls(id):
    os.write(1, f"call {id}\\n".encode())  # a line at once, whatever other threads write
    if hang and id == 49:
        threading.Event().wait()

@udf
def f(id: int) -> int:
    calls(id)
    return 2 * id

tbl = Table(tickets, key="id")
tbl.add_computed_column(c=f(tbl.id))
dg.materialize([tickets, *tbl.assets], resources={"columns": ColumnStore(base_path=folder)})
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_hangs_can_be_ended_and_gone_on_with(number: signal.Signals, tmp_path: Path) -> None:
    """Its process ends though a function never does; what is on disk by then another process does not compute again."""
    script, folder = tmp_path / "own.py", tmp_path / "columns"
    script.write_text(PROGRAM)
    journal = folder / "tickets" / "c" / ".c.journal"
    command = [sys.executable, str(script), str(folder)]
    with subprocess.Popen(
        [*command, "hang"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as hung:
        assert hung.stdout is not None
        try:
            assert "call 49\n" in iter(hung.stdout.readline, "")
            while number is signal.SIGKILL and hung.poll() is None and not list(journal.glob("[!.]*.arrow")):
                pass  # what is in memory would be lost
            hung.send_signal(number)
            assert hung.wait(timeout=60) != 0
        finally:
            hung.kill()
    kept = sum(pa.ipc.open_file(segment).read_all().num_rows for segment in journal.glob("[!.]*.arrow"))
    assert kept > 0
    resumed = subprocess.run([*command, "go on"], capture_output=True, text=True, timeout=60, check=True)
    assert resumed.stdout.count("call") == 50 - kept
    assert values(ColumnStore(base_path=str(folder)), "tickets/c") == [2 * i for i in range(50)]
