"""Files as partitions: what a listing tells of them."""

import os
from pathlib import Path

import fsspec
import pytest

from pxt_assets.errors import DefinitionError
from pxt_assets.files.listing import check_listable, files_at, folder_of, list_files, nothing_found_text
from pxt_assets.types import Audio, Image
from tests.s3_server import s3_server


def test_files_are_listed_by_their_paths_below_the_patterns_folder(folder):
    """In order, and of nested folders; the wildcards begin where the folder ends."""
    root = folder("b.csv", "a.csv", "year=2027/c.csv", "year=2027/month=03/d.csv", "e.txt")
    assert [*list_files(f"{root}/*.csv", {}, {})] == ["a.csv", "b.csv"]
    assert [*list_files(f"{root}/**/*.csv", {}, {})] == [
        "a.csv",
        "b.csv",
        "year=2027/c.csv",
        "year=2027/month=03/d.csv",
    ]
    assert [*list_files(f"{root}/year=*/*.csv", {}, {})] == ["year=2027/c.csv"]


def test_what_is_hidden_or_not_finished_is_no_file(folder):
    """As Spark and rsync leave them: `_temporary/`, `.part-0.csv.Xy`."""
    root = folder("a.csv", ".b.csv", "_temporary/0/c.csv", ".git/d.csv", "_e.csv")
    assert [*list_files(f"{root}/**/*.csv", {}, {})] == ["_e.csv", "a.csv"]
    assert [*list_files(f"{root}/.*.csv", {}, {})] == [".b.csv"]


def test_a_hidden_folder_that_the_pattern_names_is_read(folder):
    """What its wildcards find is not."""
    root = folder("_old/a.csv", "x/_tmp/b.csv", "x/.c/d.csv", "x/_tmp/_e/f.csv")
    assert [*list_files(f"{root}/_*/*.csv", {}, {})] == ["_old/a.csv"]
    assert [*list_files(f"{root}/**/_tmp/*.csv", {}, {})] == ["x/_tmp/b.csv"]


def test_only_what_can_be_read_is_a_file(folder):
    """A pipe would be waited for, a link may lead nowhere, and what is empty holds no rows."""
    root = folder("a.csv", "sub/b.csv")
    os.mkfifo(f"{root}/pipe.csv")
    Path(f"{root}/dangling.csv").symlink_to("gone")
    Path(f"{root}/folder.csv").symlink_to("sub")
    Path(f"{root}/link.csv").symlink_to("sub/b.csv")
    Path(f"{root}/empty.csv").touch()
    listed = list_files(f"{root}/*.csv", {}, {})
    assert [*listed] == ["a.csv", "link.csv"]
    names = ["a.csv", "pipe.csv", "dangling.csv", "folder.csv", "link.csv", "empty.csv"]
    assert [f.name.rpartition("/")[2] for f in files_at(f"{root}/*.csv", names, {}, {})] == [
        "a.csv",
        "link.csv",
    ]
    os.utime(f"{root}/sub/b.csv", (2e9, 2e9))
    assert list_files(f"{root}/*.csv", {}, {})["link.csv"] != listed["link.csv"]


def test_a_relative_pattern_is_meant_from_where_one_is(folder, monkeypatch):
    """Even if that folder's name has wildcards in it."""
    folder("odd [1]*/data/a.csv", "odd 1/data/b.csv")
    monkeypatch.chdir(folder() / "odd [1]*")
    assert [*list_files("data/*.csv", {}, {})] == ["a.csv"]
    assert [*list_files("./data/*.csv", {}, {})] == ["a.csv"]
    assert [file.name for file in files_at("data/*.csv", ["a.csv", "gone.csv"], {}, {})] == [
        f"{folder()}/odd [1]*/data/a.csv"
    ]


def test_a_folder_of_media_has_the_files_of_that_kind(folder):
    """Whatever else is in it."""
    root = folder("a.jpg", "b.PNG", "c.mp3", "notes.txt")
    assert [*list_files(f"{root}/", {"image": Image}, {})] == ["a.jpg", "b.PNG"]
    assert [*list_files(f"{root}", {"audio": Audio}, {})] == ["c.mp3"]


def test_there_may_be_no_files_yet(folder):
    """They are to arrive."""
    assert list_files(f"{folder()}/*.csv", {}, {}) == {}
    assert list_files(f"{folder()}/nothing/**/*.csv", {}, {}) == {}
    assert list_files(f"{folder()}/a.csv", {}, {}) == {}
    assert folder_of(f"{folder()}/nothing/**/*.csv", {}, {}) == f"{folder()}/nothing"


@pytest.mark.parametrize("change", ["contents", "time"])
def test_a_changed_file_has_another_version(folder, change):
    """By its size, or by its time."""
    path = folder("a.csv") / "a.csv"
    os.utime(path, (1e9, 1e9))
    pattern = f"{folder()}/*.csv"
    before = list_files(pattern, {}, {})["a.csv"]
    assert list_files(pattern, {}, {})["a.csv"] == before
    assert before.modified == 1e9
    if change == "contents":
        path.write_bytes(b"more of it")
        os.utime(path, (1e9, 1e9))
    else:
        os.utime(path, (1e9, 1e9 + 1))
    assert list_files(pattern, {}, {})["a.csv"].version != before.version


def test_objects_of_a_bucket_are_whole_and_told_apart_by_their_tags():
    """However many pages of a thousand the listing has."""
    with s3_server() as options:
        fs = fsspec.filesystem("s3", **options, skip_instance_cache=True)
        fs.pipe({f"bucket/in/d{i % 7}/{i:04}.csv": b"a\n1" for i in range(1_100)})
        before = list_files("s3://bucket/in/**/*.csv", {}, options)
        assert len(before) == 1_100
        assert [*before] == sorted(before)
        assert {one.modified for one in before.values()} == {None}
        fs.pipe("bucket/in/d0/0000.csv", b"a\n2")  # of the same size, and within the same second
        after = list_files("s3://bucket/in/**/*.csv", {}, options)
        assert [path for path in before if after[path].version != before[path].version] == ["d0/0000.csv"]
        (file,) = files_at("s3://bucket/in/**/*.csv", ["d0/0000.csv"], {}, options)
        with file.open() as opened:
            assert opened.read() == b"a\n2"
        assert file.name == "s3://bucket/in/d0/0000.csv"


def test_a_bucket_that_is_not_there_is_told():
    """A name may be wrong."""
    with s3_server(secret="very-secret") as options:
        assert list_files("s3://other/in/*.csv", {}, options) == {}
        said = nothing_found_text("s3://other/in/*.csv", {}, options)
    assert said == "no file matches s3://other/in/*.csv; there is no folder s3://other/in"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("data/{partition_key}.csv", "a placeholder needs partitions_def"),
        ("https://host/data/*.csv", "only a folder or a bucket can list its files"),
        ("zip://*.csv::s3://bucket/a.zip", "only a folder or a bucket can list its files"),
    ],
)
def test_what_has_no_list_of_files_is_refused(pattern, message):
    """While definitions load."""
    with pytest.raises(DefinitionError, match=message):
        check_listable(pattern)
