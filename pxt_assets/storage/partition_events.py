"""The materializations of several partitions that are stored together, each with the data version of its contents.

Dagster records one data version for all partitions that a step stores at once. Then reading the same files again would
make stale whatever reads them, by way of the partitions that changed, or of how many are read together.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.definition.asset_spec import AssetExecutionType
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.execution.plan.execute_step import _get_output_asset_events


def record_partitions(
    context: dg.OutputContext, stored: Mapping[str, tuple[Mapping[str, Any], dg.DataVersion]]
) -> None:
    """Records that the partitions in `stored` were materialized, each with its metadata and its data version.

    An asset that gave a data version of its own keeps it, for all of them.
    """
    step = context.step_context
    output = _output_of(context)
    if output is None or output.data_version is not None or step.has_data_version(context.asset_key):
        for key, (metadata, _) in stored.items():  # these Dagster adds to the events that it makes
            step.add_asset_metadata(asset_key=context.asset_key, partition_key=key, metadata=metadata)
        return
    materialized = AssetExecutionType.MATERIALIZATION
    for key, (metadata, data_version) in stored.items():
        versioned = dg.Output(
            None,
            output_name=output.output_name,
            metadata=output.metadata,
            data_version=data_version,
            tags=output.tags,
        )
        output_def = context.op_def.output_def_named(output.output_name)
        for event in _get_output_asset_events(
            context.asset_key, [key], versioned, output_def, metadata, step, materialized
        ):
            context.log_event(event)
    recorded = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: dg.MetadataValue.bool(True)}
    output._metadata = {**output.metadata, **recorded}  # Dagster records nothing twice


def _output_of(context: dg.OutputContext) -> dg.Output[Any] | None:
    """What the step gave out, which Dagster hands to no IO manager: its tags and its data version count.

    None outside of a run, or where Dagster keeps it elsewhere.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "_store_output" and frame.f_locals.get("output_context") is context:
            output = frame.f_locals.get("output")
            return output if isinstance(output, dg.Output) else None
        frame = frame.f_back
    return None
