"""Which partition each file belongs to."""

import random

from pxt_assets.files.assigned import assign_files, partition_digests
from pxt_assets.files.listing import Listed


def listed(*names: str, size: int = 10, version: str = "1") -> dict[str, Listed]:
    return {name: Listed(size, version, None) for name in names}


def partitions(files) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in files.values():
        found.setdefault(file.partition, []).append(file.path)
    return found


def test_each_file_is_a_partition_by_its_path():
    """In the order of the listing, those that were known first."""
    first = assign_files({}, listed("b", "c/d"), None)
    assert partitions(first) == {"b": ["b"], "c/d": ["c/d"]}
    assert [*partitions(assign_files(first, listed("a", "b", "c/d"), None))] == ["b", "c/d", "a"]


def test_groups_fill_up_to_their_size():
    """A file that is larger than a group is one by itself."""
    found = {**listed("a", "b", "c"), **listed("d", size=50), **listed("e", "f")}
    assert partitions(assign_files({}, found, 25)) == {
        "group-00001": ["a", "b"],
        "group-00002": ["c"],
        "group-00003": ["d"],
        "group-00004": ["e", "f"],
    }


def test_a_file_never_moves_between_groups():
    """Whatever arrives, changes its size or goes, and however large groups are to be from now on."""
    generator = random.Random(7)
    files, places = {}, {}
    found: dict[str, Listed] = {}
    for turn in range(40):
        for _ in range(generator.randrange(8)):
            found[f"{generator.randrange(10**6)}"] = Listed(generator.randrange(1, 40), f"{turn}", None)
        for gone in generator.sample(sorted(found), len(found) // 10):
            del found[gone]
        files = assign_files(files, dict(sorted(found.items())), generator.choice([50, 100, 200]))
        now = {path: file.partition for path, file in files.items()}
        assert {path: now[path] for path in places} == places
        places = now
    assert len(partitions(files)) > 10


def test_the_last_group_is_filled_before_another_one_is_begun():
    """Files that trickle in make no group each."""
    files = {}
    for name in "abcdef":
        files = assign_files(files, listed(*files, name), 30)
    assert partitions(files) == {"group-00001": ["a", "b", "c"], "group-00002": ["d", "e", "f"]}


def test_a_group_has_so_many_files_at_most():
    """However small they are: one step reads them all."""
    files = assign_files({}, listed(*(f"{i:06}" for i in range(25_000)), size=0), 10**9)
    assert [len(paths) for paths in partitions(files).values()] == [10_000, 10_000, 5_000]


def test_a_digest_tells_of_a_file_that_came_or_changed_and_not_of_one_that_went():
    """Of its partition alone."""
    files = assign_files({}, listed("a", "b", "c"), 20)
    digests = partition_digests(files.values())
    assert partition_digests(assign_files(files, listed("a", "c"), 20).values()) == digests
    changed = {**listed("a", "b"), **listed("c", version="2")}
    assert {
        p for p, d in partition_digests(assign_files(files, changed, 20).values()).items() if digests[p] != d
    } == {"group-00002"}
    more = assign_files(files, listed("a", "b", "c", "d"), 20)
    assert partition_digests(more.values())["group-00001"] == digests["group-00001"]
    assert partition_digests(more.values())["group-00002"] != digests["group-00002"]
