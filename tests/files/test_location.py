"""Which files a pattern and a partition name, and what is said where there are none."""

import traceback
import uuid

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pxt_assets.errors import DefinitionError, SourceError
from pxt_assets.files import read_files


def ids(pattern, **options):
    return read_files(str(pattern), **options).read_all()["id"].to_pylist()


def refusal(pattern, **options):
    with pytest.raises(SourceError) as refused:
        read_files(str(pattern), **options).read_all()
    return str(refused.value)


@pytest.fixture
def folder(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(path.name + ".csv").write_text(f"id\n{text}\n")
        return tmp_path

    return write


def test_a_partition_reads_the_file_of_its_name(folder):
    """`{partition_key}` stands for the key."""
    data = folder(monday="m", tuesday="t")
    assert ids(data / "{partition_key}.csv", partition_key="tuesday") == ["t"]


def test_a_partition_may_be_a_glob_read_in_path_order(folder):
    """All files that match are one table, in sorted path order."""
    data = folder(mon__b="2", mon__a="1", tue__a="3", mon__c="x")
    assert ids(data / "{partition_key}" / "[ab].csv", partition_key="mon") == [1, 2]


def test_two_stars_match_folders_at_any_depth(folder):
    """`**` stands for any number of folders, none included."""
    data = folder(a="1", x__b="2", x__y__c="3")
    assert ids(data / "**" / "*.csv") == [1, 2, 3]


def test_dimensions_have_placeholders_of_their_own(folder):
    """A multi-dimensional key is named part by part."""
    data = folder(eu__mon="1", us__mon="2")
    where = {"region": "us", "day": "mon"}
    assert ids(data / "{region}" / "{day}.csv", partition_key="mon|us", dimensions=where) == [2]


def test_a_relative_path_may_stand_below_a_folder_with_brackets_in_its_name(tmp_path, monkeypatch):
    """Only the pattern itself globs, not the working directory."""
    (tmp_path / "old [1]").mkdir()
    (tmp_path / "old [1]" / "a.csv").write_text("id\n1\n")
    monkeypatch.chdir(tmp_path / "old [1]")
    assert ids("*.csv") == ids("./*.csv") == [1]


@pytest.mark.parametrize("key", ["a*", "a?", "[ab]", "{x}", "~", "a::b", "ü ?#%"])
def test_special_characters_of_a_key_are_taken_literally(tmp_path, key):
    """Untrusted keys neither glob nor expand, whether the pattern globs or not."""
    (tmp_path / "sub").mkdir()
    for folder in (tmp_path, tmp_path / "sub"):
        (folder / f"{key}.csv").write_text("id\n1\n")
        (folder / "ab.csv").write_text("id\n2\n")
    assert ids(tmp_path / "{partition_key}.csv", partition_key=key) == [1]
    assert ids(tmp_path / "sub*" / "{partition_key}.csv", partition_key=key) == [1]


@pytest.mark.parametrize("key", ["../secret", "..", ".", "a/b", "a\\b", "a\0b", "", "/etc/passwd"])
def test_a_key_cannot_leave_the_folder_of_the_pattern(folder, key):
    """Separators, dots that are a folder of their own, NUL and nothing at all are refused."""
    data = folder(secret="s", data__x="1")
    refusal(data / "data" / "{partition_key}" / "secret.csv", partition_key=key)
    assert "partition" in refusal(data / "data" / "{partition_key}" / "*.csv", partition_key=key)


def test_two_harmless_dots_are_part_of_a_name(folder):
    """A range such as 2027-01..2027-02 is a key like any other."""
    assert ids(folder(**{"1..2": "x"}) / "{partition_key}.csv", partition_key="1..2") == ["x"]


def test_a_key_cannot_complete_a_dot_to_two(folder):
    """What counts is the folder that comes of key and pattern together."""
    data = folder(secret="s", data__x="1")
    assert "leads out" in refusal(data / "data" / ".{partition_key}" / "secret.csv", partition_key=".")


def test_a_missing_partition_names_pattern_key_and_what_there_is(folder):
    """The message tells the pattern, the partition and up to five files that the folder holds."""
    data = folder(a="1", b="1", c="1", d="1", e="1", f="1", g="1")
    message = refusal(data / "{partition_key}.csv", partition_key="2027-03-09")
    assert str(data / "{partition_key}.csv") in message
    assert "partition '2027-03-09'" in message
    assert "holds a.csv, b.csv, c.csv, d.csv, e.csv and 2 more" in message
    assert "a.csv" in refusal(data / "x*.csv")


def test_a_missing_folder_is_named(tmp_path):
    """No folder is another mistake than no file."""
    assert f"there is no folder {tmp_path / 'nowhere'}" in refusal(tmp_path / "nowhere" / "*.csv")


def test_a_folder_in_place_of_a_file_is_told_apart(tmp_path):
    """Spark writes folders that are named like files."""
    (tmp_path / "x.parquet").mkdir()
    assert "is a folder" in refusal(tmp_path / "x.parquet")


def test_urls_are_read_through_fsspec(tmp_path):
    """memory:// and file:// do as local paths do, globs included."""
    name = uuid.uuid4().hex
    fsspec.filesystem("memory").pipe({f"/{name}/a.csv": b"id\n1\n", f"/{name}/b.csv": b"id\n2\n"})
    assert ids(f"memory://{name}/*.csv") == [1, 2]
    assert ids(f"memory://{name}/{{partition_key}}.csv", partition_key="b") == [2]
    assert f"memory://{name}" in refusal(f"memory://{name}/c.csv").replace(":///", "://")
    (tmp_path / "a.csv").write_text("id\n7\n")
    assert ids(f"file://{tmp_path}/a.csv") == [7]


def test_a_pattern_is_checked_before_anything_is_opened(tmp_path):
    """A pattern that does not suit the partition is a mistake in the definition."""
    with pytest.raises(DefinitionError):
        read_files(str(tmp_path / "{partition_key}.csv"))


def test_an_unknown_protocol_names_the_pattern():
    """What fsspec does not know is a SourceError like any other."""
    assert "nope://x/a.csv" in refusal("nope://x/a.csv")


class _Locked(MemoryFileSystem):
    protocol = "locked"

    def info(self, path, **kwargs):
        raise PermissionError(f"ann:s3cr3t may not read {path}; token=t0ken-of-ann")


def test_storage_errors_are_wrapped_without_secrets():
    """Neither storage options nor a URL's password appear in the message, nor in the traceback's chain."""
    fsspec.register_implementation("locked", _Locked, clobber=True)
    with pytest.raises(SourceError) as refused:
        read_files("locked://ann:s3cr3t@host/a.csv", storage_options={"auth": {"token": "t0ken-of-ann"}})
    text = "".join(traceback.format_exception(refused.value))
    assert "PermissionError" in str(refused.value)
    assert "host/a.csv" in str(refused.value)
    assert "s3cr3t" not in str(refused.value)
    assert "t0ken-of-ann" not in str(refused.value)
    assert "The above exception" not in text
    assert "During handling" not in text
