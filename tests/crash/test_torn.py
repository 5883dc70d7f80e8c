"""What a host that crashed left behind on a local disk: each is found, and gone on from."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from pxt_assets import ColumnStore, OpenAIResource
from tests.crash.attempt import Seen
from tests.scripted_server import ScriptedServer
from tests.tickets import Tickets

ROWS = {1: "a", 2: "b", 3: "c", 4: "d", 5: "e", 6: "f"}
REFRESH = {"refresh": True}


def staged(folder: Path, segments: list[Path]) -> None:
    """Files that were being written: the column's, its sidecar's, and a segment's."""
    for path in (folder / "c.parquet", folder / "c.provenance", segments[0]):
        path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp").write_bytes(segments[0].read_bytes()[:100])


def truncated(_: Path, segments: list[Path]) -> None:
    """A segment of which only the beginning reached the disk."""
    whole = segments[0].read_bytes()
    segments[0].write_bytes(whole[: len(whole) // 2])


def empty(_: Path, segments: list[Path]) -> None:
    """A segment of which only the name reached the disk."""
    segments[0].write_bytes(b"")


def lock(folder: Path, _: list[Path]) -> None:
    """The lock file of a process that is no more."""
    (folder / "c.lock").write_text(json.dumps({"run_id": "r", "host": "gone", "machine": 1, "pid": 1}))


def half_a_lock(folder: Path, _: list[Path]) -> None:
    """A lock file into which its owner had not written yet."""
    (folder / "c.lock").write_text("")


def refresh_begun(_: Path, segments: list[Path]) -> None:
    """The mark of a refresh that had computed nothing yet."""
    name = segments[-1].name.replace("-", "9-", 1)[1:]  # sorts after it
    segments[-1].with_name(name).with_suffix(".refresh").write_bytes(b"")


@pytest.fixture
def seen(
    store: ColumnStore, openai: OpenAIResource, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> Seen:
    """A store whose journal has two segments, of a and b, and of c and d."""
    monkeypatch.setattr(
        "pxt_assets.compute.cells.journal.FLUSH_SECONDS", 3_600.0
    )  # each run's last flush writes all
    tickets, seen = Tickets(store, openai), Seen(store)
    for rows in (2, 4):
        tickets.run(ROWS, config={"limit": rows})
    assert [seen.in_segment(name) for name in seen.segments] == [{"a", "b"}, {"c", "d"}]
    server.forget()
    return seen


def folder_of(seen: Seen) -> Path:
    return Path(seen.store.base_path) / ".pxt_assets" / "tickets" / "c"


def tear(seen: Seen, torn: Callable[[Path, list[Path]], None]) -> None:
    folder = folder_of(seen)
    torn(folder, [folder / "c.journal" / name for name in seen.segments])


@pytest.mark.parametrize(
    ("torn", "asked"),
    [
        (staged, ["e", "f"]),
        (truncated, ["a", "b", "e", "f"]),
        (empty, ["a", "b", "e", "f"]),
        (lock, ["e", "f"]),
        (half_a_lock, ["e", "f"]),
        (refresh_begun, ["e", "f"]),
    ],
)
def test_a_run_goes_on(
    torn: Callable[[Path, list[Path]], None],
    asked: list[str],
    seen: Seen,
    openai: OpenAIResource,
    server: ScriptedServer,
) -> None:
    """Only what cannot be read is asked for again, and nothing that readers see is left besides the column."""
    tear(seen, torn)
    Tickets(seen.store, openai).run(ROWS)
    assert server.texts == asked
    assert seen.answered == set(ROWS.values())
    assert seen.is_whole()


def test_a_refresh_goes_on_from_its_mark(seen: Seen, openai: OpenAIResource, server: ScriptedServer) -> None:
    """What was computed before the mark is computed anew, what was computed since is not."""
    tear(seen, refresh_begun)
    (mark,) = (folder_of(seen) / "c.journal").glob("*.refresh")
    first, _ = seen.segments
    since = mark.with_name(f"{int(mark.name.partition('-')[0]) + 1:020d}-since.arrow")
    (folder_of(seen) / "c.journal" / first).rename(since)
    Tickets(seen.store, openai).run(ROWS, config=REFRESH)
    assert server.texts == ["c", "d", "e", "f"]
    assert seen.is_whole()


def test_torn_segments_of_a_stored_column(seen: Seen, openai: OpenAIResource, server: ScriptedServer) -> None:
    """What is stored is not asked for again, though the journal that it came from lost it."""
    Tickets(seen.store, openai).run(ROWS)
    server.forget()
    folder = folder_of(seen) / "c.journal"
    folder.mkdir()
    (folder / f"{1:020d}-x.arrow").write_bytes(b"ARROW1")
    before = seen.file
    Tickets(seen.store, openai).run(ROWS)
    assert server.texts == []
    assert seen.file == before
