"""Locks: claims on a local disk, which end with their process."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from upath import UPath

from pxt_assets.compute.claims.claim import hold_claim
from pxt_assets.compute.claims.lock import can_lock, hold_lock
from pxt_assets.compute.claims.owner import ClaimedError
from pxt_assets.storage.parquet import ParquetFile


def test_a_second_one_is_refused_and_told_whose_it_is(tmp_path: Path) -> None:
    """By run, process and host."""
    path = tmp_path / ".c.lock"
    refused = pytest.raises(ClaimedError, match=f"run-17 .*{os.getpid()}")
    with hold_lock(path, "run-17"), refused, hold_lock(path, "other"):
        pass
    with hold_lock(path, "other"):
        assert json.loads(path.read_bytes())["run_id"] == "other"
    assert not path.exists()


def test_it_ends_with_its_process(tmp_path: Path) -> None:
    """However that ends; the file that it leaves locks nothing."""
    path = tmp_path / ".c.lock"
    child = os.fork()
    if child == 0:
        with hold_lock(path, "killed"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert json.loads(path.read_bytes())["run_id"] == "killed"
    with hold_lock(path, "mine"):
        assert json.loads(path.read_bytes())["run_id"] == "mine"


def test_one_that_was_removed_meanwhile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner may end between our opening of the file and our locking of it."""
    import fcntl

    path, real, removed = tmp_path / ".c.lock", fcntl.flock, []

    def flock(fd: int, how: int) -> None:
        if not removed:
            removed.append(path.unlink())
            path.write_text("")
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold_lock(path, "mine"):
        assert json.loads(path.read_text())["run_id"] == "mine"
    assert removed


def test_it_is_beside_the_columns_file_and_on_one_partition(tmp_path: Path) -> None:
    """Nothing else is left beside a column that is computed, and others are not held up."""
    folder = tmp_path / "new"

    async def both() -> list[str]:
        async with (
            hold_claim(ParquetFile(UPath(folder / "a.parquet"))),
            hold_claim(ParquetFile(UPath(folder / "b.parquet"))),
        ):
            return sorted(path.name for path in folder.iterdir())

    assert asyncio.run(both()) == [".a.lock", ".b.lock"]


def test_a_system_without_such_locks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no `fcntl`."""
    assert can_lock()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert not can_lock()
