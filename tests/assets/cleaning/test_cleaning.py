"""`pxt-assets gc`: what it removes from a store, and what is paid for and stays."""

import asyncio
import json
import os
import threading
import time
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pxt_assets import OpenAIResource
from pxt_assets.assets.cleaning.leftovers import find_leftovers, remove_leftover
from pxt_assets.cli.commands import main
from pxt_assets.compute.claims.claim import hold_claim
from pxt_assets.storage.layout import journal_folder
from tests.scripted_server import ScriptedServer, chat, refusal
from tests.store_to_clean import ROWS, StoreToClean
from tests.tickets import KEY

STORED = "all its cells are in the column's file"
DAYS_AGO = (1_700_000_000, 1_700_000_000)


@pytest.fixture
def bench(tmp_path: Path, openai: OpenAIResource) -> StoreToClean:
    return StoreToClean(tmp_path, openai)


def test_a_clean_store_stays_as_it_is(bench: StoreToClean) -> None:
    """There is nothing to remove after a run that ended well."""
    before = bench.files
    done = bench.gc("--delete")
    assert (done.exit_code, done.stdout) == (0, "removed 0 things, 0 bytes\n")
    assert bench.files == before


def test_a_dry_run_removes_nothing(bench: StoreToClean) -> None:
    """It is the default, and says so."""
    before = bench.files
    done = bench.gc(columns=["other"])
    assert "c.parquet" in done.stdout
    assert "this was a dry run" in done.stdout
    assert bench.files == before


def test_names_cannot_command_a_terminal(bench: StoreToClean) -> None:
    """A partition's key may hold anything; control characters are shown as question marks."""
    bench.die_after_commit({**ROWS, 3: "c"})
    bench.journal.rename(bench.companions / "c\x1b[2J.journal")
    done = bench.gc().stdout
    assert "c?[2J.journal" in done
    assert "\x1b" not in done


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('no such thing')", "no such thing"),
        ("import dagster as dg\ndefs = dg.Definitions()", "no ColumnStore"),
    ],
)
def test_definitions_that_do_not_load_remove_nothing(bench: StoreToClean, text: str, said: str) -> None:
    """A column that cannot be seen is not one that is gone."""
    before = bench.files
    broken = bench.folder / "broken.py"
    broken.write_text(text)
    done = CliRunner().invoke(main, ["gc", "-f", str(broken), "--delete"])
    assert done.exit_code == 1
    assert said in done.stderr
    assert bench.files == before


def test_a_base_path_may_be_relative(bench: StoreToClean, monkeypatch: pytest.MonkeyPatch) -> None:
    """It means what it means to a run that is started in the same folder."""
    bench.die_after_commit({**ROWS, 3: "c"})
    monkeypatch.chdir(bench.folder)
    bench.store = bench.store.model_copy(update={"base_path": "store"})
    assert STORED in bench.gc("--delete").stdout
    assert bench.files == {
        "tickets/tickets.parquet",
        "tickets/c/c.parquet",
        ".pxt_assets/tickets/c/c.provenance",
    }


