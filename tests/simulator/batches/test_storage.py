"""Where files and batches live: for one process alone, or where others find them."""

import asyncio
import json
import os
import sqlite3
import tempfile
import time
import urllib.request

import httpx2
import pytest
from openai import AsyncOpenAI

from pxt_assets.simulator import SimulatorOptions, SimulatorServer, create_app
from pxt_assets.simulator.batches.storage import FOLDER, Storage, _remove_folder
from tests.simulated_clock import turn_clock
from tests.simulator.batches.later import asked, ids, line, read, refused, submit
from tests.simulator.conftest import InProcess

ROWS = [line(number) for number in range(10)]


@pytest.fixture
def process(tmp_path, monkeypatch):
    """Starts the simulator of one more process, on the same folder and by the same clock."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    shared = tmp_path / "shared"
    shared.mkdir()
    clock, started = [1_000.0], []

    def start(**options):
        chosen = SimulatorOptions(**options)
        simulator = InProcess(chosen)
        simulator.app = create_app(chosen, shared_folder=shared, wall=lambda: clock[0])
        started.append(simulator)
        return simulator

    start.clock, start.folder, start.temporary = clock, shared, temporary
    yield start
    for simulator in started:
        simulator.app.state.simulator.storage.close()


def test_a_batch_is_found_by_the_next_process(process):
    """With its file and its results, whichever of them did the work."""
    first, second, third = process(batch_seconds=100), process(batch_seconds=100), process(batch_seconds=100)
    batch = asked(first, lambda client: submit(client, ROWS))
    first.app.state.simulator.storage.close()
    process.clock[0] += 100

    async def use(client):
        found = [one async for one in client.batches.list()]
        return found, await read(client, found[0].output_file_id)

    [found], lines = asked(second, use)
    assert (found.id, found.status) == (batch.id, "completed")
    assert sorted(ids(lines)) == sorted(ids(ROWS))
    assert asked(third, use) == ([found], lines)


def test_a_batch_is_cancelled_from_another_process(process):
    """And both tell the same of it."""
    first, second = process(batch_seconds=1_000), process(batch_seconds=1_000)
    batch = asked(first, lambda client: submit(client, ROWS))
    process.clock[0] += 500
    asked(second, lambda client: client.batches.cancel(batch.id))
    process.clock[0] += 100
    one, other = (asked(each, lambda client: client.batches.retrieve(batch.id)) for each in (first, second))
    assert one == other
    assert (one.status, one.request_counts.completed) == ("cancelled", 5)


def test_a_response_is_fetched_by_another_process(process):
    """As the API would answer it."""
    first, second = process(background_seconds=10), process(background_seconds=10)
    asked_for = {"model": "gpt-6-luna", "input": "Hi", "background": True}
    response = asked(first, lambda client: client.responses.create(**asked_for))
    process.clock[0] += 10
    found = asked(second, lambda client: client.responses.retrieve(response.id))
    assert (found.status, found.output_text) == ("completed", "[simulated] Hi")


def test_the_queue_is_one_for_all_processes(process):
    """What one has waiting, the other has no room for."""
    options = {"batch_seconds": 1_000, "batch_queue_limit": 100}
    first, second = process(**options), process(**options)
    batches = [asked(each, lambda client: submit(client, ROWS)) for each in (first, second)]
    process.clock[0] += 500
    statuses = [asked(first, lambda client, id=one.id: client.batches.retrieve(id)).status for one in batches]
    assert sorted(statuses) == ["failed", "in_progress"]


def test_simulators_of_other_options_share_nothing(process):
    """Their options tell them apart."""
    batch = asked(process(), lambda client: submit(client, ROWS))
    error = asked(process(seed=1), lambda client: refused(client.batches.retrieve(batch.id)))
    assert error.status_code == 404


def test_the_clock_is_turned_for_all_processes(process):
    """By whom of them so ever."""
    first, second = process(batch_seconds=1_000), process(batch_seconds=1_000)
    batch = asked(first, lambda client: submit(client, ROWS))
    assert second.post("/simulator/clock", {"seconds": 1_000}, key=None).json() == {"now": 2_000}
    found = asked(first, lambda client: client.batches.retrieve(batch.id))
    assert (found.status, found.completed_at) == ("completed", 2_000)


@pytest.mark.parametrize(
    "body", [{}, {"seconds": -1}, {"seconds": "1"}, {"seconds": True}, {"seconds": 1, "a": 1}]
)
def test_the_clock_is_turned_by_seconds(simulator, body):
    """And forward alone."""
    response = simulator.post("/simulator/clock", body, key=None)
    assert response.status_code == 400
    assert "a number >= 0" in response.json()["error"]["message"]


def test_what_nobody_shares_is_removed_in_the_end(tmp_path, monkeypatch):
    """A temporary folder, which is made when it is needed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    simulator = InProcess(SimulatorOptions())
    simulator.chat()
    assert list(tmp_path.iterdir()) == []
    asked(simulator, lambda client: submit(client, ROWS))
    assert len(list(tmp_path.iterdir())) == 1
    simulator.app.state.simulator.storage.close()
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_server_removes_its_folder(tmp_path, monkeypatch):
    """Real time is not waited for: the server's clock is turned."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with SimulatorServer(SimulatorOptions(background_seconds=3_600), wall=lambda: 5_000.0) as server:
        asked_for = b'{"model": "gpt-6-luna", "input": "Hi", "background": true}'
        answer = _fetch(server, "/responses", asked_for)
        assert (answer["status"], answer["created_at"]) == ("queued", 5_000)
        turn_clock(server.base_url, 1_800)
        server.turn_clock(1_800)
        assert _fetch(server, f"/responses/{answer['id']}")["status"] == "completed"
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def _fetch(server, path, body=None):
    headers = {"authorization": "Bearer sk-test", "content-type": "application/json"}
    request = urllib.request.Request(server.base_url + path, body, headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_a_forked_process_leaves_the_folder(tmp_path):
    """It belongs to the process that made it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    _remove_folder(str(folder), os.getpid() + 1)
    assert folder.exists()
    _remove_folder(str(folder), os.getpid())
    assert not folder.exists()


