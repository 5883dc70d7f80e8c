"""The answers to a batch's requests as lines, in a file, and an index of them in the order in which they were answered.

Every result of a batch is a part of it: the output file is the lines that went well of a first part of the index, the error
file those that failed, and the beginnings of the lines behind that part, with the reason why they were not answered.
"""

from collections.abc import Generator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_ROW = np.dtype(
    [
        ("offset", "<u8"),
        ("length", "<u4"),
        ("head", "<u4"),
        ("failed", "u1"),
        ("input", "<u4"),
        ("cached", "<u4"),
        ("output", "<u4"),
        ("reasoning", "<u4"),
    ]
)
"""A line: where it lies, how long it is to behind the custom id, whether it failed, and its tokens."""
_CHUNK = 256 * 1024
"""Bytes that are read at once."""
UNANSWERED = {
    "expired": b',"response":null,"error":{"code":"batch_expired","message":"This request could not be executed before the '
    b'completion window expired."}}\n',
    "cancelled": b',"response":null,"error":{"code":"batch_cancelled","message":"This request was not executed, since the '
    b'batch was cancelled."}}\n',
}
"""The end of a line that was not answered, by the batch's status; after any other it is left out."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What the first part of the lines amounts to."""

    completed: int
    failed: int
    usage: dict[str, Any]


class LineWriter:
    """Writes lines one by one; then the index, in a drawn order."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offset = 0
        self._rows: list[tuple[int, ...]] = []

    def write(self, head: bytes, rest: bytes, *, failed: bool, tokens: tuple[int, int, int, int]) -> None:
        """Add a line; `head` ends behind its custom id, `tokens` are input, cached, output and reasoning tokens."""
        length = len(head) + len(rest)
        self._rows.append((self._offset, length, len(head), failed, *tokens))
        self._file.write(head)
        self._file.write(rest)
        self._offset += length

    def index(self, seed: int) -> bytes:
        """The index, whose order the seed decides."""
        rows = np.array(self._rows, dtype=_ROW)
        order = np.random.default_rng(seed).permutation(len(rows))
        return rows[order].tobytes()


class AnsweredLines:
    """The lines of one batch."""

    def __init__(self, lines: Path, index: Path) -> None:
        """Raises FileNotFoundError if they were removed."""
        self._path = lines
        self._rows: npt.NDArray[Any] = np.fromfile(index, dtype=_ROW)

    def tally(self, reach: float) -> Tally:
        """Counts and tokens of a first part of the lines, a share of all."""
        rows = self._rows[: self._count(reach)]
        failed = int(rows["failed"].sum())
        sums = {
            name: int(rows[name].sum(dtype=np.int64)) for name in ("input", "cached", "output", "reasoning")
        }
        return Tally(len(rows) - failed, failed, usage_of(**sums))

    def size(self, part: str, reach: float, status: str) -> int:
        """Bytes of a result; 0 if there is none."""
        good, bad, unanswered = self._parts(reach, status)
        if part == "output":
            return int(good["length"].sum(dtype=np.int64))
        end = len(UNANSWERED.get(status, b""))
        return int(bad["length"].sum(dtype=np.int64) + unanswered["head"].sum(dtype=np.int64)) + end * len(
            unanswered
        )

    def read(self, part: str, reach: float, status: str) -> Generator[bytes, None, None]:
        """A result, in pieces; what is read stays readable when the file is removed meanwhile."""
        good, bad, unanswered = self._parts(reach, status)
        with self._path.open("rb", buffering=0) as file:
            if part == "output":
                yield from _pieces(file, good["offset"], good["length"], b"")
                return
            yield from _pieces(file, bad["offset"], bad["length"], b"")
            yield from _pieces(file, unanswered["offset"], unanswered["head"], UNANSWERED.get(status, b""))

    def _count(self, reach: float) -> int:
        return int(len(self._rows) * reach)

    def _parts(self, reach: float, status: str) -> tuple[npt.NDArray[Any], ...]:
        count = self._count(reach)
        answered = self._rows[:count]
        failed = answered["failed"] > 0
        left = self._rows[count:] if status in UNANSWERED else self._rows[:0]
        return answered[~failed], answered[failed], left


def usage_of(input: int = 0, cached: int = 0, output: int = 0, reasoning: int = 0) -> dict[str, Any]:
    """Tokens as a batch states them."""
    return {
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input + output,
    }


def _pieces(file: RawIOBase, offsets: Any, lengths: Any, end: bytes) -> Generator[bytes, None, None]:
    piece, size = list[bytes](), 0
    for offset, length in zip(offsets.tolist(), lengths.tolist(), strict=True):
        file.seek(offset)
        piece += (file.read(length) or b"", end)
        size += length + len(end)
        if size >= _CHUNK:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)
