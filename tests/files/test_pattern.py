"""What a file pattern may say, told from its text alone."""

import pytest

from pxt_assets.errors import DefinitionError
from pxt_assets.files import check_pattern


@pytest.mark.parametrize(
    ("pattern", "partitioned", "dimensions"),
    [
        ("tickets.csv", False, []),
        ("data/**/*.jsonl.gz", False, []),
        ("data/{partition_key}.csv", True, []),
        ("data/{partition_key}/*.PARQUET", True, []),
        ("s3://bucket/{region}/{date}.parquet", True, ["region", "date"]),
        ("s3://bucket/{partition_key}.ipc", True, ["region", "date"]),
        ("https://host/data/{partition_key}.csv?token=abc", True, []),
        ("simplecache::s3://bucket/{partition_key}.feather", True, []),
        ("zip://{partition_key}.csv::s3://bucket/all.zip", True, []),
    ],
)
def test_a_pattern_that_suits_its_partitions_is_accepted(pattern, partitioned, dimensions):
    """Placeholders for partitions, none without; any folder, URL, glob and case of the suffix."""
    check_pattern(pattern, partitioned, dimensions)


@pytest.mark.parametrize(
    ("pattern", "partitioned", "dimensions", "says"),
    [
        ("data/{partition_key}.csv", False, [], "for a table without partitions; give it a partitions_def"),
        ("data/all.csv", True, [], "Write {partition_key} into it, as in 'data/{partition_key}.csv'"),
        ("data/{day}.csv", True, [], "unknown placeholder {day}; allowed: {partition_key}"),
        ("data/{day}.csv", False, [], "unknown placeholder {day}; allowed: none"),
        ("{region}/{x}.csv", True, ["region", "date"], "{x}; allowed: {partition_key}, {region}, {date}"),
        ("{region}.csv", True, ["region", "date"], "Write {date} or {partition_key} into it"),
        ("data/{partition_key}.docx", True, [], "allowed: .csv, .tsv, .jsonl, .ndjson, .csv.gz"),
        ("data/{partition_key}.xlsx", True, [], "spreadsheets are not read; save each sheet as CSV"),
        ("data/Tickets.ODS", False, [], "'data/Tickets.ODS': spreadsheets are not read"),
        ("data/{partition_key}", True, [], "suffix names no known format"),
        ("data/all.parquet.gz", False, [], "suffix names no known format"),
        ("data/**.csv", False, [], "'data/**/*.csv'"),
    ],
)
def test_a_pattern_that_does_not_is_refused_with_what_to_write(pattern, partitioned, dimensions, says):
    """Placeholders without partitions, partitions without placeholders, unknown names and suffixes."""
    with pytest.raises(DefinitionError) as refused:
        check_pattern(pattern, partitioned, dimensions)
    assert says in str(refused.value)
    assert pattern in str(refused.value)


def test_a_refusal_does_not_show_the_password_in_the_url():
    """What a URL says before its @, and a signed link's query, never appears in a message."""
    with pytest.raises(DefinitionError) as refused:
        check_pattern("sftp://ann:s3cr3t@host/data.xls", False, [])
    assert "s3cr3t" not in str(refused.value)
    with pytest.raises(DefinitionError) as refused:
        check_pattern("https://host/data.xls?sig=s3cr3t", False, [])
    assert "s3cr3t" not in str(refused.value)
