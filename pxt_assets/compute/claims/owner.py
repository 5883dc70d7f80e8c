"""Owners of claims: which process of which machine for which run, and whether that process has ended."""

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
"""The field of /proc/<pid>/stat that holds a process's start, in ticks since boot. Counted after the name, which may
hold blanks."""


class ClaimedError(PartitionError):
    """Another attempt computes the partition; `by` names it, for messages."""

    by = "another run"


def owner_record(run_id: str | None) -> dict[str, Any]:
    """This process, as a claim records it."""
    pid = os.getpid()
    return {"run_id": run_id, **_pid_scope(), "pid": pid, "started": _process_start(pid)}


def parse_owner(text: bytes) -> Mapping[str, Any]:
    """The owner that a claim's text records; empty if the text is no claim."""
    try:
        owner = json.loads(text)
    except ValueError:
        owner = None
    return owner if isinstance(owner, Mapping) else {}


def is_dead(owner: Mapping[str, Any]) -> bool:
    """Whether the owner's process has surely ended. False where this cannot be known.

    Process numbers compare only on the same boot of the same machine and in the same pid namespace: containers may
    share a host's name and its network address, but not its namespace.
    """
    here = _pid_scope()
    if None in here.values() or any(owner.get(name) != value for name, value in here.items()):
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
    )  # another process has its number now


def describe_owner(owner: Mapping[str, Any]) -> str:
    """The owner as a message names it: `the run … (process … on …)`, as far as it is known."""
    run = f"the run {owner['run_id']}" if owner.get("run_id") else "another run"
    return f"{run} (process {owner['pid']} on {owner.get('host')})" if owner.get("pid") else run


def claimed_error(owner: Mapping[str, Any]) -> ClaimedError:
    """The error for an attempt that finds the partition claimed by `owner`."""
    error = ClaimedError(
        f"{describe_owner(owner)} computes this partition already. Wait for it to end, or terminate it, then materialize "
        "again: what it finished is not computed again"
    )
    error.by = describe_owner(owner)
    return error


def _pid_scope() -> dict[str, Any]:
    """Where process numbers can be compared: host, machine, boot and pid namespace. None for what is unknown."""
    return {
        "host": platform.node() or None,
        "machine": uuid.getnode(),
        "boot": _file_text("/proc/sys/kernel/random/boot_id"),
        "pid_namespace": _pid_namespace(),
    }


def _pid_namespace() -> str | None:
    try:
        if str(Path("/proc/self").readlink()) != str(os.getpid()):  # /proc is another namespace's
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
