"""Options of a table's assets that Dagster's own assets have: what users give, and what it becomes beside our own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict, get_args

import dagster as dg

from pxt_assets.assets.step.resource_keys import resources_tag
from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.asset_options import unknown_option
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.storage.store import LAZY_TAG

IfExists = Literal["error", "ignore", "replace", "replace_force"]
"""What to do where a column or an index has the name already; the last two are the same, as in Pixeltable."""


class AssetOptions(TypedDict, total=False):
    """The options of assets, as `dg.asset` has them."""

    partition_mapping: dg.PartitionMapping | None
    """Which partitions of the upstream asset a partition reads."""
    automation_condition: dg.AutomationCondition[Any] | None
    """When it runs by itself."""
    freshness_policy: dg.FreshnessPolicy | None
    """How old it may become."""
    group_name: str | None
    owners: Sequence[str] | None
    tags: Mapping[str, str] | None
    kinds: Collection[str] | None
    """Kinds beside those that it has."""
    metadata: Mapping[str, Any] | None
    """Metadata of its definition, beside what it has."""
    description: str | None
    deps: Iterable[Any] | None
    """Further assets upstream, which it does not read: columns, and whatever `dg.asset(deps=...)` takes."""
    pool: str | None
    """The Dagster pool that limits how many run at once."""
    retry_policy: dg.RetryPolicy | None
    """How a failed step is retried; finished rows are not paid for again."""
    op_tags: Mapping[str, Any] | None
    """Tags of its step, such as `dagster-k8s/config`."""
    backfill_policy: dg.BackfillPolicy | None
    """How many partitions a run of a backfill has; the table's by default."""


_CLASSES: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "automation_condition": (dg.AutomationCondition, "a dg.AutomationCondition"),
    "backfill_policy": (dg.BackfillPolicy, "a dg.BackfillPolicy"),
    "metadata": (Mapping, "a dict"),
    "op_tags": (Mapping, "a dict"),
    "retry_policy": (dg.RetryPolicy, "a dg.RetryPolicy(max_retries=..., delay=...)"),
    "tags": (Mapping, "a dict"),
}
_LISTS = {"deps": "assets, keys or columns", "kinds": "texts", "owners": "texts"}


def check_asset_options(options: Mapping[str, Any], where: str, others: Iterable[str] = ()) -> None:
    """Refuses unknown options, and values of another kind; the DefinitionError begins with `where`.

    `others` are the options beside these, which the message names too.
    """
    for name, value in options.items():
        if name not in AssetOptions.__annotations__:
            raise unknown_option(where, name, value, [*others, *AssetOptions.__annotations__])
        if value is None:
            continue
        kind, allowed = _CLASSES.get(name, (object, ""))
        if not isinstance(value, kind):
            msg = f"{where}: got {name}={value!r:.60}, allowed: {allowed}"
            raise DefinitionError(msg)
        if name in _LISTS and (isinstance(value, str) or not isinstance(value, Iterable)):
            msg = f"{where}: got {name}={value!r:.60}, allowed: a list of {_LISTS[name]}"
            raise DefinitionError(msg)
    for name, prefix in (("metadata", "pxt/"), ("op_tags", "pxt_assets/")):
        reserved = [key for key in options.get(name) or () if str(key).startswith(prefix)]
        if reserved:
            msg = (
                f"{where}: got {name} with {reserved[0]!r}; names that begin with {prefix} are this package's"
            )
            raise DefinitionError(msg)


def check_if_exists(if_exists: object, where: str) -> None:
    """Refuses another value; the DefinitionError begins with `where`."""
    if if_exists not in get_args(IfExists):
        msg = f"{where}: got if_exists={if_exists!r}, allowed: {', '.join(map(repr, get_args(IfExists)))}"
        raise DefinitionError(msg)


def op_tags_of(given: Mapping[str, Any], resource_keys: Mapping[str, str]) -> dict[str, Any]:
    """The tags of a step: those that were given, and those by which the store and the resources are told of it."""
    return {**given, LAZY_TAG: "true", **resources_tag(resource_keys)}


def further_deps(
    deps: Iterable[Any], read: Collection[dg.AssetKey], key: dg.AssetKey, where: str
) -> tuple[dg.AssetDep, ...]:
    """The assets of the option `deps` beside those that are `read`; the DefinitionError begins with `where`."""
    found: dict[dg.AssetKey, dg.AssetDep] = {}
    for given in deps:
        dep = _asset_dep(given, where)
        if dep.asset_key == key:
            msg = f"{where}: got itself among its deps; leave it out"
            raise DefinitionError(msg)
        if dep.asset_key in read and dep.partition_mapping is not None:
            msg = (
                f"{where}: got {dep.asset_key.to_user_string()} with a partition mapping among its deps, but it is read; "
                "give partition_mapping= for the table's asset, and leave it out of deps"
            )
            raise DefinitionError(msg)
        if dep.asset_key not in read:
            found[dep.asset_key] = dep
    return tuple(found.values())


def _asset_dep(given: Any, where: str) -> dg.AssetDep:
    if isinstance(given, ColumnRef):
        return dg.AssetDep(given._asset)
    if isinstance(given, str) and given:
        return dg.AssetDep(dg.AssetKey.from_user_string(given))
    attributes = getattr(given, "_attributes", None)  # of a Table
    key = getattr(attributes, "key", None)
    try:
        return dg.AssetDep.from_coercible(key if isinstance(key, dg.AssetKey) else given)
    except Exception as e:  # Dagster's checks raise errors of several kinds
        msg = (
            f"{where}: got {type(given).__name__} {given!r:.60} among its deps, allowed: a column (tbl.other), an asset, "
            f"AssetSpec or AssetDep, or the key of an asset ({e})"
        )
        raise DefinitionError(msg) from e
