"""A run that is killed, and the one that goes on from where it was."""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pxt_assets.simulator import SimulatorOptions, SimulatorServer

ROWS = 400
SCRIPT = """
import sys, dagster as dg, pyarrow as pa
from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions

base_url, folder, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])

@dg.asset(io_manager_key="columns")
def tickets():
    return pa.table({"id": range(rows), "body": [f"Ticket number {i} is about a tent." for i in range(rows)]})

tbl = Table(tickets, key="id")
tbl.add_computed_column(
    response=chat_completions([{"role": "user", "content": tbl.body}], model="gpt-6-luna")
)
resources = {
    "openai": OpenAIResource(api_key="sk-test", base_url=base_url, max_in_flight=4),
    "columns": ColumnStore(base_path=folder),
}
dg.materialize([tickets, *tbl.assets], resources=resources)
"""


@pytest.fixture
def server():
    with SimulatorServer(SimulatorOptions(latency=0.02)) as running:
        yield running


def counters(server: SimulatorServer) -> dict[str, int]:
    with urllib.request.urlopen(server.base_url.removesuffix("/v1") + "/simulator/counters") as answer:
        return json.load(answer)


def start(server: SimulatorServer, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SCRIPT, server.base_url, str(folder), str(ROWS)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def journaled(folder: Path) -> int:
    """Cells in the journal's complete segments."""
    total = 0
    for segment in (folder / "tickets" / "response" / ".response.journal").glob("[!.]*.arrow"):
        with pa.memory_map(str(segment)) as source:
            total += pa.ipc.open_file(source).read_all().num_rows
    return total


def test_a_killed_run_is_resumed_from_its_journal_and_pays_for_nothing_in_it_again(server, tmp_path):
    """After `kill -9` the column is not there; the next run asks only for the cells that the journal lacks."""
    process = start(server, tmp_path)
    try:
        while process.poll() is None and not journaled(tmp_path):
            counters(server)  # takes a moment
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept, asked = journaled(tmp_path), counters(server)["requests"]
    column = tmp_path / "tickets" / "response" / "response.parquet"
    assert 0 < kept < ROWS
    assert not column.exists()

    resumed = start(server, tmp_path)
    _, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors.decode()[-2_000:]
    assert counters(server)["requests"] - asked == ROWS - kept
    assert pq.read_table(column)["response"].null_count == 0
    assert pq.read_table(column)["id"].to_pylist() == list(range(ROWS))
    assert not column.with_name(".response.journal").exists()
