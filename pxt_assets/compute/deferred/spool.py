"""The lines that are to be submitted, gathered in temporary files: one for each endpoint and model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pxt_assets.api.batches import batch_endpoint, request_line
from pxt_assets.compute.cells.digest_index import DigestIndex, DigestSet
from pxt_assets.compute.cells.scratch_file import ScratchFile
from pxt_assets.compute.cells.stored_array import StoredArray
from pxt_assets.compute.deferred.splitting import Limits, even_parts
from pxt_assets.errors import RunError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pxt_assets.api.request import Request

    Digests = npt.NDArray[np.bytes_]
    Entries = npt.NDArray[np.void]

_ENTRY_DTYPE = "S16,u4,u4,u4,f8,u4"
"""Of a line: digest, bytes, estimated tokens, inputs, expected cost in US dollars (NaN: unknown), partition."""
_WAITING_LINES = 4_096
_WAITING_BYTES = 8 * 2**20
_COPIED_AT_ONCE = 4 * 2**20
_BLOCKS = 65_536
"""Of so many lines that follow each other at most the sizes are known singly while they are split."""


class Key(NamedTuple):
    """What all lines of a file have in common."""

    endpoint: str
    """`/v1/chat/completions`."""
    model: str


@dataclass(frozen=True)
class Part:
    """Lines that go into one file."""

    spool: Spool
    first: int
    """The number of the first line."""
    digests: Digests
    begin: int
    """Where the first line begins in the spool."""
    size: int
    """Bytes of all lines."""
    tokens: int
    cost_usd: float | None
    partitions: tuple[str, ...]
    """The names of the partitions that want these lines, in records."""

    def write(self, path: Path) -> None:
        """Writes the file. Raises RunError where there is no room for it."""
        end = self.begin + self.size
        try:
            with path.open("wb") as file:
                for begin in range(self.begin, end, _COPIED_AT_ONCE):
                    file.write(self.spool.lines.read(begin, min(_COPIED_AT_ONCE, end - begin)))
        except OSError as e:
            msg = (
                f"cannot write the file of a batch, {self.size:,} bytes, at {path} ({e}); make room there or set TMPDIR to a "
                "folder that has some, and materialize again"
            )
            raise RunError(msg) from e


@dataclass
class _Waiting:
    """Lines that are not written yet."""

    rows: list[tuple[bytes, int, int, int, float, int]] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    bytes: int = 0


class Spool:
    """The lines of one endpoint and model. Each request is there once, however many partitions want it."""

    def __init__(self, key: Key, scratch: str | None, *, azure: bool = False) -> None:
        self.key = key
        self.lines = ScratchFile(scratch)
        self._azure = azure
        self._scratch = scratch
        self._entries = StoredArray(_ENTRY_DTYPE, scratch)
        self._known = DigestSet(scratch)
        self._waiting = _Waiting()
        self._again = StoredArray("S16,u4", scratch)
        """Requests that another partition wants too: digest, partition."""
        self._partitions: dict[str, int] = {}

    def add(self, request: Request, partition: str, cost_usd: float | None) -> None:
        """Adds the line of a request. Raises CellError for one that no line can hold."""
        line = request_line(request, azure=self._azure)
        number = self._partitions.setdefault(partition, len(self._partitions))
        size = request.size
        cost = float("nan") if cost_usd is None else cost_usd
        waiting = self._waiting
        waiting.rows.append(
            (request.digest, len(line), int(size.least_tokens) + 1, _inputs(request), cost, number)
        )
        waiting.lines.append(line)
        waiting.bytes += len(line)
        if len(waiting.lines) >= _WAITING_LINES or waiting.bytes >= _WAITING_BYTES:
            self._write()

    def _write(self) -> None:
        import numpy as np

        waiting, self._waiting = self._waiting, _Waiting()
        if not waiting.rows:
            return
        entries = np.array(waiting.rows, _ENTRY_DTYPE)
        is_new = self._known.add(np.ascontiguousarray(entries["f0"]))
        if not is_new.all():
            again = np.empty(int((~is_new).sum()), "S16,u4")
            again["f0"], again["f1"] = entries["f0"][~is_new], entries["f5"][~is_new]
            self._again.append(again)
            entries = entries[is_new]
            lines = [waiting.lines[i] for i in np.flatnonzero(is_new).tolist()]
        else:
            lines = waiting.lines
        self.lines.append(b"".join(lines))
        self._entries.append(entries)

    def __len__(self) -> int:
        self._write()
        return len(self._entries)

    def parts(self, limits: Limits) -> Iterator[Part]:
        """The lines in parts, each within the limits, as even as can be."""
        import numpy as np

        count = len(self)
        if not count:
            return
        step = -(-count // _BLOCKS)
        sizes = self._sizes(step)
        if step > 1 and any((some > limit).any() for some, limit in zip(sizes, limits, strict=True)):
            step, sizes = 1, self._sizes(1)
        ends = [min(end * step, count) for end in even_parts(sizes, limits)]
        wanted_too = self._partitions_by_part(ends)
        names = list(self._partitions)
        first = begin = 0
        for end, others in zip(ends, wanted_too, strict=True):
            entries = self._entries[first:end]
            size = int(entries["f1"].astype(np.int64).sum())
            numbers = set(entries["f5"].tolist()) | others
            cost = float(entries["f4"].sum())
            yield Part(
                self,
                first,
                np.ascontiguousarray(entries["f0"]),
                begin,
                size,
                int(entries["f2"].astype(np.int64).sum()),
                None if np.isnan(cost) else cost,
                tuple(names[i] for i in sorted(numbers)),
            )
            first, begin = end, begin + size

    def _sizes(self, step: int) -> list[npt.NDArray[np.float64]]:
        """The sizes of each `step` lines, in the dimensions of Limits."""
        import numpy as np

        starts = range(0, len(self._entries), step * 4_096)
        return [
            np.concatenate([self._sums(column, start, step) for start in starts])
            for column in (None, "f1", "f3", "f2")
        ]

    def _sums(self, column: str | None, start: int, step: int) -> npt.NDArray[np.float64]:
        """The sums of a column, None for the lines themselves, over each `step` lines of the next some thousand."""
        import numpy as np

        entries = self._entries[start : start + step * 4_096]
        values = np.ones(len(entries)) if column is None else entries[column].astype(np.float64)
        sums: npt.NDArray[np.float64] = np.add.reduceat(values, np.arange(0, len(values), step))
        return sums

    def _partitions_by_part(self, ends: list[int]) -> list[set[int]]:
        """For each part the partitions that want lines of it too, which another partition wanted first."""
        import numpy as np

        found: list[set[int]] = [set() for _ in ends]
        if not len(self._again):
            return found
        index = DigestIndex(self._scratch)
        for start in range(0, len(self._entries), 65_536):
            entries = self._entries[start : start + 65_536]
            index.add(
                np.ascontiguousarray(entries["f0"]), np.arange(start, start + len(entries), dtype=np.int64)
            )
        for start in range(0, len(self._again), 65_536):
            again = self._again[start : start + 65_536]
            part = np.searchsorted(
                np.array(ends), index.find(np.ascontiguousarray(again["f0"])), side="right"
            )
            for i, number in np.unique(np.stack([part, again["f1"].astype(np.int64)]), axis=1).T.tolist():
                found[i].add(number)
        return found


def spool_key(request: Request) -> Key:
    """Which file a request's line goes to."""
    return Key(batch_endpoint(request.endpoint.path), request.model)


def _inputs(request: Request) -> int:
    """How many texts it has embedded, of which a batch takes so many; 0 for other endpoints."""
    if request.endpoint.path != "/embeddings":
        return 0
    given = request.body.get("input")
    if isinstance(given, list) and given and not isinstance(given[0], int):
        return len(given)
    return 1
