"""What is on record of a table's files."""

import os

import dagster as dg

from pxt_assets import ColumnStore
from pxt_assets.files.assigned import AssignedFile
from pxt_assets.storage.files_record import Asked, FilesRecord

KEY = dg.AssetKey(["raw", "tickets"])
FILES = {
    path: AssignedFile(path, partition, 10, "v1")
    for path, partition in {"a.csv": "p1", os.fsdecode(b"odd\xff.csv"): "p2", "b.csv": "p1"}.items()
}


def record(base: object) -> FilesRecord:
    return FilesRecord(ColumnStore(base_path=str(base)), KEY)


def test_files_are_as_they_were_assigned(tmp_path):
    """In order, names included that are no text; or those of some partitions."""
    assert record(tmp_path).assigned() == {}
    record(tmp_path).assign(FILES)
    assert [*record(tmp_path).assigned().items()] == [*FILES.items()]
    assert [*record(tmp_path).assigned(["p1"])] == ["a.csv", "b.csv"]
    assert [path.name for path in (tmp_path / ".pxt_assets/raw/tickets").iterdir()] == ["files.assigned"]


def test_a_cursor_names_what_was_asked_for(tmp_path):
    """That of a tick that came to nothing names what it was before."""
    first = record(tmp_path).request({"p1": Asked("d1")}, None)
    lost = record(tmp_path).request({"p1": Asked("d2")}, first)
    second = record(tmp_path).request({"p1": Asked("d1"), "p2": Asked("d2")}, first)
    assert record(tmp_path).requested(first) == {"p1": Asked("d1")}
    assert record(tmp_path).requested(second) == {"p1": Asked("d1"), "p2": Asked("d2")}
    assert len({first, second, lost}) == 3


def test_what_dagster_has_gone_past_is_removed(tmp_path):
    """Of a thousand ticks two are left."""
    cursor = None
    for i in range(5):
        cursor = record(tmp_path).request({"p": Asked(f"{i}")}, cursor)
    left = [path.name for path in (tmp_path / ".pxt_assets/raw/tickets").iterdir()]
    assert f"files.requested-{cursor}" in left
    assert len(left) == 2


def test_an_unknown_cursor_has_asked_for_nothing(tmp_path):
    """Somebody may have reset it, or written another one."""
    record(tmp_path).request({"p": Asked("d")}, None)
    for cursor in (None, "", "0" * 32, "../../files", "{}"):
        assert record(tmp_path).requested(cursor) == {}
    assert record(tmp_path).request({"p": Asked("d")}, "../../files")


def test_records_lie_on_object_stores_too():
    """Where no process sees an old listing."""
    one, other = record("memory://files-record"), record("memory://files-record")
    assert other.assigned() == {}
    one.assign(FILES)
    assert other.assigned() == FILES
