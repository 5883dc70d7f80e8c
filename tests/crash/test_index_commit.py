"""Kills while an index is written: readers find a partition as it was or as it is to be, and the next run ends it."""

import signal
from multiprocessing.connection import Listener
from pathlib import Path

import pytest

from tests.crash.forked import Forks
from tests.crash.index_attempt import bodies_found, indexed_table, run, run_and_die, run_day

OLD = {1: "a", 2: "b", 3: "c"}
NEW = {1: "a", 2: "bb", 4: "ab"}
STEPS = {
    "before anything": ("pxt_assets.index.stored_index.StoredIndex.replace", False, OLD),
    "before the commit": ("pxt_assets.index.stored_index.StoredIndex._merge", False, OLD),
    "after the commit": ("pxt_assets.index.stored_index.StoredIndex._merge", True, NEW),
    "before what is gone is removed": (
        "pxt_assets.index.stored_index.StoredIndex.remove_marked_rows",
        False,
        NEW,
    ),
    "after that": ("pxt_assets.index.stored_index.StoredIndex.remove_marked_rows", True, NEW),
    "before it is compacted": (
        "pxt_assets.assets.indexes.index_materialize.maintain_vector_index",
        False,
        NEW,
    ),
    "before Dagster is told": ("pxt_assets.assets.indexes.index_materialize.index_page", False, NEW),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_while_a_partition_is_replaced(step: str, tmp_path: Path, forks: Forks):
    """Its rows are all old, or all new."""
    call, after, expected = STEPS[step]
    run(tmp_path, OLD)
    killed = forks.start(run_and_die, tmp_path, NEW, call, after)
    assert killed.wait() == -signal.SIGKILL, forks.errors
    assert bodies_found(tmp_path) == expected
    run(tmp_path, NEW)
    assert bodies_found(tmp_path) == NEW


def test_several_processes_write_an_index_at_once(tmp_path: Path, forks: Forks):
    """Each begins, and then replaces, its own partition, and none loses another's."""
    days = ["mon", "tue", "wed"]
    with Listener(str(tmp_path / "barrier")) as barrier:
        processes = [forks.start(run_day, tmp_path, day, [OLD, NEW], barrier.address) for day in days]
        others = [barrier.accept() for _ in days]
        for _ in (OLD, NEW):
            for each in others:
                assert each.recv() == "ready"
            for each in others:
                each.send("go on")
        assert [process.wait() for process in processes] == [0, 0, 0], forks.errors
    for each in others:
        each.close()
    shop, tbl = indexed_table(tmp_path, by_day=True)
    found = tbl.body.similarity("abc", k=99, columns=["body"], indexes=shop.indexes).to_pylist()
    rows = sorted((row["partition_key"], row["id"], row["body"]) for row in found)
    assert rows == sorted((day, key, body) for day in days for key, body in NEW.items())
