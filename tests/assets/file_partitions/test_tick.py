"""The sensor of a table's files, tick by tick."""

import os
import time

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from pxt_assets.assets.file_partitions.tick import Tick


def names(count: int) -> list[str]:
    return [f"f{i:03}.csv" for i in range(count)]


def test_new_files_become_partitions_and_runs_of_bounded_size(world):
    """Each tick asks for what no tick before has asked for."""
    one = world(partitions_per_run=10)
    one.write(*names(25))
    assert one.tick() == [names(25)[:10], names(25)[10:20], names(25)[20:]]
    assert one.keys == names(25)
    assert one.tick() == []
    assert one.said == "25 files in 25 partitions"
    one.write("g.csv")
    assert one.tick() == [["g.csv"]]


def test_a_tick_without_files_says_what_there_is_instead(world):
    one = world()
    (one.folder / "in" / "notes.txt").write_text("x")
    assert one.tick() == []
    assert one.said == f"no file matches {one.folder}/in/*.csv; the folder {one.folder}/in holds notes.txt"
    assert one.cursor is None


def test_a_changed_file_is_run_again_and_one_that_is_gone_is_not(world):
    """By its size or its time; what is adjacent is one run."""
    one = world(partitions_per_run=10)
    one.write(*names(9))
    one.tick()
    one.write("f002.csv", "f003.csv", "f007.csv", body="changed")
    os.utime(one.folder / "in" / "f005.csv", (2e9, 2e9))
    (one.folder / "in" / "f000.csv").unlink()
    assert one.tick() == [["f002.csv", "f003.csv"], ["f005.csv"], ["f007.csv"]]
    assert one.tick() == []
    assert one.said == "9 files in 9 partitions; 1 of them is gone, and what is stored of them is kept"
    assert one.keys == names(9)


def test_a_tick_that_did_not_come_to_its_end_is_made_again(world):
    """Dagster keeps the cursor that it had: everything is asked for again, and nothing is added twice."""
    one = world(partitions_per_run=2)
    one.write(*names(3))
    first = one.tick(keep_cursor=False)
    one.write("a.csv")
    assert one.tick() == [*first[:1], ["f002.csv", "a.csv"]]
    assert one.keys == [*names(3), "a.csv"]


def test_a_cursor_that_was_reset_asks_for_everything_again(world):
    """Under run keys that Dagster has not seen."""
    one = world()
    one.write(*names(3))
    first = one.tick()
    keys = {request.run_key for request in one.requests}
    one.cursor = None
    assert one.tick() == first
    assert keys.isdisjoint(request.run_key for request in one.requests)


def test_a_partition_that_somebody_deleted_comes_back_while_its_file_is_there(world):
    """What is not wanted is to be moved out of the folder."""
    one = world()
    one.write(*names(3))
    one.tick()
    one.instance.delete_dynamic_partition("tickets_files", "f001.csv")
    assert one.tick() == [["f001.csv"]]
    assert one.tick() == []


def test_a_partition_that_came_back_in_a_tick_that_failed_is_asked_for(world):
    """Dagster has it again, and keeps the cursor that it had."""
    one = world()
    one.write(*names(3))
    one.tick()
    one.instance.delete_dynamic_partition("tickets_files", "f001.csv")
    assert one.tick(keep_cursor=False) == [["f001.csv"]]
    assert one.tick() == [["f001.csv"]]
    assert one.tick() == []


def test_a_file_that_is_being_written_waits(world):
    """On a local disk, where half of it can be seen."""
    one = world(settle_seconds=60)
    now = time.time()
    one.write("old.csv", modified=now - 100)
    one.write("young.csv", modified=now)
    one.write(
        "of_the_future.csv", modified=now + 10_000
    )  # a clock that is wrong must not keep it away for ever
    assert one.tick() == [["of_the_future.csv", "old.csv"]]
    assert one.tick() == []
    assert one.said == "2 files in 2 partitions; 1 file changed less than 60 s ago, left for a later tick"
    one.write("old.csv", body="is being changed", modified=now)
    os.utime(one.folder / "in" / "young.csv", (now - 100, now - 100))
    assert one.tick() == [["young.csv"]]


