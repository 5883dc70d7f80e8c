"""Files of the user's own for the demo: one partition a file."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path

import dagster as dg

from pxt_assets.errors import SourceError
from pxt_assets.files.pattern import FORMAT_BY_SUFFIX

SUFFIXES = tuple(FORMAT_BY_SUFFIX)


def user_files(folder: Path) -> tuple[str, list[str]]:
    """The pattern of a folder's files, and their names without the suffix: the partitions.

    Raises SourceError unless the folder holds files of one readable format.
    """
    if not folder.is_dir():
        msg = f"{folder} is no folder; give one that holds files of rows ({', '.join(SUFFIXES)})"
        raise SourceError(msg)
    found = sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES and not p.name.startswith("."))
    suffixes = sorted({p.suffix for p in found})
    if len(suffixes) != 1:
        formats = ", ".join(suffixes) or "none"
        msg = f"{folder} holds files of these formats: {formats}; it must hold files of one of {', '.join(SUFFIXES)}"
        raise SourceError(msg)
    return f"{glob.escape(str(folder.resolve()))}/{{partition_key}}{suffixes[0]}", [p.stem for p in found]


def user_partitions(files: str) -> dg.DynamicPartitionsDefinition:
    """The partitions of a pattern's files. Their keys are stored in the Dagster instance, not read at load time."""
    return dg.DynamicPartitionsDefinition(
        name=f"files_{hashlib.blake2b(files.encode(), digest_size=6).hexdigest()}"
    )
