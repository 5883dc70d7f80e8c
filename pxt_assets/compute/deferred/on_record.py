"""Which requests of a column are answered by batches, or on their way, for who only looks: nothing is asked or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pxt_assets.api.server_name import SIMULATOR, AskedServer
from pxt_assets.compute.deferred.column_batches import ColumnBatches
from pxt_assets.compute.deferred.record import Partition, partition_name
from pxt_assets.compute.deferred.record_folder import RecordFolder

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import numpy as np
    import numpy.typing as npt
    from upath import UPath

    from pxt_assets.compute.cells.digest_index import Digests

    Mask = npt.NDArray[np.bool_]


class OnRecord:
    """The batches of a column in `folder`, which need not exist, as they are on record now.

    `server` is the one that would be asked; with `asks_now` what is on its way does not count, as it would be asked for now.
    Raises RunError for a record that cannot be read.
    """

    def __init__(self, folder: UPath, server: AskedServer | None, *, asks_now: bool) -> None:
        self.asks_now = asks_now
        records = RecordFolder(folder)
        name = None if server is None else server.name
        if server is not None and server.is_local and all(one.server == SIMULATOR for one in records.read()):
            name = SIMULATOR  # which only its answers would tell
        self._batches = ColumnBatches(records, name)
        self._batches.load(only_looks=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._batches.close()

    def paid(self, digests: Digests, partition: Partition, *, refresh: bool = False) -> Mask:
        """For which requests `S16[n]` of a partition a run would pay nothing more; with `refresh` kept answers do not count."""
        import numpy as np

        found: Mask = np.zeros(len(digests), bool)
        if not refresh:
            found |= self._batches.answers.find(digests, partition_name(partition)) >= 0
        if not self.asks_now:
            found |= self._batches.on_its_way(digests)
        return found
