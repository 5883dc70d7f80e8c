"""The value that a run in this process gives for a column: a table, or a dataset where that would take much memory."""

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from pxt_assets.assets.step import kept_values
from tests.scripted_server import chat
from tests.tickets import KEY, Tickets


@pytest.fixture
def tickets(store, server, openai) -> Tickets:
    server.script = lambda asked: chat(asked, "the same again " * 1_000)
    return Tickets(store, openai)


ROWS = {i: f"row {i}" for i in range(20)}


def test_a_small_one_is_a_table(tickets):
    """As most are that a test looks at."""
    value = tickets.run(ROWS).asset_value(KEY)
    assert isinstance(value, pa.Table)
    assert value.num_rows == 20


def test_what_counts_is_its_size_in_memory(tickets, monkeypatch):
    """A file is many times smaller where its rows are alike."""
    monkeypatch.setattr(kept_values, "_MAX_TABLE_BYTES", 200_000)
    value = tickets.run(ROWS).asset_value(KEY)
    assert tickets.path.stat().st_size < 100_000
    assert isinstance(value, ds.Dataset)
    assert value.to_table().num_rows == 20
