"""The digests of what a column is made from, computed without looking at single cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from pxt_assets.compute.partition.column import Column
from pxt_assets.storage.contents import ContentsDigest
from pxt_assets.values.digest import digest

if TYPE_CHECKING:
    import pyarrow as pa

INPUT_DIGEST = "made_from"
"""The digest of a column's code and of the contents that it reads, by its name in a file's metadata."""
BOUND_TO = "bound_to"
"""The digest of all else that cells are made of; files of earlier versions have none."""


class InputDigest:
    """The digest of a column's code and of the contents of the columns that it reads, in their order."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._code = (column.code_version, *(repr(ref._type) for ref in column.inputs.columns))
        self._types: list[str] = []
        self._full_types: list[bytes] = []
        self._contents = ContentsDigest()

    def add(self, arrays: Sequence[pa.Array]) -> None:
        """Adds the columns of the next rows."""
        self._types = [str(array.type) for array in arrays]
        self._full_types = [_full_type(array.type) for array in arrays]
        for i, array in enumerate(arrays):
            self._contents.add_values(str(i), array)

    def hexdigest(self) -> str:
        """The digest of what was added, as 32 hexadecimal digits."""
        return digest(repr((self._code, self._types)).encode(), self._contents.hexdigest().encode()).hex()

    def bound_to(self) -> str:
        """The digest of what the plan is bound to now, and of what the text of a type does not show.

        With the versions of what turns rows into requests: this package, and Arrow, which makes Python's values.
        """
        return digest(self._column.plan.bound_to, _versions().encode(), *self._full_types).hex()

    def metadata(self) -> dict[str, str]:
        """Both digests, as the metadata of a file."""
        return {INPUT_DIGEST: self.hexdigest(), BOUND_TO: self.bound_to()}

    def is_that_of(self, metadata: Mapping[str, object]) -> bool:
        """Whether a file of that metadata was made from just this."""
        return all(metadata.get(name) == value for name, value in self.metadata().items())


@cache
def _versions() -> str:
    import pyarrow as pa

    try:
        return f"{version('pxt_assets')} {pa.__version__}"
    except PackageNotFoundError:  # its folder is on the path, and was never installed
        return str(pa.__version__)


def _full_type(arrow_type: pa.DataType) -> bytes:
    """A type with all its parameters: the text of pandas' months is that of its days."""
    import pyarrow as pa

    return bytes(pa.schema([pa.field("", arrow_type)]).serialize())
