"""Runs of a table whose partitions are files: of which rows, how many partitions at once, and where files are gone."""

import os

import dagster as dg
import pytest

from pxt_assets import Table
from pxt_assets.errors import DefinitionError, SourceError
from pxt_assets.types import Image

TICKETS = dg.AssetKey("tickets")


def request(partition: str) -> dg.RunRequest:
    return dg.RunRequest(partition_key=partition)


def test_a_run_reads_the_files_of_its_partitions(world):
    """And computes the table's columns of them, each partition by itself."""
    one = world(partitions_per_run=3)
    one.write(*(f"{i}.csv" for i in range(4)), "a b[c].csv")
    assert [len(run) for run in one.tick()] == [3, 2]
    one.run_all()
    assert one.column("2.csv") == ["HELLO 2.CSV 0", "HELLO 2.CSV 1"]
    assert one.column("a b%5Bc%5D.csv") == ["HELLO A B[C].CSV 0", "HELLO A B[C].CSV 1"]
    for key in (TICKETS, dg.AssetKey(["tickets", "loud"])):
        assert one.instance.get_materialized_partitions(key) == {*one.keys}


def test_a_path_that_is_too_long_for_a_key_is_on_record(world):
    """A run finds the file by its shortened key."""
    one = world(pattern="**/*.csv")
    name = f"year=2027/{'x' * 100}/part-0.csv"
    one.write(name)
    ((key,),) = one.tick()
    assert len(key) == 64
    one.run_all()
    assert len(one.column(key)) == 2


def test_what_is_gone_has_no_rows_and_a_partition_without_files_keeps_what_it_has(world):
    """Results that were paid for are not dropped because a folder was tidied up."""
    one = world(partition_size=70)
    one.write("a.csv", "b.csv", "c.csv", rows=1)
    assert one.tick() == [["group-00001", "group-00002"]]
    one.run_all()
    assert one.column("group-00001") == ["HELLO A.CSV 0", "HELLO B.CSV 0"]
    for gone in ("a.csv", "c.csv"):
        (one.folder / "in" / gone).unlink()
    assert one.tick() == []
    one.write("b.csv", body="changed", rows=1)
    assert one.tick() == [["group-00001"]]
    one.run_all()
    assert one.column("group-00001") == ["CHANGED B.CSV 0"]
    failed = one.run(request("group-00002"), succeeds=False)
    (failure,) = [e for e in failed.all_events if e.is_step_failure]
    assert "c.csv is not in" in str(failure.event_specific_data.error)
    assert "What is stored of the partition stays" in str(failure.event_specific_data.error)
    assert one.column("group-00002") == ["HELLO C.CSV 0"]


def test_one_file_that_cannot_be_read_fails_alone(world):
    """The other partitions of its run are stored, and it is run again once it is mended."""
    one = world()
    one.write("a.csv", "b.csv", "c.csv")
    (one.folder / "in" / "b.csv").write_text('id,body\n1,"never closed\n')
    os.utime(one.folder / "in" / "b.csv", (1e9, 1e9))
    assert one.tick() == [["a.csv", "b.csv", "c.csv"]]
    one.run(one.requests[0], succeeds=False)
    assert one.instance.get_materialized_partitions(TICKETS) == {"a.csv", "c.csv"}
    assert one.tick() == [["a.csv"], ["b.csv"], ["c.csv"]]  # the columns of the good ones, without it
    for asked, succeeds in zip(one.requests, (True, False, True), strict=True):
        one.run(asked, succeeds=succeeds)
    assert one.instance.get_materialized_partitions(dg.AssetKey(["tickets", "loud"])) == {"a.csv", "c.csv"}
    assert one.tick() == []
    assert (
        "1 partition failed or was canceled, and is asked for again once the files have changed: b.csv"
        in str(one.said)
    )
    one.write("b.csv", body="mended")
    assert one.tick() == [["b.csv"]]
    one.run_all()
    assert one.column("b.csv") == ["MENDED B.CSV 0", "MENDED B.CSV 1"]


@pytest.mark.parametrize("key", ["group-00009", "../out.csv", "a.parquet", "/etc/passwd"])
def test_a_partition_that_has_no_files_is_told(world, key):
    """Anybody may add keys; none of them reads what is no file of the table."""
    one = world()
    one.write("a.csv")
    (one.folder / "out.csv").write_text("id,body\n1,secret\n")
    one.instance.add_dynamic_partitions("tickets_files", [key])
    with pytest.raises(
        SourceError, match=r"its files are not known\. The table's sensor \(tbl\.files_sensor\(\)\)"
    ):
        one.run(request(key))


