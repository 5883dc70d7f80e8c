"""The digest of what a column is made from, computed without looking at single cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pxt_assets.compute.partition.column import Column
from pxt_assets.storage.contents import ContentsDigest
from pxt_assets.values.digest import digest

if TYPE_CHECKING:
    import pyarrow as pa

INPUT_DIGEST = "made_from"
"""The digest's name in a file's metadata."""


class InputDigest:
    """The digest of a column's code and of the contents of the columns that it reads, in their order."""

    def __init__(self, column: Column) -> None:
        self._code = (column.code_version, *(repr(ref._type) for ref in column.inputs.columns))
        self._types: list[str] = []
        self._contents = ContentsDigest()

    def add(self, arrays: Sequence[pa.Array]) -> None:
        """Adds the columns of the next rows."""
        self._types = [str(array.type) for array in arrays]
        for i, array in enumerate(arrays):
            self._contents.add_values(str(i), array)

    def hexdigest(self) -> str:
        """The digest of what was added, as 32 hexadecimal digits."""
        return digest(repr((self._code, self._types)).encode(), self._contents.hexdigest().encode()).hex()
