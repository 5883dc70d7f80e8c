"""Owners of claims: which process of which machine for which run, and whether that process is no more."""

from __future__ import annotations

import json
import os
import platform
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pxt_assets.errors import PartitionError

_START_TIME_FIELD = 19
"""Of a process, in ticks since boot: its place in /proc/<pid>/stat after the name, which may hold blanks."""


class ClaimedError(PartitionError):
    """Another attempt computes the partition."""


def owner_record(run_id: str | None) -> dict[str, Any]:
    """What a claim says of this process."""
    pid = os.getpid()
    return {"run_id": run_id, **_pid_scope(), "pid": pid, "started": _process_start(pid)}


def parse_owner(text: bytes) -> Mapping[str, Any]:
    """What a claim says of its owner; nothing where it is no claim."""
    try:
        owner = json.loads(text)
    except ValueError:
        owner = None
    return owner if isinstance(owner, Mapping) else {}


def is_dead(owner: Mapping[str, Any]) -> bool:
    """Whether the owner is surely no more: a process that would be seen here if it lived.

    A process number means something only on the same boot of the same machine and in the same namespace of numbers:
    containers may share a host's name and its network address, but not that. False for all that cannot be known.
    """
    here = _pid_scope()
    if None in here.values() or any(owner.get(name) != said for name, said in here.items()):
        return False
    try:
        pid = int(owner["pid"])
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError, KeyError, TypeError, ValueError):
        return False
    started = _process_start(pid)
    return (
        None not in (started, owner.get("started")) and started != owner["started"]
    )  # it has its number anew


def describe_owner(owner: Mapping[str, Any]) -> str:
    """The owner for a message: `the run … (process … on …)`, as far as it is known."""
    run = f"the run {owner['run_id']}" if owner.get("run_id") else "another run"
    return f"{run} (process {owner['pid']} on {owner.get('host')})" if owner.get("pid") else run


def claimed_error(owner: Mapping[str, Any]) -> ClaimedError:
    """The error of an attempt that is refused."""
    return ClaimedError(
        f"{describe_owner(owner)} computes this partition already. Wait for it to end, or terminate it, then materialize "
        "again: what it finished is not computed again"
    )


def _pid_scope() -> dict[str, Any]:
    """Where process numbers mean the same; None for what the system does not tell."""
    return {
        "host": platform.node() or None,
        "machine": uuid.getnode(),
        "boot": _file_text("/proc/sys/kernel/random/boot_id"),
        "pid_namespace": _pid_namespace(),
    }


def _pid_namespace() -> str | None:
    try:
        if str(Path("/proc/self").readlink()) != str(os.getpid()):  # what is mounted is another namespace's
            return None
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _process_start(pid: int) -> int | None:
    try:
        return int((_file_text(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()[_START_TIME_FIELD])
    except (IndexError, ValueError):
        return None


def _file_text(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="replace").strip() or None
    except OSError:
        return None
