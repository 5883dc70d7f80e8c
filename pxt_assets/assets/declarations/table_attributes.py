"""What a user declares of a table: its upstream asset, key, schema and partitions, checked while definitions load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pxt_assets.api.within import Within
from pxt_assets.assets.declarations.within import table_within
from pxt_assets.assets.step.grouped_asset import GroupedAsset, chosen_group
from pxt_assets.assets.step.resource_keys import ResourceKeys, resource_keys_of
from pxt_assets.errors import DefinitionError
from pxt_assets.values.types import ColumnType

UpstreamAsset = dg.AssetsDefinition | dg.AssetSpec | dg.AssetKey | str
"""What can be given as a table: the definition, the spec or the key of an asset, or its key as text."""


@dataclass
class CollectorName:
    """The sensor that collects a table's answers, once there is one: it may be made after the columns are."""

    name: str | None = None
    is_on: bool = True
    """Whether it is switched on, as long as nobody has said otherwise in the UI."""


@dataclass(frozen=True)
class TableAttributes:
    """What was declared of a table; it holds for all assets of the table, unless they say otherwise."""

    key: dg.AssetKey
    """Of the upstream asset."""
    row_key: tuple[str, ...]
    schema: Mapping[str, type[ColumnType]]
    """The types of upstream columns, as the user declared them."""
    upstream_columns: Mapping[str, str] | None
    """The types of the upstream columns as the upstream asset declares them; None where it does not."""
    partitions_def: dg.PartitionsDefinition[Any] | None
    backfill_policy: dg.BackfillPolicy | None
    group_name: str | None
    """The one that was chosen for the upstream asset."""
    automation_condition: dg.AutomationCondition[Any] | None
    pool: str | None
    within: Within | None
    """How long answers may take, of columns that can have that time."""
    collector: CollectorName
    resources: ResourceKeys

    def backfill_policy_of(self, given: dg.BackfillPolicy | None) -> dg.BackfillPolicy | None:
        """The policy of one of its assets: the one that was given, or the table's; none without partitions."""
        return (given or self.backfill_policy) if self.partitions_def else None

    def asset_attributes(self, **given: Any) -> dict[str, Any]:
        """The attributes of one of its assets: those that were `given`, the table's where one was not."""
        for name in ("automation_condition", "group_name"):
            given[name] = given[name] or getattr(self, name)
        return {name: value for name, value in given.items() if value is not None}


def table_attributes(
    asset: UpstreamAsset,
    key: str | Sequence[str] | None,
    schema: Mapping[str, Any] | None,
    partitions_def: dg.PartitionsDefinition[Any] | None,
    *,
    automation_condition: dg.AutomationCondition[Any] | None,
    pool: str | None,
    within: object,
    resource_keys: Mapping[str, str] | None,
) -> TableAttributes:
    """The attributes of a table over an upstream asset. Raises DefinitionError for what cannot be a table."""
    spec = upstream_spec(asset)
    partitions_def = partitions_def or spec.partitions_def
    policy = asset.backfill_policy if isinstance(asset, dg.AssetsDefinition) else None
    policy = policy or dg.BackfillPolicy.single_run()
    return TableAttributes(
        key=spec.key,
        row_key=key_columns(key),
        schema=column_types(schema or {}),
        upstream_columns=_upstream_columns(spec),
        partitions_def=partitions_def,
        backfill_policy=policy if partitions_def else None,
        group_name=_chosen_group(asset, spec),
        automation_condition=automation_condition,
        pool=pool,
        within=table_within(within, f"Table({spec.key.to_user_string()!r})"),
        collector=CollectorName(),
        resources=resource_keys_of(resource_keys),
    )


def _chosen_group(asset: UpstreamAsset, spec: dg.AssetSpec) -> str | None:
    """The group of the upstream asset, None where nobody chose it: one's own assets know that."""
    if isinstance(asset, GroupedAsset):
        return None if asset.default_group is not None else spec.group_name
    return chosen_group(spec.group_name)


def upstream_spec(asset: object) -> dg.AssetSpec:
    """The spec of the one asset that is the table. Raises DefinitionError."""
    if isinstance(asset, dg.AssetsDefinition):
        specs = list(asset.specs)
        if len(specs) != 1:
            names = ", ".join(spec.key.to_user_string() for spec in specs)
            msg = f"got an asset definition of {len(specs)} assets ({names}); give the key of the one that is the table"
            raise DefinitionError(msg)
        return specs[0]
    if isinstance(asset, dg.AssetSpec):
        return asset
    if isinstance(asset, dg.AssetKey):
        return dg.AssetSpec(asset)
    if isinstance(asset, str) and asset:
        return dg.AssetSpec(dg.AssetKey.from_user_string(asset))
    msg = f"got {type(asset).__name__} {asset!r:.60} as a table, allowed: an asset, an AssetSpec, an AssetKey, or its text"
    raise DefinitionError(msg)


def key_columns(key: str | Sequence[str] | None) -> tuple[str, ...]:
    """The key columns. Raises DefinitionError for what names none."""
    names = (
        () if key is None else (key,) if isinstance(key, str) or not isinstance(key, Sequence) else tuple(key)
    )
    if not all(isinstance(n, str) and n for n in names) or len(set(names)) != len(names):
        msg = f"got key={key!r}, allowed: a column name, or several different ones"
        raise DefinitionError(msg)
    if "_digest" in names:
        msg = f"got key={key!r}: a computed column's file has another use for the name '_digest'; rename the key column upstream"
        raise DefinitionError(msg)
    return names


def column_types(schema: Mapping[str, Any]) -> dict[str, type[ColumnType]]:
    """The types of columns. Raises DefinitionError for any that is none of pxt_assets.types."""
    for name, column_type in schema.items():
        if not (isinstance(column_type, type) and issubclass(column_type, ColumnType)):
            msg = f"schema[{name!r}]: got {column_type!r}, allowed: a type of pxt_assets.types, such as String or Json"
            raise DefinitionError(msg)
    return dict(schema)


def _upstream_columns(spec: dg.AssetSpec) -> dict[str, str] | None:
    """The upstream's columns and their types, where its definition declares them (`dagster/column_schema`)."""
    schema = spec.metadata.get("dagster/column_schema")
    schema = getattr(schema, "schema", schema)
    return {c.name: c.type for c in schema.columns} if isinstance(schema, dg.TableSchema) else None
