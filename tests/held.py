"""What this process holds beyond the memory of its objects: threads, files and sockets, and files in a folder."""

import threading
from dataclasses import dataclass
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


def held_after(before: Held, *folders: Path) -> Held:
    """What is held once threads that are new, and about to end, have ended."""
    for thread in frozenset(threading.enumerate()) - before.threads:
        thread.join(_END_SECONDS)
    return held(*folders)