class TestJournals:
    def test_one_of_a_committed_partition_is_removed(self, bench: StoreToClean) -> None:
        """A crash after the commit leaves one whose cells are all in the column's file."""
        bench.die_after_commit({**ROWS, 3: "c"})
        assert f"could remove {bench.journal}" in bench.gc().stdout
        assert bench.segments
        assert STORED in bench.gc("--delete").stdout
        assert not bench.journal.exists()
        assert bench.table["id"].to_pylist() == [1, 2, 3]

    def test_the_time_of_writing_tells_nothing(self, bench: StoreToClean, server: ScriptedServer) -> None:
        """A column's file that was copied back is younger than cells which it lacks."""
        bench.die_before_commit({0: "new", **ROWS}, server, "new")
        os.utime(bench.path, (time.time() + 3_600,) * 2)
        assert "keep" in bench.gc("--delete").stdout
        assert bench.segments

    def test_cells_that_the_file_lacks_are_kept(self, bench: StoreToClean, server: ScriptedServer) -> None:
        """What a failed run has paid for is taken over by the next one."""
        bench.die_before_commit({0: "new", **ROWS}, server, "new")
        done = bench.gc("--delete")
        assert "keep" in done.stdout
        assert "1 finished cells" in done.stdout
        server.forget()
        bench.run({0: "new", **ROWS})
        assert server.texts == []

    def test_one_without_a_file_is_kept(self, bench: StoreToClean) -> None:
        """A first run that was killed has no file yet."""
        bench.die_after_commit({3: "c", 4: "d"})
        bench.path.unlink()
        assert "2 finished cells" in bench.gc("--delete").stdout
        assert bench.segments

    def test_answers_of_a_refresh_that_failed_are_kept(
        self, bench: StoreToClean, server: ScriptedServer
    ) -> None:
        """They bear the names of the file's cells, but are other answers, and were paid for."""
        server.script = lambda asked: refusal(400) if asked.text == "b" else chat(asked, "anew")
        bench.run(ROWS, config={"refresh": True}, fails=True)
        assert "a refresh that was broken off" in bench.gc("--delete").stdout
        assert bench.segments
        server.script = lambda asked: chat(asked, "anew")
        server.forget()
        bench.run(ROWS, config={"refresh": True})
        assert server.texts == ["b"]

    def test_a_refresh_that_answers_the_same_is_kept(
        self, bench: StoreToClean, server: ScriptedServer
    ) -> None:
        """Without its journal it would begin from the first row again."""
        server.script = lambda asked: refusal(400) if asked.text == "b" else chat(asked)
        bench.run(ROWS, config={"refresh": True}, fails=True)
        assert "keep" in bench.gc("--delete").stdout
        server.script = chat
        server.forget()
        bench.run(ROWS, config={"refresh": True})
        assert server.texts == ["b"]

    def test_answers_of_a_trial_refresh_are_kept(self, bench: StoreToClean, server: ScriptedServer) -> None:
        """The next run stores them in place of the earlier ones."""
        server.script = lambda asked: chat(asked, "anew")
        bench.die_before_commit(ROWS, server, "a", refresh=True)
        assert "1 finished cells" in bench.gc("--delete").stdout
        bench.run(ROWS)
        assert ["anew" in value for value in bench.table["c"].to_pylist()] == [True, False]

    def test_answers_of_a_retry_are_kept(self, bench: StoreToClean, server: ScriptedServer) -> None:
        """The error that the column's file has of a cell is not its answer."""
        rows = {1: "bad", 2: "worse"}
        server.script = lambda asked: refusal(400)
        bench.run(rows, on_error="ignore")
        assert bench.table["c_errortype"].null_count == 0
        server.script = chat
        bench.die_before_commit(rows, server, "bad")
        assert "1 finished cells" in bench.gc("--delete").stdout
        server.forget()
        bench.run(rows)
        assert server.texts == ["worse"]

    def test_one_that_cannot_be_read_is_kept(self, bench: StoreToClean) -> None:
        """Nobody knows what it holds: the next run drops it, and asks anew."""
        bench.die_after_commit({**ROWS, 3: "c"})
        (name,) = bench.segments
        (bench.journal / name).write_bytes(b"half")
        done = bench.gc("--delete").stdout
        assert "keep" in done
        assert name in done
        assert bench.segments == {name}

    def test_one_of_a_column_whose_file_is_broken_is_kept(self, bench: StoreToClean) -> None:
        """What the file has held is not known."""
        bench.die_after_commit({**ROWS, 3: "c"})
        bench.path.write_bytes(b"no parquet")
        assert "keep" in bench.gc("--delete").stdout
        assert bench.segments

    def test_files_of_others_in_it_stay(self, bench: StoreToClean) -> None:
        """Only segments are removed."""
        bench.die_after_commit({**ROWS, 3: "c"})
        note = bench.journal / "note.txt"
        note.write_text("mine")
        bench.gc("--delete")
        assert list(bench.journal.iterdir()) == [note]