def test_a_partition_may_be_added_by_hand(world):
    """By the path of its file, without a sensor."""
    one = world()
    one.write("sub/a.csv", "a.csv")
    one.instance.add_dynamic_partitions("tickets_files", ["a.csv"])
    one.run(request("a.csv"))
    assert one.column("a.csv") == ["HELLO A.CSV 0", "HELLO A.CSV 1"]


def test_backfills_have_runs_of_bounded_size_too(world):
    """Of the table and of its columns, so that Dagster runs them together."""
    one = world(partitions_per_run=7)
    assert {asset.backfill_policy for asset in one.table.assets} == {dg.BackfillPolicy.multi_run(7)}
    assert {asset.partitions_def.name for asset in one.table.assets} == {"tickets_files"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partitions": "file"}, "got partitions='file', allowed: 'files'"),
        ({"partition_size": "1GB"}, "got partition_size='1GB' for a table whose files are no partitions"),
        ({"partitions_per_run": 5}, "got partitions_per_run=5 for a table whose files are no partitions"),
        (
            {"partitions": "files", "partitions_def": dg.DynamicPartitionsDefinition(name="x")},
            "got partitions='files' and partitions_def=.*; give one of the two",
        ),
        (
            {"partitions": "files", "partition_size": "256"},
            "got partition_size='256', allowed: a size such as '256MB'",
        ),
        ({"partitions": "files", "partition_size": 0}, "got partition_size=0, allowed"),
        ({"partitions": "files", "partition_size": True}, "got partition_size=True, allowed"),
        ({"partitions": "files", "partitions_per_run": 0}, "got partitions_per_run=0, allowed: .* 1 or more"),
        ({"partitions": "files", "path": "in/{partition_key}.csv"}, "a placeholder needs partitions_def"),
        (
            {"partitions": "files", "path": "in/", "schema": {"image": Image}},
            "Say how large a partition may be",
        ),
    ],
)
def test_what_cannot_be_is_refused_while_definitions_load(options, message):
    with pytest.raises(DefinitionError, match=message):
        Table.from_files("tickets", options.pop("path", "in/*.csv"), **options)


@pytest.mark.parametrize(
    ("size", "expected"),
    [("256MB", 256_000_000), ("1.5 GiB", 1_610_612_736), ("10kB", 10_000), (7, 7), ("9B", 9)],
)
def test_a_size_is_said_in_units_or_bytes(size, expected):
    made = Table.from_files("tickets", "in/*.csv", partitions="files", partition_size=size)
    assert made._file_partitions is not None
    assert made._file_partitions.group_bytes == expected


def test_only_a_table_of_files_has_their_sensor():
    with pytest.raises(DefinitionError, match=r"Table\('tickets'\)\.files_sensor: .*partitions='files'"):
        Table("tickets").files_sensor()
    made = Table.from_files("tickets", "in/*.csv", partitions="files")
    with pytest.raises(DefinitionError, match="got max_unfinished_runs=0, allowed: a number from 1 upwards"):
        made.files_sensor(max_unfinished_runs=0)
    assert made.files_sensor().name == "tickets_files_sensor"


def test_a_range_that_has_become_another_one_is_asked_for_again(world):
    """Its first partition was deleted while the run waited, and came back at the end."""
    one = world()
    one.write("a.csv", "b.csv", "c.csv")
    one.tick()
    (waiting,) = one.requests
    one.instance.delete_dynamic_partition("tickets_files", "a.csv")
    assert one.tick() == [["a.csv"]]
    one.run_all()
    one.run(waiting, succeeds=False)
    assert one.tick() == [["b.csv", "c.csv"]]
    one.run_all()
    assert one.instance.get_materialized_partitions(TICKETS) == {"a.csv", "b.csv", "c.csv"}


def test_a_deleted_partition_whose_file_is_gone_stays_away(world):
    one = world()
    one.write("a.csv", "b.csv")
    one.tick()
    one.run_all()
    (one.folder / "in" / "b.csv").unlink()
    one.instance.delete_dynamic_partition("tickets_files", "b.csv")
    assert one.tick() == []
    assert one.keys == ["a.csv"]


def test_tables_of_one_name_under_two_prefixes_have_a_record_each(world):
    """As they have columns each."""
    one = world()
    one.write("a.csv")
    prefixed = [
        asset.with_attributes(asset_key_replacements={k: k.with_prefix("team") for k in asset.keys})
        for asset in one.table.assets
    ]
    one.defs = dg.Definitions(prefixed, sensors=[one.sensor], resources={"columns": one.store})
    assert one.tick() == [["a.csv"]]
    one.run_all()
    assert (one.folder / "store/.pxt_assets/team/tickets/files.assigned").exists()
    assert not (one.folder / "store/.pxt_assets/tickets").exists()
