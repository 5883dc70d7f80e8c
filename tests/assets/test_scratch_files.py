import random
import tempfile
from pathlib import Path

import pytest

from pxt_assets.compute.cells import digest_index, row_groups, stored_array
from tests.tickets import Tickets


@pytest.fixture
def tickets(store, openai):
    return Tickets(store, openai)


@pytest.fixture
def places(monkeypatch):
    """The folders in which temporary files are made, as they are; so few rows are many."""
    monkeypatch.setattr(digest_index, "_IN_MEMORY", 16)
    monkeypatch.setattr(stored_array, "_TAIL_BYTES", 64)
    monkeypatch.setattr(row_groups, "_GROUPS_KEPT", 1)
    folders, real = [], tempfile.TemporaryFile

    def noted(**options):
        folders.append(options["dir"])
        return real(**options)

    monkeypatch.setattr(tempfile, "TemporaryFile", noted)
    return folders


@pytest.mark.parametrize("is_first", [True, False])
def test_a_run_s_temporary_files_are_on_the_column_s_disk(tickets: Tickets, places, is_first):
    """Of its first run too, when no folder of the column is there yet: the system's may be in memory."""
    rows = {i: f"body {i}" for i in range(100)}
    if not is_first:
        tickets.run(rows)
        places.clear()
    shuffled = list({**rows, 100: "new"}.items())
    random.Random(0).shuffle(shuffled)
    tickets.run(dict(shuffled))
    assert places
    assert all(Path(place).is_relative_to(Path(tickets.store.base_path)) for place in places)


def test_without_a_folder_for_them_a_run_goes_on(tickets: Tickets, places, monkeypatch):
    """As in a container with a read-only disk: what they would hold stays in memory."""

    def refuse(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    rows = {i: f"body {i}" for i in range(100)}
    tickets.run(rows)
    assert tickets.said == {i: f"re: body {i}" for i in rows}
