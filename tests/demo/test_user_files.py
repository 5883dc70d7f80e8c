"""Files of the user's own for the demo: what is found, what is refused, and with which remedy."""

import gzip

import pytest

from pxt_assets.demo.definitions import defs
from pxt_assets.demo.user_files import COMPUTED, UserFiles, find_user_files, in_options
from pxt_assets.demo.user_table import user_table
from pxt_assets.errors import DefinitionError, SourceError


@pytest.fixture
def find(tmp_path):
    """Writes files, and looks for columns in them: in the folder, or in the file alone that is named."""

    def write_and_find(contents, alone=None, key="id", text="body", separator=None, encoding="utf-8"):
        for name, content in contents.items():
            data = content if isinstance(content, bytes) else content.encode()
            (tmp_path / name).write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)
        path = tmp_path / alone if alone else tmp_path
        return find_user_files(path, key=key, text=text, separator=separator, encoding=encoding)

    return write_and_find


@pytest.fixture
def refusal(find):
    def refuse(contents, alone=None, **options):
        with pytest.raises((SourceError, DefinitionError)) as refused:
            find(contents, alone, **options)
        return in_options(str(refused.value))

    return refuse


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "id,body\n1,x\n"),
        ("t.CSV", "id;body\n1;x\n"),
        ("T [1].csv", "id\tbody\n1\tx\n"),
        ("t.Csv.GZ", "id|body\n1|x\n"),
        ("t.jsonl", '{"id": 1}\n{"body": "x"}\n'),
        ("t.ndjson.gz", '{"id": 1, "body": "x"}\n'),
    ],
)
def test_a_file_alone_is_a_table_without_partitions(find, tmp_path, name, content):
    """Of any format, in any case of its suffix, also gzipped."""
    files, found = find({name: content}, name)
    assert not files.is_partitioned
    assert files.partitions == ()
    assert f"{name}: columns `id`, `body`" in found


def test_a_folder_has_a_partition_for_each_file(find):
    """Other files in it are left out."""
    files, found = find(
        {"b.csv": "id;body\n", "a.csv": "id;body\n", "read.me": "", ".c.csv": "", "~$a.xlsx": ""}
    )
    assert files.partitions == ("a", "b")
    assert files.pattern.endswith("/{partition_key}.csv")
    assert "2 files, columns `id`, `body`, separated by ;" in found


def test_files_of_a_folder_with_other_columns_are_named(find):
    """They are read all the same, as long as they have the two that are needed."""
    _, found = find({"a.csv": "id,body\n", "b.csv": "id,body,mood\n", "c.csv": "body,id\n"})
    assert found.endswith("separated by ,; b.csv has other columns, too")


def test_the_files_of_a_folder_may_differ_in_the_case_of_their_suffixes(find):
    """Each is a partition of its own."""
    files, _ = find({"a.csv": "id,body\n", "B.CSV": "id,body\n"})
    assert files.partitions == ("B", "a")
    assert files.pattern.endswith("/{partition_key}.[cC][sS][vV]")


def test_files_of_one_partition_are_refused(refusal):
    """Which of them would it be?"""
    assert "a.CSV and a.csv, which would be one partition" in refusal({"a.csv": "", "a.CSV": ""})


@pytest.mark.parametrize("name", ["t.xlsx", "T.XLSX", "t.xls", "t.ods"])
def test_a_spreadsheet_is_refused_by_name_with_a_remedy(refusal, name):
    """Alone, in a folder, and beside a CSV file, without which its rows would be missed."""
    for contents, alone, remedy in (
        ({name: "PK"}, name, "save each sheet as CSV"),
        ({name: "PK"}, None, "save each sheet as CSV"),
        (
            {name: "PK", "a.csv": "id,body\n"},
            None,
            f"move {name} out of the folder, or save each sheet as CSV in its place",
        ),
    ):
        message = refusal(contents, alone)
        assert f"{name}: spreadsheets are not read; {remedy}" in message
        assert "\n" not in message


def test_all_mistakes_are_told_in_one_go(refusal):
    """Spreadsheets, encodings and headers, those of a file in another encoding included; each is a line."""
    message = refusal(
        {
            "a.csv": b"nr,body\n1,M\xfcller\n",
            "b.csv": "nr,Text\n1,x\n",
            "c.xlsx": "PK",
            "d.XLS": "PK",
        }
    )
    sheets, encoding, key, text = message.split("\n")
    assert "c.xlsx (and 1 more): spreadsheets are not read; move c.xlsx, d.XLS out of the folder" in sheets
    assert "a.csv, line 2: the byte 0xfc cannot be read as utf-8; write --encoding cp1252" in encoding
    assert "a.csv (and 1 more file) has no column `id` for --key; columns found: `nr`, `body`" in key
    assert "b.csv has no column `body` for --text (a.csv has it); columns found: `nr`, `Text`" in text


