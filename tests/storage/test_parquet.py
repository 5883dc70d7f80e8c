import tempfile
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from pxt_assets.errors import RunError, SourceError
from pxt_assets.storage.atomic_file import is_local, remove, replace_atomically
from pxt_assets.storage.batches import BATCH_BYTES
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.conversion import to_arrow, to_python
from pxt_assets.values.types import Json


@pytest.fixture(params=["local", "file", "memory"])
def folder(request, tmp_path):
    """A folder on a local disk, the same as a URL, and in an object store."""
    if request.param == "memory":
        return UPath(f"memory://{uuid.uuid4().hex}/columns")
    return UPath(f"file://{tmp_path}/columns" if request.param == "file" else tmp_path / "columns")


def names(folder: UPath) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def table(*ids: int) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64()), "r": to_arrow([{"n": i} for i in ids], Json)})


class WriteError(Exception):
    pass


class TestReplacing:
    def test_the_file_appears_when_the_block_ends(self, folder):
        """What is written is nowhere to be seen until it is complete."""
        path = folder / "a.bin"
        with replace_atomically(path) as staged:
            staged.write_bytes(b"new")
            assert not path.exists()
        assert path.read_bytes() == b"new"
        assert names(folder) == ["a.bin"]

    def test_an_error_leaves_the_old_file_and_nothing_else(self, folder):
        """A write that was broken off leaves no trace."""
        path = folder / "a.bin"
        with replace_atomically(path) as staged:
            staged.write_bytes(b"old")
        seen: list[Path] = []

        def broken_off() -> None:
            with replace_atomically(path) as staged:
                seen.append(staged)
                staged.write_bytes(b"half")
                raise WriteError

        with pytest.raises(WriteError):
            broken_off()
        assert path.read_bytes() == b"old"
        assert names(folder) == ["a.bin"]
        assert not seen[0].exists()

    def test_an_error_before_anything_was_written_is_the_error(self, folder):
        """The first write may fail as well as the last."""
        with pytest.raises(WriteError), replace_atomically(folder / "a.bin"):
            raise WriteError
        assert names(folder) == []

    def test_readers_of_the_old_file_are_not_disturbed(self, tmp_path):
        """A file that is open keeps its content while another takes its place."""
        path = UPath(tmp_path) / "a.bin"
        path.write_bytes(b"old")
        with Path(path.path).open("rb") as reader:
            with replace_atomically(path) as staged:
                staged.write_bytes(b"new")
            assert reader.read() == b"old"

    def test_an_object_store_without_a_temporary_folder_says_what_to_do(self, monkeypatch):
        """Files go there through one, which a container with a read-only disk may lack."""

        def refuse(**_):
            raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

        monkeypatch.setattr(tempfile, "mkdtemp", refuse)
        path = UPath(f"memory://{uuid.uuid4().hex}/a.bin")
        with (
            pytest.raises(RunError, match=r"found in \['/tmp'\]\); set TMPDIR to a folder with room"),
            replace_atomically(path),
        ):
            pass
        assert not path.exists()


def test_a_file_that_is_gone_may_be_removed(folder):
    """Removing is about the state after it."""
    path = folder / "a.bin"
    remove(path)
    with replace_atomically(path) as staged:
        staged.write_bytes(b"x")
    remove(path)
    assert not path.exists()


