"""The partitions of a step, and the upstream rows of each, loaded when they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import dagster as dg

from pxt_assets.assets.step.upstream_input import Partition, UpstreamInput
from pxt_assets.errors import PartitionError, SourceError
from pxt_assets.storage.rows import Rows, rows_of


def step_partitions(context: dg.AssetExecutionContext) -> list[Partition]:
    """The partitions that the step materializes; [None] for an asset without partitions.

    A run of partitions may include assets without any.
    """
    partitioned = context.has_partition_key or context.has_partition_key_range
    return (
        [*context.partition_keys] if partitioned and context.assets_def.partitions_def is not None else [None]
    )


class UpstreamRows:
    """The rows that each partition of a step reads, of each of its inputs.

    `inputs` are the assets by input name. `given` holds values in place of what IO managers load, by input name: those
    of a step that is called directly.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        inputs: Mapping[str, dg.AssetKey],
        partitions: Sequence[Partition],
        given: Mapping[str, Any],
    ) -> None:
        self._assets = inputs
        self._partitions = partitions
        self._given = given
        self._inputs = {
            name: UpstreamInput(context.get_step_execution_context(), name, partitions)
            for name in inputs
            if name not in given
        }
        self._lock = Lock()  # IO managers need not stand several threads

    def check(self) -> None:
        """Loads what tells whether IO managers know partitions apart. Raises RunError for one that does not."""
        for upstream in self._inputs.values():
            upstream.check()

    def of(self, partition: Partition) -> dict[dg.AssetKey, Rows]:
        """The rows of one partition, by asset, those of the first input first.

        Raises PartitionError for a partition that is not stored or cannot be loaded, and for a value that is no table.
        """
        with self._lock:
            return {
                asset: self._inputs[name].rows(partition)
                if name in self._inputs
                else self._given_rows(asset, self._given[name], partition)
                for name, asset in self._assets.items()
            }

    def _given_rows(self, asset: dg.AssetKey, value: Any, partition: Partition) -> Rows:
        try:
            if isinstance(value, Mapping) and partition in value:
                return rows_of(value[partition])
            if len(self._partitions) > 1:
                got = f"a dict without {partition!r}" if isinstance(value, Mapping) else type(value).__name__
                msg = f"got {got} for {len(self._partitions)} partitions, allowed: a dict of tables by partition key"
                raise SourceError(msg)
            return rows_of(value)
        except SourceError as e:
            msg = f"the input {asset.to_user_string()}: {e}"
            raise PartitionError(msg) from e
