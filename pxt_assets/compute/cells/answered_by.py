"""Which server answered each row of a column's file, kept in the file's own metadata."""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pxt_assets.api.server_name import UNKNOWN
from pxt_assets.storage.provenance import ANSWERED_BY

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_MOST = 255
"""Servers that one file tells apart; those of further ones are unknown."""


class RowServers:
    """The name of the server of each row, None where it is unknown, or where no server was asked."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._codes = bytearray()
        """A byte a row: 0 for None, or the number of a name."""
        self.counts: Counter[str] = Counter()
        """Rows with an answer, by server; those of unknown ones under UNKNOWN."""

    def add(self, servers: pa.Array | pa.ChunkedArray, answered: pa.Array | pa.ChunkedArray) -> None:
        """Adds the next rows: the names of their servers, and whether they have an answer."""
        import numpy as np
        import pyarrow.compute as pc

        encoded = pc.dictionary_encode(servers)
        for chunk in getattr(encoded, "chunks", [encoded]):
            number = np.array([0, *map(self._number, chunk.dictionary.to_pylist())], np.uint8)
            at = chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            self._codes += number[at + 1].tobytes()
        new = np.frombuffer(self._codes, np.uint8)[len(self._codes) - len(servers) :]
        rows = np.bincount(new[answered.to_numpy(zero_copy_only=False)], minlength=1)
        for number_, count in enumerate(rows.tolist()):
            if count:
                self.counts[self._names[number_ - 1] if number_ else UNKNOWN] += count

    def _number(self, name: str) -> int:
        if name not in self._names:
            if len(self._names) == _MOST:
                return 0
            self._names.append(name)
        return self._names.index(name) + 1

    @property
    def names(self) -> list[str]:
        """The known servers."""
        return self._names

    def take(self, positions: npt.NDArray[np.int64]) -> pa.Array:
        """The names of the rows at `int64[n]`."""
        import numpy as np
        import pyarrow as pa

        if not self._codes:
            return pa.nulls(len(positions), pa.string())
        codes = np.frombuffer(self._codes, np.uint8)[positions]
        return pa.array([None, *self._names], pa.string()).take(pa.array(codes))

    def rows_of(self, is_wanted: Callable[[str], bool]) -> npt.NDArray[np.int64]:
        """The rows of the servers that are wanted, `int64[n]`."""
        import numpy as np

        wanted = [i + 1 for i, name in enumerate(self._names) if is_wanted(name)]
        if not wanted:
            return np.empty(0, np.int64)
        return np.flatnonzero(np.isin(np.frombuffer(self._codes, np.uint8), np.array(wanted, np.uint8)))

    def to_metadata(self) -> str:
        """The same as text. A byte a row, compressed: rows of one server take next to nothing."""
        rows = base64.b64encode(zlib.compress(bytes(self._codes))).decode()
        return json.dumps({"servers": self._names, "counts": self.counts, "rows": rows})


def row_servers(metadata: Mapping[str, Any], rows: int) -> RowServers:
    """The servers of a file's rows, by its metadata: all unknown where it does not say."""
    found = RowServers()
    if ANSWERED_BY in metadata:
        stored = json.loads(metadata[ANSWERED_BY])
        codes = zlib.decompress(base64.b64decode(stored["rows"]))
        if len(codes) == rows:
            found._names, found._codes = [*stored["servers"]], bytearray(codes)
            found.counts.update(stored["counts"])
    return found


def is_other_mask(
    servers: pa.Array | pa.ChunkedArray, is_other: Callable[[str], bool]
) -> npt.NDArray[np.bool_]:
    """Which names are wanted, `bool[n]`."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = [name for name in pc.unique(servers).to_pylist() if name is not None and is_other(name)]
    if not wanted:
        return np.zeros(len(servers), bool)
    mask: npt.NDArray[np.bool_] = pc.is_in(servers, pa.array(wanted)).to_numpy(zero_copy_only=False)
    return mask
