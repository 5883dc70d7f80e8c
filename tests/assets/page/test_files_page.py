"""What the asset page shows of a table that is read from files."""

from pathlib import Path
from typing import Any

import dagster as dg
import PIL.Image
import pytest

from pxt_assets import ColumnStore, Table
from pxt_assets.values.types import Audio, Image
from tests.runs import materialize


def definition(path: str, **options: Any) -> dg.AssetSpec:
    (found,) = Table.from_files("t", path, **options).assets[0].specs
    return found


def shown(store: ColumnStore, table: Table, **run: Any) -> dict[str | None, dict[str, Any]]:
    """The metadata of each materialized partition of the table's files."""
    result = materialize(table.assets, store, **run)
    return {
        event.partition: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
    }


DAYS: dict[str, Any] = {"partitions_def": dg.StaticPartitionsDefinition(["a", "b"])}


@pytest.mark.parametrize(
    ("path", "options", "sentence"),
    [
        ("data/x.csv", {"key": "id"}, "The rows of the CSV file `data/x.csv`, each known by its `id`"),
        ("data/*.csv.gz", {"key": ["a", "b"]}, "The rows of the CSV files `data/*.csv.gz`, each known by its `a` and `b`"),
        ("d/{partition_key}.jsonl", DAYS, "The rows of the JSON Lines files `d/{partition_key}.jsonl`, each known by its position"),
        ("s3://me:secret@b/x.parquet", {}, "The rows of the Parquet file `s3://***@b/x.parquet`, each known by its position"),
        ("pics/*.jpg", {"key": "path"}, "The image files `pics/*.jpg`, one a row, each known by its `path`"),
        ("calls/", {"key": "path", "schema": {"audio": Audio}}, "The audio files `calls/`, one a row, each known by its `path`"),
        (
            f"/{'/'.join(['folder'] * 20)}/x.csv",
            {},
            f"The rows of the CSV file `…/{'/'.join(['folder'] * 7)}/x.csv`, each known by its position",
        ),
    ],
)  # fmt: skip
def test_the_files_are_named_in_a_sentence(path: str, options: Any, sentence: str) -> None:
    """With their format and the key of their rows; of a long path the end, and nothing secret."""
    assert definition(path, **options).description == f"{sentence}."


def test_what_the_user_says_of_the_files_comes_first() -> None:
    """The rest follows."""
    said = definition("x.csv", description="All tickets.").description
    assert said == "All tickets.\n\nThe rows of the CSV file `x.csv`, each known by its position."


def test_the_definition_has_the_whole_path() -> None:
    """And what the files are read by."""
    path = f"/{'folder/' * 20}x.csv.gz"
    metadata = definition(path, key=["a", "b"], encoding="cp1252").metadata
    assert {name: metadata[name] for name in ("pxt/files", "pxt/key", "pxt/encoding")} == {
        "pxt/files": path,
        "pxt/key": "a, b",
        "pxt/encoding": "cp1252",
    }
    assert metadata["pxt/format"].startswith("CSV, ")
    assert definition("pics/", schema={"image": Image}).metadata["pxt/format"] == "image"


def test_the_first_rows_are_shown(store: ColumnStore, tmp_path: Path) -> None:
    """With their number, for each partition."""
    for name, rows in (("a", 3), ("b", 20)):
        lines = [f"{i},text {i} of {name}" for i in range(rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,body", *lines]))
    table = Table.from_files("t", f"{tmp_path}/{{partition_key}}.csv", key="id", **DAYS)
    several = shown(store, table, span=("a", "b"))
    assert {name: said["dagster/partition_row_count"] for name, said in several.items()} == {"a": 3, "b": 20}
    assert "| 2 | text 2 of a |" in several["a"]["pxt/preview"]
    assert "| 7 | text 7 of b |" in several["b"]["pxt/preview"]
    assert "| 8 |" not in several["b"]["pxt/preview"]
    assert shown(store, table, partition="a")["a"]["pxt/preview"] == several["a"]["pxt/preview"]


def test_of_many_columns_the_key_and_the_texts_are_shown(store: ColumnStore, tmp_path: Path) -> None:
    """They are what columns are made of; the others are in the whole."""
    row = "2026-11-26T10:00:00Z,email,T-1,A broken lamp,I would like my money back for the lamp that came broken."
    (tmp_path / "x.csv").write_text(f"created_at,channel,id,subject,body\n{row}\n")
    said = shown(store, Table.from_files("t", f"{tmp_path}/x.csv", key="id"))[None]
    assert said["pxt/preview"].splitlines()[0] == "| id | subject | body |"
    assert said["pxt/preview_all"].splitlines()[0].startswith("| created&#95;at | channel | id | subject |")


def test_a_table_without_rows_has_a_preview(store: ColumnStore, tmp_path: Path) -> None:
    """Of its columns."""
    (tmp_path / "x.csv").write_text("id,body\n")
    assert "| id | body |" in shown(store, Table.from_files("t", f"{tmp_path}/x.csv"))[None]["pxt/preview"]


def test_images_are_listed_and_not_opened(store: ColumnStore, tmp_path: Path) -> None:
    """Their preview has their paths and sizes."""
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "x.jpg")
    said = shown(store, Table.from_files("t", f"{tmp_path}/*.jpg", key="path"))[None]
    assert said["pxt/preview"].splitlines()[0] == "| path | size | format |"
