"""Files that are replaced and moved in one step, so that no reader meets half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pxt_assets.errors import RunError

if TYPE_CHECKING:
    from upath import UPath


def is_local(path: UPath) -> bool:
    """Whether a path is on this machine's file system."""
    return path.protocol in ("", "file", "local")


def remove(path: UPath) -> None:
    """Removes a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        path.fs.rm_file(path.path)


def remove_if_empty(folder: UPath) -> None:
    """Removes a folder that has nothing in it."""
    with contextlib.suppress(OSError):  # it is not empty, or gone, or its store has no folders
        folder.fs.rmdir(folder.path)


@contextlib.contextmanager
def replace_atomically(path: UPath, keep: Path | None = None, staging: UPath | None = None) -> Iterator[Path]:
    """A local file to write, which becomes `path` in one atomic step when the block ends without an error.

    With `keep`, a local copy of what goes to an object store is left there.
    On a local disk: written in the folder `staging`, by default beside the target, synced, renamed. On an object store:
    written to the system's temp directory and uploaded as one object, so that a broken upload leaves no shorter one;
    raises RunError without such a directory.
    """
    if is_local(path):
        target = Path(path.path)
        folder = target.parent if staging is None else Path(staging.path)
        for needed in {folder, target.parent}:
            needed.mkdir(parents=True, exist_ok=True)
        staged = folder / _staged_name(target)
        try:
            yield staged
            _sync(staged)
            _rename(staged, target)
        finally:
            staged.unlink(missing_ok=True)
        return
    temporary = temporary_folder("pxt-")
    try:
        staged = temporary / "staged"
        yield staged
        path.parent.mkdir(parents=True, exist_ok=True)
        path.fs.put_file(str(staged), path.path)
        if keep is not None:
            shutil.move(staged, keep)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_folder(prefix: str) -> Path:
    """A new folder in the system's for temporary files. Raises RunError where none can be made."""
    try:
        return Path(tempfile.mkdtemp(prefix=prefix))
    except OSError as e:
        msg = (
            f"no temporary folder can be made, through which files go to and from an object store ({e}); "
            "set TMPDIR to a folder with room, and materialize again"
        )
        raise RunError(msg) from e


def move_file(source: UPath, target: UPath) -> None:
    """Moves a file that may be gone already to another folder of its store.

    If it is broken off, the file is whole at either place, or at both.
    """
    if is_local(source):
        Path(target.path).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            _rename(Path(source.path), Path(target.path))
        return
    with contextlib.suppress(FileNotFoundError):
        target.fs.cp_file(source.path, target.path)
    remove(source)


def _rename(source: Path, target: Path) -> None:
    """Renames a file, which replaces another one at the target; copies it first where that is another file system."""
    try:
        source.replace(target)
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        copy = target.with_name(_staged_name(target))
        try:
            shutil.copyfile(source, copy)
            _sync(copy)
            copy.replace(target)
        finally:
            copy.unlink(missing_ok=True)
        source.unlink()
    _sync(target.parent)


def _staged_name(target: Path) -> str:
    return f".{target.name}.{uuid.uuid4().hex}.tmp"


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
