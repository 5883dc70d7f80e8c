"""How a step was called: by a run, or directly, as a test calls an asset with `build_asset_context`.

The context of a direct call knows no run, no job and no selection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.execution.context.invocation import BaseDirectExecutionContext


def is_direct(context: dg.AssetExecutionContext) -> bool:
    """Whether the asset was called directly, outside of any run."""
    return isinstance(context, BaseDirectExecutionContext)


def selected_assets(context: dg.AssetExecutionContext) -> set[dg.AssetKey]:
    """The assets that the step is to materialize."""
    return {*(context.assets_def.keys if is_direct(context) else context.selected_asset_keys)}


def selected_checks(context: dg.AssetExecutionContext) -> list[str]:
    """The names of the checks that the step is to evaluate."""
    keys = context.assets_def.check_keys if is_direct(context) else context.selected_asset_check_keys
    return [key.name for key in keys]


def run_id(context: dg.AssetExecutionContext) -> str:
    """The id of the run; of a direct call one that Dagster makes up."""
    return str(_op_context(context).run_id)


def op_config(context: dg.AssetExecutionContext) -> Mapping[str, Any]:
    """The run config of the step."""
    config: Mapping[str, Any] = _op_context(context).op_config or {}
    return config


def _op_context(context: Any) -> Any:
    return getattr(context, "op_execution_context", context)  # `build_op_context` gives that itself
