"""Claims on a local disk: locks of the operating system, which end with their process however that ends."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path

from pxt_assets.compute.claims.owner import claimed_error, owner_record, parse_owner


def can_lock() -> bool:
    """Whether this system has such locks. Windows has none under which others can read the file."""
    return importlib.util.find_spec("fcntl") is not None


@contextlib.contextmanager
def hold_lock(path: Path, run_id: str | None) -> Iterator[None]:
    """Within the block, no other process has the lock `path`. Raises ClaimedError if one has it.

    A suspended process keeps its lock, so nobody takes it over. On NFS, Linux turns it into a lock on the server, which
    holds for all hosts; but the server silently drops the lock of a host that is cut off for longer than the server's
    lease (90 s by default). Mounted with `nolock` or `local_lock=flock`, the lock holds among the processes of one host
    only: then let no two hosts compute the same partition. Raises OSError where the file system has no locks.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(fd, 1_000)
            os.close(fd)
            raise claimed_error(parse_owner(owner)) from None
        except BaseException:
            os.close(fd)
            raise
        if _is_same_file(fd, path):
            break
        os.close(fd)  # its owner removed it after we had opened it
    try:
        os.truncate(fd, 0)
        os.pwrite(fd, json.dumps(owner_record(run_id)).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is locked, so that nobody locks a removed file
        os.close(fd)


def remove_free_lock(path: Path) -> None:
    """Removes the lock `path` of a process that has ended. Raises ClaimedError if one has it that lives."""
    import fcntl

    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_same_file(fd, path):
            path.unlink(missing_ok=True)
    except BlockingIOError:
        raise claimed_error(parse_owner(os.read(fd, 1_000))) from None
    finally:
        os.close(fd)


def _is_same_file(fd: int, path: Path) -> bool:
    """Whether the open file `fd` is still the one at `path`."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