class TestWhatIsLeft:
    def test_a_write_that_was_broken_off_is_removed(self, bench: StoreToClean) -> None:
        """Once nothing was written to it for a day: until then it may be in the making."""
        old, new = (bench.companions / f".c.parquet.{digit * 32}.tmp" for digit in "01")
        for path in (old, new):
            path.write_bytes(b"half")
        os.utime(old, DAYS_AGO)
        bench.gc("--delete")
        assert not old.exists()
        assert new.exists()

    def test_a_half_written_segment_is_removed_with_its_folder(self, bench: StoreToClean) -> None:
        """It holds nothing that can be read."""
        bench.journal.mkdir()
        half = bench.journal / f".{'0' * 20}-{'0' * 8}.arrow.{'0' * 32}.tmp"
        half.write_bytes(b"half")
        os.utime(half, DAYS_AGO)
        assert "a write that was broken off" in bench.gc("--delete").stdout
        assert not bench.journal.exists()

    def test_a_sidecar_without_its_file_is_removed(self, bench: StoreToClean) -> None:
        """It tells of cells that are nowhere."""
        bench.path.unlink()
        bench.gc("--delete")
        assert bench.files == {"tickets/tickets.parquet"}

    def test_the_lock_of_a_dead_run_is_removed(self, bench: StoreToClean) -> None:
        """It locks nothing, and nobody else takes it away from a partition that is not computed again."""
        lock = bench.companions / "c.lock"
        lock.write_text(json.dumps({"run_id": "run-1", "host": "here", "pid": 7}))
        assert "lock" not in bench.gc("--delete").stdout
        os.utime(lock, DAYS_AGO)
        assert "process 7 on here" in bench.gc("--delete").stdout
        assert not lock.exists()

    def test_a_lock_that_is_held_stays(self, bench: StoreToClean) -> None:
        """However long ago it was taken."""
        lock = bench.companions / "c.lock"

        async def while_claimed() -> Result:
            async with hold_claim(bench.store.file(KEY), "run-17"):
                os.utime(lock, DAYS_AGO)
                done = await asyncio.to_thread(bench.gc, "--delete")
                assert lock.exists()
                return done

        assert "run-17" in asyncio.run(while_claimed()).stdout

    def test_the_claim_of_a_dead_run_is_removed(self, openai: OpenAIResource, tmp_path: Path) -> None:
        """On an object store, where a live one is written anew every few seconds."""
        bench = StoreToClean(tmp_path, openai, f"memory://{uuid.uuid4().hex}")
        claim = journal_folder(bench.store.file(KEY)) / f"{'0' * 32}.claim"
        claim.parent.mkdir(parents=True, exist_ok=True)
        claim.write_text(json.dumps({"run_id": "run-1", "host": "elsewhere", "pid": 7}))
        assert bench.find() == []

        def clock() -> float:
            return time.time() + 100_000

        def pause(_end: threading.Event, _seconds: float) -> None: ...

        (found,) = find_leftovers(bench.store, bench.defined, clock=clock)
        assert found.path == claim
        remove_leftover(found, bench.store, bench.defined, clock=clock, pause=pause)
        assert not claim.exists()


class TestMeanwhile:
    def test_a_journal_that_has_grown_is_kept(self, bench: StoreToClean, server: ScriptedServer) -> None:
        """A run that began after the look, and was killed, has paid for more."""
        bench.die_after_commit({**ROWS, 3: "c"})
        (found,) = bench.find()
        assert (found.kept, found.reason) == (False, STORED)
        bench.die_before_commit({0: "new", **ROWS}, server, "new")
        before = bench.segments
        now = bench.remove(found)
        assert now is not None
        assert now.kept
        assert bench.segments == before

    def test_a_sidecar_whose_file_has_come_is_kept(self, bench: StoreToClean) -> None:
        """A commit writes it first."""
        bench.path.unlink()
        (found,) = bench.find()
        bench.run(ROWS)
        assert bench.remove(found) is None
        assert len(bench.provenance) == 2

    def test_what_is_claimed_is_skipped(self, bench: StoreToClean) -> None:
        """A computation that runs keeps its files, and is named."""
        bench.die_after_commit({**ROWS, 3: "c"})

        async def while_claimed() -> Result:
            async with hold_claim(bench.store.file(KEY), "run-17"):
                return await asyncio.to_thread(bench.gc, "--delete")

        done = asyncio.run(while_claimed())
        assert "skip" in done.stdout
        assert "run-17" in done.stdout
        assert bench.segments

    def test_what_has_changed_is_said(self, bench: StoreToClean, monkeypatch: pytest.MonkeyPatch) -> None:
        """And is not counted as removed."""
        bench.path.unlink()
        found = bench.find()
        bench.run(ROWS)
        monkeypatch.setattr("pxt_assets.cli.cleaning_view.find_leftovers", lambda *_: found)
        done = bench.gc("--delete").stdout
        assert "meanwhile" in done
        assert "removed 0 things" in done
