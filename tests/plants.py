"""Secrets that are planted in a test, and a search for them in all that a run leaves behind."""

import gzip
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

KEY = "sk-proj-" + "aB3Qx9Z7RtLm2Wc5Yv8Kd0Hs4Gn6Jp1FeiUoXzTqPwEyNrSb"
PASSWORD = "Pw7hG2kLs9dFq3Zx"
_LENGTH = 12
"""Characters in one piece that are too much of a secret."""


def pieces(secret: str) -> set[str]:
    """What must be found nowhere of a secret."""
    own = secret.removeprefix("sk-proj-")
    return {own[i : i + _LENGTH] for i in range(len(own) - _LENGTH + 1)}


def leaks(
    roots: Iterable[Path], texts: Iterable[str] = (), secrets: Iterable[str] = (KEY, PASSWORD)
) -> list[str]:
    """Where a piece of a secret is in the files below some folders, decoded, or in some texts."""
    wanted = [piece for secret in secrets for piece in pieces(secret)]
    found = []
    for name, text in [*_contents(roots), *((f"text {i}", text) for i, text in enumerate(texts))]:
        if any(piece in text for piece in wanted):
            found.append(name)
    return found


def _contents(roots: Iterable[Path]) -> Iterator[tuple[str, str]]:
    for root in roots:
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            for text in _texts_of(path):
                yield str(path.relative_to(root)), text


def _texts_of(path: Path) -> Iterator[str]:
    """A file's content as it is, as UTF-16, and decoded where it is compressed or in pages."""
    content = path.read_bytes()
    yield content.decode("latin-1")
    yield content.decode("utf-16-le", "replace")
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content).decode("latin-1")
    elif content[:4] == b"PAR1":
        yield str(pq.read_table(path).to_pydict())
        yield str(pq.read_metadata(path).metadata)
    elif content[:6] == b"ARROW1":
        yield str(pa.ipc.open_file(path).read_all().to_pydict())
    elif content[:15] == b"SQLite format 3":
        with sqlite3.connect(path) as database:
            yield "\n".join(database.iterdump())
