"""Batches that were refused as a whole for what their requests are: told once, and submitted again only on demand."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from pxt_assets.errors import FatalApiError

if TYPE_CHECKING:
    from pxt_assets.compute.deferred.record import BatchRecord, Partition

_LATELY = 3_600.0
"""Seconds in which all runs begin that were asked for together."""


class RefusedBatchError(FatalApiError):
    """Submitted as it was, a batch would be refused again: somebody has to correct something first."""


def raise_if_refused(label: str, record: BatchRecord) -> None:
    """Raises RefusedBatchError for a batch that was refused; `label` stands before its message."""
    if record.refused:
        raise RefusedBatchError(f"{label}{record.refused}")


def raise_if_refused_lately(
    label: str, records: Iterable[BatchRecord], partitions: Collection[Partition], now: float
) -> None:
    """Raises it if one of the partitions waits for what was refused lately, though it was told to a run of others."""
    for record in records:
        is_lately = now - (record.ended_at or 0.0) < _LATELY
        if is_lately and not set(partitions).isdisjoint(record.waiting_partitions):
            raise_if_refused(label, record)
