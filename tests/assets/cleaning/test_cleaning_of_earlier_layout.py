"""`pxt-assets gc` in a store of an earlier version: it moves what that had beside the columns' files."""

import fcntl
import json
import os
from pathlib import Path

import pytest

from pxt_assets import OpenAIResource
from pxt_assets.storage.layout import lock_path
from tests.earlier_layout import column_folder, earlier, put_back
from tests.scripted_server import ScriptedServer
from tests.store_to_clean import ROWS, StoreToClean
from tests.tickets import KEY


@pytest.fixture
def bench(tmp_path: Path, openai: OpenAIResource, server: ScriptedServer) -> StoreToClean:
    """A store of an earlier version, whose journal has a cell that is paid for and in no column's file."""
    bench = StoreToClean(tmp_path, openai)
    bench.die_before_commit({0: "new", **ROWS}, server, "new")
    put_back(bench.store.file(KEY))
    return bench


@pytest.fixture
def before(bench: StoreToClean) -> list[str]:
    """What is in the column's folder."""
    names = column_folder(bench.store.file(KEY))
    assert [name.partition("/")[0] for name in names] == [".c.journal", "_meta", "c.parquet"]
    return names


def test_a_dry_run_says_what_would_be_moved(bench: StoreToClean, before: list[str]) -> None:
    """And moves nothing."""
    done = bench.gc().stdout
    folder = bench.path.parent
    assert f"could move {folder / '_meta' / 'c.meta.parquet'} to {bench.companions / 'c.provenance'}" in done
    assert f"could move {folder / '.c.journal'} to {bench.journal}" in done
    assert "1 finished cells that are not in the column's file yet" in done
    assert "0 bytes could be removed, and 2 things be moved; this was a dry run, --delete does it" in done
    assert column_folder(bench.store.file(KEY)) == before


def test_all_that_is_needed_is_moved(bench: StoreToClean, before: list[str], server: ScriptedServer) -> None:
    """Nothing of it is paid for again, and a second time there is nothing to move."""
    told = bench.provenance
    done = bench.gc("--delete").stdout
    assert f"moved {bench.path.parent / '.c.journal'} to {bench.journal}" in done
    assert "removed 0 things, 0 bytes; moved 2 things" in done
    assert column_folder(bench.store.file(KEY)) == ["c.parquet"]
    assert bench.provenance == told
    assert "; moved" not in bench.gc("--delete").stdout
    server.forget()
    bench.run({0: "new", **ROWS})
    assert server.texts == []


def test_a_journal_that_nobody_needs_is_removed(tmp_path: Path, openai: OpenAIResource) -> None:
    """As it is at its present place."""
    bench = StoreToClean(tmp_path, openai)
    bench.die_after_commit({**ROWS, 3: "c"})
    put_back(bench.store.file(KEY))
    assert f"removed {bench.path.parent / '.c.journal'}" in bench.gc("--delete").stdout
    assert column_folder(bench.store.file(KEY)) == ["c.parquet"]


def test_what_a_run_of_an_earlier_version_claims_is_skipped(bench: StoreToClean, before: list[str]) -> None:
    """It goes on with its journal."""
    path = Path(lock_path(earlier(bench.store.file(KEY))).path)
    path.write_text(json.dumps({"run_id": "run-17"}))
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        done = bench.gc("--delete").stdout
    finally:
        os.close(fd)
    assert done.count("run-17") == 2
    assert column_folder(bench.store.file(KEY)) == sorted([*before, ".c.lock"])


def test_a_move_that_was_broken_off_is_gone_on_with(
    bench: StoreToClean, before: list[str], server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is whole at one place or the other."""

    def full(_source: object, _target: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pxt_assets.compute.cells.earlier_companions.move_file", full)
        assert bench.gc("--delete").stdout.count("skip") == 2
    assert column_folder(bench.store.file(KEY)) == before
    assert "moved 2 things" in bench.gc("--delete").stdout
    server.forget()
    bench.run({0: "new", **ROWS})
    assert server.texts == []


def test_a_dropped_columns_files_are_removed(bench: StoreToClean) -> None:
    """With the folders that are empty then."""
    bench.gc("--delete", columns=["other"])
    assert bench.files == {"tickets/tickets.parquet"}
    assert not bench.path.parent.exists()
