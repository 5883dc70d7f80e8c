"""Materializations of single partitions, recorded as they finish, in a run of several.

A `MaterializeResult` gives all partitions of a run the same data version, and comes after the last one. So in a run of
several partitions each is logged by itself, with the tags by which Dagster tells what is stale, and the result that ends
the step records nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.partitions.utils import MultiPartitionKey, get_tags_from_multi_partition_key
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.execution.plan.execute_step import _build_data_version_tags, _get_input_provenance_data
from dagster._core.storage.tags import BACKFILL_ID_TAG

from pxt_assets.assets.step.invocation import is_direct


def log_materialization(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    partition: str | None,
    metadata: Mapping[str, Any],
    *,
    data_version: str,
    code_version: str,
) -> None:
    """Records at once that one partition was materialized."""
    if is_direct(context):
        context.log_event(dg.AssetMaterialization(key, partition=partition, metadata=metadata))
        return
    step = context.get_step_execution_context()
    code_version = (
        step.job_def.asset_layer.get(key).code_version or code_version
    )  # definitions may be given another
    tags = _build_data_version_tags(
        dg.DataVersion(data_version), code_version, _get_input_provenance_data(key, step), True
    )
    backfill = step.get_tag(BACKFILL_ID_TAG)
    if backfill:
        tags[BACKFILL_ID_TAG] = backfill
    if isinstance(partition, MultiPartitionKey):
        tags.update(get_tags_from_multi_partition_key(partition))
    context.log_event(dg.AssetMaterialization(key, partition=partition, metadata=metadata, tags=tags))


def already_logged_result(key: dg.AssetKey) -> dg.MaterializeResult[Any]:
    """The result of a step whose partitions are logged already: downstream steps may start, nothing is recorded twice."""
    return dg.MaterializeResult(asset_key=key, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})
