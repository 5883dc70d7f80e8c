"""Which partition each file belongs to: once it has one, it keeps it, whatever arrives later."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from pxt_assets.files.partition_keys import partition_key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pxt_assets.files.listing import Listed

_GROUP = re.compile(r"group-(\d{5,})")
_MAX_FILES_A_GROUP = 10_000
"""However small they are."""


class AssignedFile(NamedTuple):
    """A file, by its path below the pattern's folder, and its partition."""

    path: str
    partition: str
    size: int
    """In bytes."""
    version: str
    """The one that its partition is, or is to be, read with; see `Listed`."""


def assign_files(
    assigned: Mapping[str, AssignedFile], found: Mapping[str, Listed], group_bytes: int | None
) -> dict[str, AssignedFile]:
    """The files by their paths, in the order in which they were assigned: those that are, and those that were found.

    A found file that is known has its new version. A new one is a partition of its own, or, with `group_bytes`, added to the
    last group as long as the group is smaller than that with it. Files that are gone stay where they were.
    """
    files = dict(assigned)
    for path in found.keys() & assigned.keys():
        listed = found[path]
        files[path] = files[path]._replace(size=listed.size, version=listed.version)
    new = [path for path in found if path not in assigned]
    if group_bytes is None:
        keys: Iterable[str] = map(partition_key_of, new)
    else:
        keys = _group_keys(files.values(), [found[path].size for path in new], group_bytes)
    for path, key in zip(new, keys, strict=True):
        files[path] = AssignedFile(path, key, found[path].size, found[path].version)
    return files


def partition_digests(files: Iterable[AssignedFile]) -> dict[str, str]:
    """What tells whether a partition's files are others than before, by its key, in the order of their first files."""
    digests: dict[str, hashlib.blake2b] = {}
    for file in files:
        digest = digests.setdefault(file.partition, hashlib.blake2b(digest_size=16))
        digest.update(f"{file.path}\0{file.version}\0".encode(errors="surrogateescape"))
    return {partition: digest.hexdigest() for partition, digest in digests.items()}


def _group_keys(known: Iterable[AssignedFile], sizes: Iterable[int], group_bytes: int) -> Iterable[str]:
    number, in_group, files_in_group = 0, 0, 0
    for file in known:
        group = _GROUP.fullmatch(file.partition)
        if group is None:
            continue
        if int(group[1]) > number:
            number, in_group, files_in_group = int(group[1]), 0, 0
        if int(group[1]) == number:
            in_group, files_in_group = in_group + file.size, files_in_group + 1
    for size in sizes:
        is_full = files_in_group > 0 and in_group + size > group_bytes
        if number == 0 or is_full or files_in_group >= _MAX_FILES_A_GROUP:
            number, in_group, files_in_group = number + 1, 0, 0
        in_group, files_in_group = in_group + size, files_in_group + 1
        yield f"group-{number:05}"