def test_of_many_files_that_cannot_be_read_three_are_told(refusal):
    """And how many more there are."""
    *told, rest = refusal({f"{n}.csv": b"id,body\n1,\xfc\n" for n in range(5)}).split("\n")
    assert [line.strip().rpartition("/")[2][:5] for line in told] == ["0.csv", "1.csv", "2.csv"]
    assert "2 more files of" in rest


def test_columns_that_are_not_there_are_named_with_what_was_probably_meant(refusal):
    """Both at once; case and blanks do not count, and letters may be wrong."""
    message = refusal({"t.csv": "Id , Body\n1,x\n"}, "t.csv")
    assert "has no column `id` for --key; columns found: `Id `, ` Body`; did you mean `Id `?" in message
    assert "has no column `body` for --text; columns found: `Id `, ` Body`; did you mean ` Body`?" in message
    message = refusal({"t.csv": "id,Beschreibung\n1,x\n"}, "t.csv", text="beschriebung")
    assert "columns found: `id`, `Beschreibung`; did you mean `Beschreibung`?" in message
    assert "--key" not in message
    assert "columns found: `nr`, `text`; name one of them with --key" in refusal(
        {"t.csv": "nr,text\n"}, "t.csv"
    )


def test_the_file_of_a_folder_that_lacks_a_column_is_named(refusal):
    """And one that has it."""
    message = refusal({"a.csv": "id,body\n", "b.csv": "id,Body\n", "c.csv": "id,text\n"})
    assert "b.csv (and 1 more file) has no column `body` for --text (a.csv has it)" in message


def test_one_column_that_looks_like_several_is_doubted(refusal):
    """Where the suffix, or an option, says what separates them."""
    assert "if ';' separates several, write --separator ';'" in refusal({"t.tsv": "id;body\n1;x\n"}, "t.tsv")


@pytest.mark.parametrize(
    ("contents", "options", "says"),
    [
        ({"t.csv": b"id;body\n1;M\xfcller\n"}, {}, "write --encoding cp1252"),
        (
            {"t.csv": "id,body\n"},
            {"encoding": "klingon"},
            "got --encoding klingon; allowed is any text encoding",
        ),
        ({"t.csv": "id,body\n"}, {"encoding": "cp1525"}, "did you mean 'cp125"),
        ({"t.csv": "id,body\n"}, {"separator": ";;"}, "got --separator ';;'; allowed is one ASCII character"),
        ({"t.jsonl": "{}"}, {"separator": ";"}, "only CSV files have a separator"),
        ({"t.csv": ""}, {}, "is empty"),
        ({"t.jsonl": "\n"}, {}, "is empty"),
        ({"t.csv": b"PK\x03\x04\x14\x00"}, {}, "Excel workbook"),
        ({"t.csv": gzip.compress(b"id,body\n")}, {}, "let its name end in .gz"),
        ({"t.csv": "id,body,id\n"}, {}, "names the columns ['id'] more than once"),
        ({"t.txt": "id\n"}, {}, "its suffix names no known format"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_what_to_write(refusal, contents, options, says):
    """In the words of the command line."""
    (name,) = contents
    message = refusal(contents, name, **options)
    assert says in message


def test_a_column_of_ones_own_cannot_have_the_name_of_one_that_is_added(refusal):
    """It would be read in its place."""
    table = user_table(UserFiles("/data/t.csv"))
    assert [asset.key.path[-1] for asset in table.assets[1:]] == list(COMPUTED)
    for name in COMPUTED:
        assert f"got --text {name}, but the demo adds columns" in refusal(
            {"t.csv": f"id,{name}\n"}, text=name
        )


def test_a_path_with_braces_is_refused(refusal):
    """They would be taken for a placeholder."""
    assert "has braces in its path" in refusal({"t{x}.csv": "id,body\n"}, "t{x}.csv")


def test_a_path_where_nothing_is_names_what_is_like_it(refusal):
    """In its folder."""
    assert "Ticket.csv is no file and no folder; did you mean 'tickets.csv'?" in refusal(
        {"tickets.csv": ""}, "Ticket.csv"
    )


def test_a_folder_must_hold_files_of_one_format(refusal):
    """What it holds is named."""
    assert "holds no files of rows" in refusal({"note.txt": ""})
    assert "of several formats: a.csv, b.jsonl" in refusal({"a.csv": "", "b.jsonl": ""})


@pytest.mark.parametrize("separator", [None, "\t", ";"])
@pytest.mark.parametrize("pattern", ["/data/{partition_key}.csv", "/data/t.csv.gz"])
def test_the_environment_of_the_definitions_says_the_same(monkeypatch, separator, pattern):
    """So that the browser shows what the terminal ran on."""
    files = UserFiles(pattern, (), "Nr", "Text", separator, "cp1252")
    assert UserFiles.of_environment(files.environment()) == (
        files if separator != "\t" else UserFiles(pattern, (), "Nr", "Text", "tab", "cp1252")
    )
    for name, value in files.environment().items():
        monkeypatch.setenv(name, value)
    (table,) = (spec for spec in defs().resolve_all_asset_specs() if spec.key.path == ["tickets"])
    assert (table.partitions_def is not None) == files.is_partitioned
