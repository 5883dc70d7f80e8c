"""The digests of a partition's rows, in their order, and which rows are the first ones with theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.compute.cells.digest_index import NO_DIGEST, DigestSet
from pxt_assets.compute.cells.stored_array import StoredArray

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class RowDigests:
    """The digests of all rows that were added; temporary files in `folder` hold them where they are many."""

    def __init__(self, folder: str | None = None) -> None:
        import numpy as np

        self.digests = StoredArray("S16", folder)
        """Each row's, `S16[rows]`; `NO_DIGEST` where it has none."""
        self.is_first = StoredArray("bool", folder)
        """Whether a row is the first one with its digest, `bool[rows]`; not without one."""
        self._seen = DigestSet(folder)
        self._seen.add(np.array([NO_DIGEST], "S16"))

    def add(self, joined: bytes) -> npt.NDArray[np.bool_]:
        """Adds the next rows by their digests, 16 bytes each; says which of them are the first ones with theirs."""
        import numpy as np

        digests = np.frombuffer(joined, "S16")
        is_first = self._seen.add(digests)
        self.digests.append(digests)
        self.is_first.append(is_first)
        return is_first

    def end(self) -> None:
        """Lets go of what only `add` needs: no more rows come."""
        self._seen = DigestSet()
