"""Files as partitions: the keys that stand for their paths."""

import os

import pytest
from dagster import DagsterInstance, DynamicPartitionsDefinition
from dagster._core.definitions.partitions.utils import raise_error_on_invalid_partition_key_substring

from pxt_assets.files.partition_keys import MAX_KEY_CHARACTERS, partition_key_of, path_of_key

ODD = [
    "a.csv",
    "2027/03/a b.csv",
    "year=2027/month=03/part-0.parquet",
    "Straße/日本.csv",
    "a...b.csv",
    "a....csv",
    "tab\tnewline\nzero\x01.csv",
    'a,b[1]*|"x"\'~%41.csv',
    " leading.csv",
    "back\\slash.csv",
    os.fsdecode(b"latin\xff.csv"),
    "100%.csv",
]


@pytest.mark.parametrize("path", ODD)
def test_a_key_stands_for_its_path_and_is_one_that_dagster_takes(path):
    """Whatever the file's name, and databases can keep it as text."""
    key = partition_key_of(path)
    raise_error_on_invalid_partition_key_substring([key])
    key.encode()
    assert not set('\t\n|,[]*"') & set(key)
    assert path_of_key(key) == path


def test_plain_paths_are_their_own_keys():
    """What people see in the UI is what they see in the folder."""
    assert partition_key_of("2027/03/a-b_c.csv") == "2027/03/a-b_c.csv"


def test_long_paths_have_keys_of_their_own_that_tell_where_and_which_file_it_is():
    """Databases tell the first 64 characters of keys apart; a digest does where the ends are equal."""
    folder = "year=2027/month=03/day=01/region=eu-central-1/bucket=17/"
    paths = [f"{folder}{'x' * 200}{i}/part-00000.parquet" for i in range(50)]
    keys = {partition_key_of(path) for path in paths}
    assert len(keys) == 50
    assert {len(key) for key in keys} == {MAX_KEY_CHARACTERS}
    assert all(key.startswith("year=2027/month=03/d~") and key.endswith("part-00000.parquet") for key in keys)
    assert {path_of_key(key) for key in keys} == {None}


@pytest.mark.parametrize(
    "key",
    [
        "/etc/passwd",
        "../x.csv",
        "a/../../x.csv",
        "a//b.csv",
        ".",
        "%2e%2e/x.csv",
        "%2Fetc%2Fpasswd",
        "a%zz.csv",
    ],
)
def test_a_key_leads_nowhere_else(key):
    """Anybody may add keys to dynamic partitions."""
    assert path_of_key(key) is None


def test_keys_go_through_an_instance(tmp_path):
    """They are the same after Dagster's database."""
    keys = [partition_key_of(path) for path in ODD]
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.add_dynamic_partitions("files", keys)
        assert instance.get_dynamic_partitions("files") == keys
        assert (
            DynamicPartitionsDefinition(name="files").get_partition_keys(dynamic_partitions_store=instance)
            == keys
        )
