"""The partitions of a step, and the upstream rows of each, out of the inputs that Dagster loaded for the whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.utils import infer_partition_mapping

from pxt_assets.assets.step.invocation import is_direct
from pxt_assets.errors import PartitionError, SourceError
from pxt_assets.storage.rows import Rows, concat_rows, rows_of


def step_partitions(context: dg.AssetExecutionContext) -> list[str | None]:
    """The partitions that the step materializes; [None] for an asset without partitions.

    A run of partitions may include assets without any.
    """
    partitioned = context.has_partition_key or context.has_partition_key_range
    return (
        [*context.partition_keys] if partitioned and context.assets_def.partitions_def is not None else [None]
    )


def upstream_rows(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, loaded: Any, partition: str | None
) -> Rows:
    """The rows of an input that belong to one partition of the asset that is being computed.

    `loaded` is what the upstream's IO manager gave for the run: a mapping of partition keys to rows that are not read yet
    (ColumnStore), a dict of partition keys to values (other IO managers, for several partitions), or a value. Raises
    PartitionError for a value that is no table, and for a partition that is not there.
    """
    keys = upstream_partitions(context, asset, partition)
    try:
        if keys is None:
            value = loaded[None] if isinstance(loaded, Mapping) and set(loaded) == {None} else loaded
            return rows_of(value)
        if isinstance(loaded, Mapping) and (len(keys) != 1 or keys[0] in loaded):
            absent = [key for key in keys if key not in loaded]
            if absent:
                msg = f"its IO manager gave no partition {absent[0]!r}; materialize it first"
                raise SourceError(msg)
            return concat_rows([rows_of(loaded[key]) for key in keys])
        return rows_of(loaded)
    except SourceError as e:
        which = f"[{keys[0]}]" if keys and len(keys) == 1 else ""
        msg = f"the input {asset.to_user_string()}{which}: {e}"
        raise PartitionError(msg) from e


def upstream_partitions(
    context: dg.AssetExecutionContext, asset: dg.AssetKey, partition: str | None
) -> Sequence[str] | None:
    """The upstream's partitions that one partition of the asset reads, in order; None if the upstream has none."""
    if is_direct(context):
        return None if partition is None else [partition]
    layer = context.job_def.asset_layer
    theirs = layer.get(asset).partitions_def if layer.has(asset) else None
    if theirs is None:
        return None
    ours = context.assets_def.partitions_def
    if (
        partition is not None
        and ours == theirs
        and context.assets_def.get_partition_mapping_for_dep(asset) is None
    ):
        return [partition]
    mapping = infer_partition_mapping(context.assets_def.get_partition_mapping_for_dep(asset), ours, theirs)
    with partition_loading_context(dynamic_partitions_store=context.instance):
        subset = None
        if ours is not None and partition is not None:
            subset = ours.empty_subset().with_partition_keys([partition])
        mapped = mapping.get_upstream_mapped_partitions_result_for_partitions(subset, ours, theirs)
        keys = mapped.partitions_subset.get_partition_keys()
        if isinstance(theirs, dg.TimeWindowPartitionsDefinition):
            return list(keys)  # these are in order; all keys may be tens of thousands
        wanted = set(keys)
        return [key for key in theirs.get_partition_keys() if key in wanted]
