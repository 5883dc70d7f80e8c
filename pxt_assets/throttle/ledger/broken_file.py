"""A SQLite file that was damaged: it is put aside, never deleted."""

from pathlib import Path

_CORRUPT, _NOT_A_DATABASE = 11, 26  # of https://www.sqlite.org/rescode.html


def is_broken(error: BaseException) -> bool:
    """Whether an error of SQLite's driver says that the file is damaged."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in (_CORRUPT, _NOT_A_DATABASE)


def put_aside(path: Path) -> Path:
    """Rename a damaged file, and what SQLite keeps beside it; return its new name."""
    kept = path.with_name(f"{path.name}.broken")
    for suffix in ("", "-wal", "-shm"):
        beside = path.with_name(f"{path.name}{suffix}")
        if beside.exists():
            beside.replace(kept.with_name(f"{kept.name}{suffix}"))
    return kept
