"""Numbers inside of files."""

from __future__ import annotations


def unsigned(content: bytes, at: int, size: int) -> int:
    """The big-endian number in `size` bytes. Raises ValueError where they are not there."""
    found = content[at : at + size]
    if len(found) < size:
        msg = f"the file ends within the {size} bytes at {at}"
        raise ValueError(msg)
    return int.from_bytes(found)