def test_a_folder_that_cannot_be_used_is_replaced(tmp_path, caplog):
    """By one of this process alone, with a warning."""
    (tmp_path / FOLDER).write_text("")
    storage = Storage(tmp_path, "")
    try:
        storage.turn(1.0)
        assert storage.folder.parent != tmp_path
        assert "not shared with other processes" in caplog.text
    finally:
        storage.close()


def test_two_processes_may_do_the_same_work(process):
    """The results of one of them count, and the others' are removed."""
    both = [process(batch_seconds=100), process(batch_seconds=100)]
    batch = asked(both[0], lambda client: submit(client, ROWS))
    process.clock[0] += 100

    async def look(client):
        return await client.batches.retrieve(batch.id)

    async def use():
        def client_of(simulator):
            transport = httpx2.ASGITransport(simulator.app)
            return AsyncOpenAI(
                base_url="http://s/v1", api_key="sk-test", http_client=httpx2.AsyncClient(transport=transport)
            )

        async with client_of(both[0]) as one, client_of(both[1]) as other:
            seen = await asyncio.gather(look(one), look(other))
            return seen, [await read(client, seen[0].output_file_id) for client in (one, other)]

    with sqlite3.connect(process.folder / FOLDER / "state.sqlite") as database:
        database.execute("UPDATE batches SET checked = NULL")
    database.close()
    seen, lines = asyncio.run(use())
    assert seen[0] == seen[1]
    assert lines[0] == lines[1]
    assert sorted(ids(lines[0])) == sorted(ids(ROWS))
    in_use = {path.name for path in (process.folder / FOLDER).glob("*.lines")}
    assert len(in_use) <= 2  # with those of the work that was made to be forgotten


def test_what_killed_processes_left_is_removed(process):
    """Once it is old: a young one may still be written."""
    first = process()
    batch = asked(first, lambda client: submit(client, ROWS))
    folder = process.folder / FOLDER
    old = time.time() - 86_400
    stray, young, used = folder / "sim-batch-a.1.lines", folder / "sim-file-b", folder / batch.input_file_id
    for path in (stray, young):
        path.write_text("")
    for path in (stray, used):
        os.utime(path, (old, old))
    asked(process(), lambda client: client.batches.retrieve(batch.id))
    assert (stray.exists(), young.exists(), used.exists()) == (False, True, True)


def test_a_database_that_fails_is_a_fault_of_the_server(process, caplog):
    """500, which clients try again."""
    first = process()
    asked(first, lambda client: submit(client, ROWS))
    first.app.state.simulator.storage.connection.close()
    assert first.get("/v1/batches").status_code == 500
    assert "cannot be used" in caplog.text


def test_records_are_forgotten_after_a_month(tmp_path):
    """So that the folder does not grow for ever."""
    storage = Storage(tmp_path, "", wall=lambda: 1_000.0)
    storage.connection.execute("INSERT INTO responses (id, created) VALUES ('a', 1000)")
    storage.close()
    later = Storage(tmp_path, "", wall=lambda: 1_000.0 + 31 * 86_400)
    assert later.connection.execute("SELECT COUNT(*) FROM responses").fetchone() == (0,)
    later.close()
