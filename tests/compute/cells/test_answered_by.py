"""Which server answered each row, as a column's file keeps it."""

import numpy as np
import pyarrow as pa
import pytest

from pxt_assets.compute.cells.answered_by import RowServers, is_other_mask, row_servers
from pxt_assets.storage.provenance import ANSWERED_BY

NAMES = ["a", None, "b", "a", "b", "b"]
ANSWERED = [True, True, True, False, True, True]


def servers(names: list[str | None] = NAMES, answered: list[bool] = ANSWERED) -> RowServers:
    """Added in two parts, the first of several chunks."""
    found = RowServers()
    first = pa.chunked_array([names[:1], names[1:3]], pa.string())
    found.add(first, pa.chunked_array([answered[:3]], pa.bool_()))
    found.add(pa.array(names[3:], pa.string()), pa.array(answered[3:]))
    return found


def stored(found: RowServers, rows: int = len(NAMES)) -> RowServers:
    return row_servers({ANSWERED_BY: found.to_metadata()}, rows)


@pytest.mark.parametrize("found", [servers(), stored(servers())], ids=["new", "stored"])
def test_rows_and_counts(found):
    """Rows without an answer are of their server, and counted under none; of an unknown one they count."""
    assert found.take(np.arange(6)).to_pylist() == NAMES
    assert found.take(np.array([4, 0])).to_pylist() == ["b", "a"]
    assert dict(found.counts) == {"a": 1, "unknown": 1, "b": 3}
    assert found.rows_of(lambda name: name == "b").tolist() == [2, 4, 5]
    assert found.rows_of(lambda name: name == "c").tolist() == []


@pytest.mark.parametrize(
    "found", [row_servers({}, 6), stored(servers(), rows=7)], ids=["earlier", "of other rows"]
)
def test_a_file_that_does_not_say_names_none(found):
    """Its rows' servers are unknown."""
    assert found.take(np.arange(6)).to_pylist() == [None] * 6
    assert found.names == []


def test_a_million_rows_of_one_server_take_little():
    """The metadata of a file is read each time that it is opened."""
    found = RowServers()
    found.add(pa.array(["a"] * 1_000_000), pa.array([True] * 1_000_000))
    assert len(found.to_metadata()) < 2_000
    assert found.counts == {"a": 1_000_000}


def test_more_servers_than_a_byte_tells_apart_are_unknown():
    """No file has so many; none is taken for another."""
    names = [f"s{i}" for i in range(300)]
    found = RowServers()
    found.add(pa.array(names), pa.array([True] * 300))
    assert found.take(np.arange(300)).to_pylist() == [*names[:255], *[None] * 45]
    assert found.counts["unknown"] == 45


def test_masks_of_names():
    """Unknown ones are never wanted."""
    assert is_other_mask(pa.array(NAMES), lambda name: name == "b").tolist() == [
        False,
        False,
        True,
        False,
        True,
        True,
    ]
    assert not is_other_mask(pa.array([None], pa.string()), lambda _: True).any()
