"""A table whose partitions are its files, and their sensor, as YAML says it."""

import re

import dagster as dg
import pytest

TABLE = """
table: tickets
{table}
columns:
  - {{name: text, value: $tbl.body}}
"""
FILES = "files: in/*.csv\npartitions: files"


def test_files_are_partitions_with_a_sensor(project):
    """Whose options are called as in Python."""
    options = (
        "{minimum_interval_seconds: 300, default_status: running, settle_seconds: 0, max_unfinished_runs: 3}"
    )
    table = f"{FILES}\npartition_size: 1MB\npartitions_per_run: 7\nfiles_sensor: {options}"
    project.declare(TABLE.format(table=table))
    with project.loaded() as defs:
        (sensor,) = defs.sensors or ()
        assert sensor.name == "tickets_files_sensor"
        assert sensor.minimum_interval_seconds == 300
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
        for key in ("tickets", "tickets/text"):
            asset = defs.resolve_assets_def(dg.AssetKey.from_user_string(key))
            assert asset.partitions_def == dg.DynamicPartitionsDefinition(name="tickets_files")
            assert asset.backfill_policy == dg.BackfillPolicy.multi_run(7)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("partitions: files", r"defs\.yaml:4: .*partitions: files, but the table is not made of files here"),
        (f"{FILES}\npartition_size: much", "got partition_size='much', allowed: a size such as '256MB'"),
        ("files: in/*.csv\nfiles_sensor: true", r"defs\.yaml:5: .*the table's partitions are not its files"),
        (f"{FILES}\nfiles_sensor: {{settle: 3}}", r"defs\.yaml:6: .*got 'settle', allowed: name"),
    ],
)
def test_mistakes_are_told_with_their_line(project, table, message):
    project.declare(TABLE.format(table=table))
    assert re.search(message, project.error(), re.DOTALL)
