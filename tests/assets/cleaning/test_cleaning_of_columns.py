"""`pxt-assets gc`: which files it takes for those of columns that are no longer defined."""

import shutil
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pxt_assets import OpenAIResource
from tests.scripted_server import ScriptedServer
from tests.store_to_clean import NAMED, ROWS, StoreToClean
from tests.tickets import KEY


@pytest.fixture
def bench(tmp_path: Path, openai: OpenAIResource) -> StoreToClean:
    return StoreToClean(tmp_path, openai)


def test_files_of_a_column_that_is_gone_are_removed(bench: StoreToClean, server: ScriptedServer) -> None:
    """With its sidecar, journal and folder; the table's own file stays."""
    bench.die_before_commit({0: "new", **ROWS}, server, "new")
    done = bench.gc("--delete", columns=["other"])
    assert done.exit_code == 0, done.stdout
    assert "skip" not in done.stdout
    assert bench.files == {"tickets/tickets.parquet"}
    assert not bench.path.parent.exists()


def test_the_same_on_an_object_store(openai: OpenAIResource, tmp_path: Path) -> None:
    """Wherever its base path begins."""
    bench = StoreToClean(tmp_path, openai, f"memory://{uuid.uuid4().hex}/columns")
    bench.die_after_commit({**ROWS, 3: "c"})
    bench.gc("--delete", columns=["other"])
    folder = bench.store.file(KEY).path.parent.parent
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["tickets.parquet"]


OTHER = "@dg.asset(io_manager_key='columns')\ndef notes() -> pa.Table: ...\ntickets = notes"


@pytest.mark.parametrize(("upstream", "whole"), [(NAMED, False), (OTHER, False), (OTHER, True)])
def test_columns_of_a_table_of_others_are_kept(bench: StoreToClean, upstream: str, whole: bool) -> None:
    """Another code location makes the table, and perhaps the column; to name it as an upstream is not to make it."""
    before = bench.files
    done = bench.gc("--delete", columns=["other"], upstream=upstream, whole=whole)
    assert f"keep {bench.path}" in done.stdout, done.stderr
    assert "no loaded code location defines the table tickets" in done.stdout
    assert bench.files == before


def test_a_workspace_is_whole(bench: StoreToClean) -> None:
    """Who else would define columns of a table that it names, and nobody makes?"""
    bench.gc("--delete", columns=["other"], upstream=NAMED, whole=True)
    assert bench.files == {"tickets/tickets.parquet"}


def test_a_journal_without_definition_and_file_is_kept(bench: StoreToClean) -> None:
    """It is all that a first run of another code location has left."""
    bench.die_after_commit({**ROWS, 3: "c"})
    bench.path.unlink()
    assert f"keep {bench.journal}" in bench.gc("--delete", columns=["other"]).stdout
    assert bench.segments


def test_files_of_others_are_left_alone(bench: StoreToClean) -> None:
    """A file that does not say that it is a computed column's is not this package's to remove."""
    folder = bench.path.parents[1] / "gone"
    folder.mkdir()
    pq.write_table(pa.table({"a": [1]}), folder / "other.parquet")
    (folder / "broken.parquet").write_bytes(b"no parquet")
    apart = bench.companions.parent / "gone"
    apart.mkdir()
    pq.write_table(pa.table({"a": [1]}), apart / "notes.provenance")
    (apart / "editor.lock").write_text("{}")
    (apart / "work.journal").mkdir()
    (apart / "work.journal" / "today.txt").write_text("mine")
    (folder / "_meta").mkdir()
    pq.write_table(pa.table({"a": [1]}), folder / "_meta" / "notes.meta.parquet")
    (folder / ".editor.lock").write_text("{}")
    (folder / ".work.journal").mkdir()
    (folder / ".work.journal" / "today.txt").write_text("mine")
    before = bench.files
    assert bench.gc("--delete").stdout == "removed 0 things, 0 bytes\n"
    assert bench.files == before


@pytest.mark.parametrize("place", ["mine.parquet", "tickets/mine.parquet", "tickets/c/mine.parquet"])
def test_a_file_derived_from_a_column_is_its_owners(bench: StoreToClean, place: str) -> None:
    """Arrow carries over what a file said of itself, wherever the rows go."""
    mine = Path(bench.store.base_path) / place
    pq.write_table(pq.read_table(bench.path).select(["id"]), mine)
    bench.gc("--delete", columns=["other"])
    assert pq.read_table(mine)["id"].to_pylist() == [1, 2]
    assert not bench.path.exists()


def test_a_copy_of_a_column_is_its_owners(bench: StoreToClean) -> None:
    """With all that belongs to its file."""
    bench.die_after_commit({**ROWS, 3: "c"})
    for folder in (bench.path.parent, bench.companions):
        shutil.copytree(folder, folder.parent / "backup" / "c")
    before = {path for path in bench.files if "backup" in path}
    assert len(before) == 3
    bench.gc("--delete", columns=["other"])
    assert bench.files == {*before, "tickets/tickets.parquet"}


def test_links_are_not_followed(bench: StoreToClean) -> None:
    """Neither to a file nor to a folder, though it is a column's and stands where a column's does."""
    elsewhere = bench.folder / "elsewhere"
    bench.path.parent.rename(elsewhere)
    bench.path.parent.symlink_to(elsewhere)
    link = Path(bench.store.base_path) / "link.parquet"
    link.symlink_to(elsewhere / "c.parquet")
    bench.gc("--delete", columns=["other"])
    assert bench.path.exists()
    assert link.exists()
    bench.path.parent.unlink()
    bench.path.parent.mkdir()
    bench.path.symlink_to(elsewhere / "c.parquet")
    bench.gc("--delete", columns=["other"])
    assert bench.path.exists()


def test_a_sidecar_beside_a_link_that_leads_nowhere_stays(bench: StoreToClean) -> None:
    """The disk with the column's file may be absent for a while."""
    bench.path.unlink()
    bench.path.symlink_to(bench.folder / "absent" / "c.parquet")
    bench.gc("--delete")
    assert len(bench.provenance) == 2


def test_a_store_may_be_reached_through_a_link(bench: StoreToClean) -> None:
    """What its base path leads to is the store."""
    link = bench.folder / "link"
    link.symlink_to(bench.store.base_path)
    bench.store = bench.store.model_copy(update={"base_path": str(link)})
    bench.gc("--delete", columns=["other"])
    assert not bench.path.exists()
