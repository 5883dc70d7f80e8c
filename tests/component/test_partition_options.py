import dagster as dg
import pytest

from pxt_assets.component.partition_options import partition_mapping_of, partitions_def_of
from pxt_assets.errors import DefinitionError

DAILY = dg.DailyPartitionsDefinition("2027-01-01")
STATIC = dg.StaticPartitionsDefinition(["eu", "1"])


@pytest.mark.parametrize(
    ("declared", "partitions_def"),
    [
        ("none", None),
        ({"dynamic": "customers"}, dg.DynamicPartitionsDefinition(name="customers")),
        ({"static": ["eu", 1]}, STATIC),
        ({"daily": "2027-01-01"}, DAILY),
        (
            {"daily": "2027-01-01", "end": "2027-02-01", "timezone": "Europe/Berlin", "hour_offset": 6},
            dg.DailyPartitionsDefinition(
                "2027-01-01", end_date="2027-02-01", timezone="Europe/Berlin", hour_offset=6
            ),
        ),
        ({"hourly": "2027-01-01-00:00"}, dg.HourlyPartitionsDefinition("2027-01-01-00:00")),
        (
            {"weekly": "2027-01-01", "end_offset": 1},
            dg.WeeklyPartitionsDefinition("2027-01-01", end_offset=1),
        ),
        (
            {"monthly": "2027-01-01", "day_offset": 2},
            dg.MonthlyPartitionsDefinition("2027-01-01", day_offset=2),
        ),
        (
            {"multi": {"date": {"daily": "2027-01-01"}, "region": {"static": ["eu", 1]}}},
            dg.MultiPartitionsDefinition({"date": DAILY, "region": STATIC}),
        ),
        (DAILY, DAILY),
    ],
)
def test_partitions(declared, partitions_def):
    """YAML says each of Dagster's kinds of partitions."""
    assert partitions_def_of(declared) == partitions_def


@pytest.mark.parametrize(
    ("declared", "mapping"),
    [
        (None, None),
        ("identity", dg.IdentityPartitionMapping()),
        ("all", dg.AllPartitionMapping()),
        ("last", dg.LastPartitionMapping()),
        ({"time_window": {"start_offset": -1}}, dg.TimeWindowPartitionMapping(start_offset=-1)),
        ({"specific": ["a", 1]}, dg.SpecificPartitionsPartitionMapping(["a", "1"])),
        ({"static": {"a": "b"}}, dg.StaticPartitionMapping({"a": "b"})),
        ({"dimension": "date"}, dg.MultiToSingleDimensionPartitionMapping("date")),
        (dg.LastPartitionMapping(), dg.LastPartitionMapping()),
    ],
)
def test_partition_mappings(declared, mapping):
    """And each of its mappings that is not made of Python."""
    assert partition_mapping_of(declared) == mapping


@pytest.mark.parametrize(
    ("of", "declared", "message"),
    [
        (partitions_def_of, "daily", "got 'daily', allowed: inherit, none, {dynamic: name}"),
        (partitions_def_of, {"yearly": "2027"}, "allowed: inherit"),
        (partitions_def_of, {"daily": "2027-01-01", "static": ["a"]}, "allowed: inherit"),
        (
            partitions_def_of,
            {"daily": "2027-01-01", "ends": "x"},
            "partitions: daily: got ends; allowed: end, timezone",
        ),
        (partitions_def_of, {"static": []}, "allowed: inherit"),
        (partitions_def_of, {"dynamic": "a", "end": "b"}, "got end; it has no options"),
        (partition_mapping_of, "first", "allowed: identity, all, last"),
        (
            partition_mapping_of,
            {"time_window": {"offset": 1}},
            "got offset; allowed: start_offset, end_offset",
        ),
    ],
)
def test_what_is_none_is_refused(of, declared, message):
    """With the forms that there are."""
    with pytest.raises(DefinitionError) as raised:
        of(declared)
    assert message in str(raised.value)