def test_no_more_runs_are_asked_for_than_may_be_unfinished(world):
    """The others wait, however many files come at once."""
    one = world(partitions_per_run=2, max_unfinished_runs=3)
    one.write(*names(20))
    assert [len(run) for run in one.tick()] == [2, 2, 2]
    assert one.keys == names(20)
    going = [start(one, request) for request in one.requests]
    assert one.tick() == []
    assert one.said == (
        "20 files in 20 partitions; 14 partitions to be run wait for a later tick: 3 runs of this sensor had not ended, "
        "allowed are 3"
    )
    end(one, going[1])
    assert one.tick() == [["f006.csv", "f007.csv"]]


def test_a_partition_that_is_being_run_waits(world):
    """So that two runs do not write one table; it is asked for as it is then."""
    one = world(partitions_per_run=2)
    one.write(*names(4))
    one.tick()
    run = start(one, one.requests[0])
    one.write("f001.csv", "f002.csv", body="changed")
    assert one.tick() == [["f002.csv"]]
    assert one.tick() == []
    end(one, run)
    assert one.tick() == [["f001.csv"]]


def test_groups_grow_and_no_file_moves(world):
    """One that grew is run again, with the files it had first."""
    one = world(partition_size=100)
    one.write(*names(4), rows=1)  # of 39 bytes
    size = (one.folder / "in" / "f000.csv").stat().st_size
    assert 33 < size < 50
    assert one.tick() == [["group-00001", "group-00002"]]
    one.write("a.csv", rows=0)
    assert one.tick() == [["group-00002"]]
    one.run_all()
    assert one.column("group-00002") == ["HELLO F002.CSV 0", "HELLO F003.CSV 0"]


def test_the_sensors_state_holds_no_secret(world, tmp_path):
    """Neither its cursor, which the UI shows, nor the keys; nor does what is on record."""
    one = world(storage_options={"password": "hunter2-hunter2"})
    one.write(*names(3))
    one.tick()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert kept
    assert b"hunter2" not in kept
    assert "hunter2" not in f"{one.cursor} {one.keys} {one.requests} {one.sensor.description} {one.table!r}"


def test_all_of_very_many_files_are_partitions_after_one_tick(world, monkeypatch):
    """Dagster itself would ask its database for each of them."""
    from pxt_assets.assets.file_partitions import tick
    from pxt_assets.files.listing import Listed

    found = {f"{i // 1000:03}/{i:06}.csv": Listed(10, f"{i}", None) for i in range(12_000)}
    monkeypatch.setattr(tick, "list_files", lambda *_: found)
    one = world()
    assert [len(run) for run in one.tick()] == [100] * 10
    assert one.keys == [*found]
    assert len(str(one.cursor)) < 100
    assert [run[0] for run in one.tick()][:2] == ["001/001000.csv", "001/001100.csv"]


@pytest.mark.parametrize("change", [-61, 61])
def test_clocks_that_disagree_delay_a_file_or_read_it_twice(world, change):
    """A minute apart, the storage's before this machine's or behind it: nothing is lost."""
    one = world()
    here = time.time()
    one.write("a.csv", body="half", modified=here + change)
    read = [*one.tick()]
    one.write("a.csv", body="whole", modified=here + change + 5)
    context = dg.build_sensor_context(
        one.instance, one.cursor, definitions=one.defs, resources={"columns": one.store}
    )
    with context:
        later = Tick(
            one.table._file_partitions, context, "tickets_files_sensor", "columns", 30, 10, lambda: here + 200
        ).result()
    read += [one.partitions_of(request, one.keys) for request in later.run_requests or ()]
    assert read[-1] == ["a.csv"]
    assert len(later.run_requests or ()) == 1


def start(one, request: dg.RunRequest) -> dg.DagsterRun:
    """A run of the sensor that has begun."""
    tags = {**request.tags, "dagster/sensor_name": one.sensor.name}
    if request.partition_key:
        tags["dagster/partition"] = request.partition_key
    return create_run_for_test(
        one.instance, job_name=one.sensor.job_name, tags=tags, status=dg.DagsterRunStatus.STARTED
    )


def end(one, run: dg.DagsterRun) -> None:
    one.instance.report_run_canceled(run)
