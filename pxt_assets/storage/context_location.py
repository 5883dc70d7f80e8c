"""What a context of Dagster's asks of the store: which asset or op output, which partitions, as which type.

Contexts come from runs, from `load_asset_value`, and from tests that build them by hand; each leaves out something.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.execution.plan.inputs import FromDynamicCollect, FromMultipleSources
from dagster_shared.check import CheckError

from pxt_assets.errors import SourceError

OP_OUTPUTS = ".ops"
"""The folder of op outputs, which are no assets; no asset's folder can have its name."""

Context = dg.InputContext | dg.OutputContext


def key_of(context: Context) -> dg.AssetKey:
    """The key of the asset; of an op's output one made of its run, step, name and mapping key."""
    if context.has_asset_key:
        return context.asset_key
    return dg.AssetKey([OP_OUTPUTS, *context.get_identifier()])


def is_op_output(key: dg.AssetKey) -> bool:
    """Whether a key is that of an op's output."""
    return key.path[0] == OP_OUTPUTS


def partition_keys_of(context: Context) -> list[str | None]:
    """The partitions that are stored or loaded, in the order of their definition; [None] for an asset without partitions.

    Dagster has those of a mapping in the order of a set.
    """
    if not context.has_asset_partitions:
        return [None]
    if isinstance(context, dg.OutputContext):
        return [*context.asset_partition_keys]
    partitions_def = context._asset_partitions_def  # None where a test gives a partition key alone
    with partition_loading_context(dynamic_partitions_store=context._instance):
        keys = context.asset_partition_keys
        if len(keys) < 2 or isinstance(partitions_def, dg.TimeWindowPartitionsDefinition | None):
            return [*keys]
        order: dict[str | None, int] = {key: i for i, key in enumerate(partitions_def.get_partition_keys())}
    return sorted(keys, key=lambda key: order.get(key, len(order)))


def all_partitions_of(context: dg.InputContext) -> Sequence[str] | None:
    """All partitions of an asset of which none were asked for, as `load_asset_value(key)` does; else None.

    Raises SourceError for dynamic partitions, which only an instance knows, without one.
    """
    partitions_def: dg.PartitionsDefinition[Any] | None = context._asset_partitions_def
    if context.has_asset_partitions or partitions_def is None:
        return None
    try:
        with partition_loading_context(dynamic_partitions_store=context._instance):
            return partitions_def.get_partition_keys()
    except CheckError as e:
        msg = (
            f"{context.asset_key.to_user_string()}: which partitions it has is known to a Dagster instance alone; give "
            "partition_key= or instance="
        )
        raise SourceError(msg) from e


def type_of(context: dg.InputContext) -> object:
    """The type to load as; Any where the context tells none.

    An input that collects several outputs is a list of what is loaded for each.
    """
    asked: object = Any if context._dagster_type is None else context._dagster_type.typing_type
    if not _collects_outputs(context):
        return asked
    return next(iter(typing.get_args(asked)), Any)


def _collects_outputs(context: dg.InputContext) -> bool:
    step = context._step_context
    if step is None or not context.has_input_name:
        return False
    source = step.step.step_input_named(context.name).source
    return isinstance(source, FromMultipleSources | FromDynamicCollect)


def has_op_tag(context: dg.InputContext, tag: str) -> bool:
    """Whether the op that loads has a tag; nobody loads for an op outside of runs."""
    return context._op_def is not None and tag in context.op_def.tags
