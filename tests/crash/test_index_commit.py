"""Kills while an index is written: readers find a partition as it was or as it is to be, and the next run ends it."""

import multiprocessing
import os
import pkgutil
import signal
from pathlib import Path
from unittest.mock import patch

import pytest

from pxt_assets import EmbeddingIndexes
from tests.index.shop import Shop, letters, texts

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


def _shop(folder: Path, bodies: dict[int, str]):
    shop = Shop(folder)
    shop.rows[None] = texts(bodies)
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=letters)
    return shop, tbl


def _run(folder: Path, bodies: dict[int, str]) -> None:
    shop, tbl = _shop(folder, bodies)
    shop.run(tbl)


def _run_and_die(folder: Path, bodies: dict[int, str], where: str, after: bool) -> None:
    module, _, name = where.rpartition(".")
    owner = pkgutil.resolve_name(module)
    real = getattr(owner, name)

    def die(*args, **kwargs):
        if after:
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    with patch.object(owner, name, die):
        _run(folder, bodies)


def _in_process(function, *args) -> int:
    process = multiprocessing.get_context("spawn").Process(target=function, args=args)
    process.start()
    process.join()
    return process.exitcode or 0


def _read(folder: Path) -> dict[int, str]:
    """All that a search finds."""
    shop, tbl = _shop(folder, {})
    fresh = EmbeddingIndexes(base_path=shop.indexes.base_path)
    found = tbl.body.similarity("abc", k=99, columns=["body"], indexes=fresh).to_pylist()
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row["body"] for row in found}


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_while_a_partition_is_replaced(step: str, tmp_path: Path):
    """Its rows are all old, or all new."""
    where, after, expected = STEPS[step]
    _run(tmp_path, OLD)
    assert _in_process(_run_and_die, tmp_path, NEW, where, after) == -signal.SIGKILL
    assert _read(tmp_path) == expected
    _run(tmp_path, NEW)
    assert _read(tmp_path) == NEW


def test_several_processes_write_an_index_at_once(tmp_path: Path):
    """Each begins, and then replaces, its own partition, and none loses another's."""
    context = multiprocessing.get_context("spawn")
    days = ["mon", "tue", "wed"]
    ready = context.Barrier(len(days))
    processes = [context.Process(target=_run_day, args=(tmp_path, day, ready)) for day in days]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    shop = Shop(tmp_path)
    tbl = shop.table(by_day=True)
    tbl.add_embedding_index(tbl.body, embedding=letters)
    found = tbl.body.similarity("abc", k=99, columns=["body"], indexes=shop.indexes).to_pylist()
    rows = sorted((row["partition_key"], row["id"], row["body"]) for row in found)
    assert rows == sorted((day, key, body) for day in days for key, body in NEW.items())


def _run_day(folder: Path, day: str, ready) -> None:
    shop = Shop(folder)
    tbl = shop.table(by_day=True)
    tbl.add_embedding_index(tbl.body, embedding=letters)
    for bodies in (OLD, NEW):
        shop.rows = {day: texts(bodies)}
        shop.run(tbl, days=[day], only=["tickets", "tickets/body_idx_vectors"])
        ready.wait()
        shop.run(tbl, days=[day], only=["tickets/body_idx"])