class TestParquetFile:
    def test_what_is_written_is_read(self, folder):
        """Rows, types, metadata and size come back."""
        file = ParquetFile(folder / "a.parquet")
        assert not file.exists()
        assert (
            file.write(table().schema, [table(1, 2), table(), table(3)], {"simulated": True, "é": [1]}) == 3
        )
        assert file.exists()
        rows = file.rows()
        assert rows.num_rows == 3
        assert rows.simulated
        assert file.metadata == {"simulated": True, "é": [1]}
        assert file.schema.field("r").type == Json.arrow()
        assert to_python(rows.table(["r"])["r"]) == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert file.size_bytes == len((folder / "a.parquet").read_bytes())

    def test_a_batch_is_a_row_group(self, folder):
        """What is written together is read together; empty batches leave no trace."""
        file = ParquetFile(folder / "a.parquet")
        file.write(table().schema, [table(1, 2), table(), *table(3).to_batches()], {})
        with file.open() as opened:
            sizes = [opened.metadata.row_group(i).num_rows for i in range(opened.metadata.num_row_groups)]
        assert sizes == [2, 1]

    def test_no_rows_are_a_file_with_columns(self, folder):
        """An empty partition is stored, and told apart from one that was never made."""
        file = ParquetFile(folder / "a.parquet")
        assert file.write(table().schema, [], {}) == 0
        assert file.schema.names == ["id", "r"]
        assert file.rows().table(["id"]).num_rows == 0

    def test_a_failed_write_leaves_the_old_content_readable(self, folder):
        """Readers never see half a column."""
        file = ParquetFile(folder / "a.parquet")
        file.write(table().schema, [table(1)], {"version": 1})

        def broken():
            yield table(2)
            raise WriteError

        with pytest.raises(WriteError):
            file.write(table().schema, broken(), {"version": 2})
        for reader in (file, ParquetFile(folder / "a.parquet")):
            assert reader.rows().table(["id"])["id"].to_pylist() == [1]
            assert reader.metadata == {"version": 1}
        assert names(folder) == ["a.parquet"]

    def test_a_rewritten_file_is_read_anew(self, folder):
        """What was known of the old content is forgotten."""
        file = ParquetFile(folder / "a.parquet")
        file.write(table().schema, [table(1)], {"version": 1})
        assert file.rows().num_rows == 1
        file.write(pa.schema([("x", pa.string())]), [pa.table({"x": ["a", "b"]})], {})
        assert file.rows().num_rows == 2
        assert file.schema.names == ["x"]
        assert file.metadata == {}

    def test_rows_are_of_one_version(self, folder):
        """Reading on after another file has taken the first one's place is refused, also where the two are as long."""
        file = ParquetFile(folder / "a.parquet")
        file.write(table().schema, [table(1, 2)], {})
        rows = file.rows()
        assert rows.table(["id"])["id"].to_pylist() == [1, 2]
        ParquetFile(folder / "a.parquet").write(table().schema, [table(3, 4)], {})
        with pytest.raises(SourceError, match=r"a\.parquet was materialized meanwhile; materialize again"):
            rows.table(["id"])
        with pytest.raises(SourceError, match=r"a\.parquet was materialized meanwhile"), rows.keep_open():
            list(rows.batches(["id"], 1)) if is_local(folder) else rows.table(["id"])
        assert rows.latest().table(["id"])["id"].to_pylist() == [3, 4]

    def test_rows_that_are_gone_are_told(self, folder):
        """A removed file is another version, too."""
        file = ParquetFile(folder / "a.parquet")
        file.write(table().schema, [table(1)], {})
        rows = file.rows()
        remove(file.path)
        with pytest.raises(SourceError, match="was materialized meanwhile"):
            rows.table(["id"])

    def test_an_open_file_is_read_to_its_end(self, tmp_path):
        """On a local disk, whatever takes its place; it may be read several times at once."""
        file = ParquetFile(UPath(tmp_path) / "a.parquet")
        file.write(table().schema, [table(1, 2), table(3)], {})
        rows = file.rows()
        with rows.keep_open():
            ParquetFile(file.path).write(table().schema, [table(9)], {})
            remove(file.path)
            in_step = zip(rows.batches(["id"], 1), rows.batches(["r"], 1), strict=True)
            assert [(a["id"][0].as_py(), to_python(b["r"])) for a, b in in_step] == [
                (i, [{"n": i}]) for i in (1, 2, 3)
            ]

    def test_long_rows_are_read_few_at_once(self, folder):
        """Decoding a whole row group of long texts would take its size in memory, of the columns asked for."""
        file = ParquetFile(folder / "a.parquet")
        content = pa.table({"id": range(300), "t": [f"{i:05}" * 20_000 for i in range(300)]})
        file.write(content.schema, [content], {})
        assert all(batch.nbytes <= BATCH_BYTES for batch in file.rows().batches(["t", "id"], 300))
        assert [batch.num_rows for batch in file.rows().batches(["id"], 300)] == [300]

    def test_columns_come_in_the_order_asked_for(self, folder):
        """Whatever their order in the file; a dot in a name is no path, and its prefix is another column."""
        file = ParquetFile(folder / "a.parquet")
        content = pa.table({"a": [1], "b": [2], "a.b": [3]})
        file.write(content.schema, [content], {})
        (batch,) = file.rows().batches(["b", "a"], 10)
        assert batch.to_pylist() == [{"b": 2, "a": 1}]
        assert file.rows().table(["a.b"]).to_pylist() == [{"a.b": 3}]

    def test_batches_have_the_size_asked_for(self, folder):
        """Row groups do not show."""
        file = ParquetFile(folder / "a.parquet")
        file.write(table().schema, [table(*range(5)), table(*range(5, 12))], {})
        batches = list(file.rows().batches(["id"], 4))
        assert [b.num_rows for b in batches] == [4, 4, 4]
        assert [i for b in batches for i in b["id"].to_pylist()] == list(range(12))

    def test_files_of_other_programs_have_no_metadata(self, tmp_path):
        """A file that somebody else wrote can be read."""
        pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
        file = ParquetFile(UPath(tmp_path) / "a.parquet")
        assert file.metadata == {}
        assert not file.rows().simulated

    def test_a_missing_file_is_named(self, folder):
        """Reading what is not there is FileNotFoundError."""
        with pytest.raises(FileNotFoundError, match=r"absent\.parquet"):
            ParquetFile(folder / "absent.parquet").rows()

    def test_a_local_uri_is_an_absolute_path(self, tmp_path, monkeypatch):
        """The UI shows where the file is, whatever the working directory was."""
        monkeypatch.chdir(tmp_path)
        assert ParquetFile(UPath("data") / "a.parquet").uri == str(tmp_path / "data" / "a.parquet")

    def test_a_stores_uri_has_no_credentials(self):
        """What the UI shows may be seen by all."""
        path = UPath("memory://bucket/a.parquet", token="secret")
        assert not is_local(path)
        assert ParquetFile(path).uri == "memory://bucket/a.parquet"


def test_a_broken_file_is_named(tmp_path):
    """What is no Parquet file, or cut short, is told with its path and what to do."""
    path = tmp_path / "c.parquet"
    path.write_bytes(b"PAR1 and then nothing of use")
    with pytest.raises(SourceError, match=r"c\.parquet is no Parquet file .* remove it"):
        ParquetFile(UPath(path)).rows()
