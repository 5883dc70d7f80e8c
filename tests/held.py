"""What this process holds beyond the memory of its objects: threads, files and sockets, and files in a folder."""

import threading
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

_END_SECONDS = 10.0
"""How long a thread that has nothing more to do may take to end, on a busy machine."""


@dataclass(frozen=True)
class Held:
    """A picture of it, to be compared with another."""

    threads: frozenset[threading.Thread]
    open: tuple[str, ...]
    """What the open file descriptors are, the numbers of sockets and pipes left out."""
    files: frozenset[Path]


def held(*folders: Path) -> Held:
    """What is held now, and what lies in the folders."""
    opened = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            opened.append(str(descriptor.readlink()).split(":[")[0])
        except FileNotFoundError:  # the one that lists them
            continue
    files = frozenset(path for folder in folders for path in folder.rglob("*"))
    return Held(frozenset(threading.enumerate()), tuple(sorted(opened)), files)


def threads_left(others: Collection[threading.Thread]) -> list[str]:
    """The names of the threads that are there beside the others, once those about to end have ended.

    The others are those that were there before, which tests before may have left, and which end when they like.
    """
    begun = [thread for thread in threading.enumerate() if thread not in others]
    for thread in begun:
        thread.join(_END_SECONDS)
    return [thread.name for thread in begun if thread.is_alive()]


def held_after(before: Held, *folders: Path) -> Held:
    """What is held once threads that are new, and about to end, have ended; others' that have ended meanwhile count on."""
    threads_left(before.threads)
    now = held(*folders)
    return replace(now, threads=now.threads | before.threads)
