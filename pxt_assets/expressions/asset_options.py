"""The names of the options of columns, and why columns have no others of Dagster's."""

from __future__ import annotations

from collections.abc import Iterable

from pxt_assets.errors import DefinitionError, did_you_mean, no_option

ASSET_OPTIONS = frozenset(
    {
        "automation_condition",
        "backfill_policy",
        "cache",
        "checks",
        "deps",
        "description",
        "freshness_policy",
        "group_name",
        "if_exists",
        "kinds",
        "max_cost_usd",
        "metadata",
        "on_error",
        "op_tags",
        "owners",
        "partition_mapping",
        "pool",
        "retry_policy",
        "tags",
        "within",
    }
)
"""The keywords of `.asset(...)` that are options of the asset; all others are arguments of the function."""

_OTHER_OPTIONS = {
    "auto_materialize_policy": "automation_condition= says when a column runs by itself",
    "check_specs": "checks=Checks(...) says which checks it has; others are functions with @dg.asset_check",
    "code_version": "a column's is made of its expression",
    "compute_kind": "kinds= names what it is made with",
    "config_schema": "a column's run config is fixed: limit, refresh, retry_errors, dry_run, max_cost_usd, within, wait",
    "hooks": "add them to the asset: column.with_hooks({...})",
    "io_manager_def": "its store is the table's: Table(..., resource_keys={'columns': ...})",
    "io_manager_key": "its store is the table's: Table(..., resource_keys={'columns': ...})",
    "key_prefix": "its key is the table's, followed by its name",
    "partitions_def": "a column has the table's partitions: Table(..., partitions_def=...)",
    "required_resource_keys": "its resources are the table's: Table(..., resource_keys={...})",
    "resource_defs": "its resources are the table's: Table(..., resource_keys={...})",
    "resource_keys": "these are the table's: Table(..., resource_keys={...})",
    "retries": "retry_policy=dg.RetryPolicy(max_retries=...) retries a failed step",
    "wait": "a run's config says whether it waits for answers that come later: wait: true or false",
}
"""Options of Dagster's assets that columns do not take, and what to do instead."""
_NEAR = 0.8
"""How alike a name must be to an option's to be taken for a slip: arguments of APIs are many."""


def is_like_option(name: str) -> bool:
    """Whether a name is one of Dagster's other options, or a slip of one of a column's."""
    return name in _OTHER_OPTIONS or bool(did_you_mean(name, ASSET_OPTIONS, cutoff=_NEAR))


def unknown_option(where: str, name: str, value: object, allowed: Iterable[str]) -> DefinitionError:
    """The error for a keyword that is no option; it begins with `where`."""
    return DefinitionError(
        no_option(where, name, sorted(allowed), f"={value!r:.60}", _OTHER_OPTIONS.get(name))
    )
