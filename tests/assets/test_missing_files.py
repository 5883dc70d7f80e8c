"""Files of partitions of which some are missing."""

from pathlib import Path

import dagster as dg
import pytest

from pxt_assets import ColumnStore, Table
from pxt_assets.errors import DefinitionError
from tests.runs import message

DAYS = dg.StaticPartitionsDefinition(["a", "b", "c"])


@pytest.fixture
def files(tmp_path: Path) -> Table:
    for key in ("a", "c"):
        (tmp_path / f"{key}.csv").write_text(f"id,body\n1,{key}\n")
    return Table.from_files("tickets", f"{tmp_path}/{{partition_key}}.csv", key="id", partitions_def=DAYS)


def test_a_partition_whose_file_is_missing_fails_alone(store: ColumnStore, files: Table) -> None:
    """The others are stored, and recorded with the data versions of their contents; the run says which one failed."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            files.assets,
            instance=instance,
            resources={"columns": store},
            tags={"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"},
            raise_on_error=False,
        )
        assert not result.success
        records = instance.fetch_materializations(dg.AssetKey("tickets"), limit=9, ascending=True).records
    recorded = [record.asset_materialization for record in records]
    said = message(result)
    assert "no file matches" in said
    assert "b.csv" in said
    assert "1 of 3 partitions of tickets failed; stored: 2." in said
    assert [one and one.partition for one in recorded] == ["a", "c"]
    assert len({one and (one.tags or {})["dagster/data_version"] for one in recorded}) == 2
    for key in ("a", "c"):
        assert store.file(dg.AssetKey("tickets"), key).rows().table(["body"])["body"].to_pylist() == [key]


def test_a_lone_partition_whose_file_is_missing_says_just_that(store: ColumnStore, files: Table) -> None:
    """There are no others to count."""
    result = dg.materialize(
        files.assets, resources={"columns": store}, partition_key="b", raise_on_error=False
    )
    assert "partitions of tickets failed" not in message(result)


@pytest.mark.parametrize(
    ("path", "option", "says"),
    [
        ("t.csv", {"encoding": "klingon"}, "got encoding='klingon'; allowed is any text encoding"),
        ("t.csv", {"separator": ";;"}, "got separator=';;'; allowed is one ASCII character"),
        ("t.parquet", {"separator": ";"}, "only CSV files have a separator"),
        ("t.xlsx", {}, "spreadsheets are not read; save each sheet as CSV"),
    ],
)
def test_options_that_no_file_could_have_are_refused_while_definitions_load(
    path: str, option: dict[str, str], says: str
) -> None:
    """Rather than in a run."""
    with pytest.raises(DefinitionError, match=says):
        Table.from_files("tickets", path, **option)  # type: ignore[arg-type]
