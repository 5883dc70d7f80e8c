"""What a user declares of a table and its columns, checked while definitions load."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal, get_args

import dagster as dg

from pxt_assets.assets.declarations.checks import Checks
from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.expr import Call, Expr
from pxt_assets.expressions.walk import code, has_images, nodes, references
from pxt_assets.values.types import ColumnType

OnError = Literal["abort", "ignore"]

UpstreamAsset = dg.AssetsDefinition | dg.AssetSpec | dg.AssetKey | str
"""What can be given as a table: an upstream asset."""


@dataclass(frozen=True)
class TableAttributes:
    """What holds for all assets of a table, unless they say otherwise."""

    key: dg.AssetKey
    """Of the upstream asset."""
    row_key: tuple[str, ...]
    partitions_def: dg.PartitionsDefinition[Any] | None
    backfill_policy: dg.BackfillPolicy | None
    group_name: str | None
    automation_condition: dg.AutomationCondition[Any] | None
    pool: str | None

    def asset_attributes(self, **given: Any) -> dict[str, Any]:
        """The attributes that were given of one of its assets, the table's where one was not."""
        for name in ("automation_condition", "group_name"):
            given[name] = given[name] or getattr(self, name)
        return {name: value for name, value in given.items() if value is not None}


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
    return names


def column_types(schema: Mapping[str, Any]) -> dict[str, type[ColumnType]]:
    """The types of columns. Raises DefinitionError for any that is none of pxt_assets.types."""
    for name, column_type in schema.items():
        if not (isinstance(column_type, type) and issubclass(column_type, ColumnType)):
            msg = f"schema[{name!r}]: got {column_type!r}, allowed: a type of pxt_assets.types, such as String or Json"
            raise DefinitionError(msg)
    return dict(schema)


def declared_columns(spec: dg.AssetSpec) -> dict[str, str] | None:
    """The upstream's columns and their types, where its definition declares them (`dagster/column_schema`)."""
    schema = spec.metadata.get("dagster/column_schema")
    schema = getattr(schema, "schema", schema)
    return {c.name: c.type for c in schema.columns} if isinstance(schema, dg.TableSchema) else None


def check_column(name: str, expr: object, table: dg.AssetKey, reserved: Set[str], where: str) -> None:
    """Refuses what can be no column's name or expression, with a DefinitionError that begins with `where`, the table."""
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        msg = f"{where}: {name!r} is no column name; write it with letters, digits and _"
        raise DefinitionError(msg)
    if name.startswith("_") or name.endswith(("_errortype", "_errormsg")) or name in reserved:
        msg = (
            f"{where}: {name!r} is a reserved name (names that begin with _, that end with _errortype or "
            f"_errormsg, and {', '.join(sorted(reserved))}); choose another"
        )
        raise DefinitionError(msg)
    _check_expression(expr, table, f"{where}.{name}")


def _check_expression(expr: object, table: dg.AssetKey, where: str) -> None:
    """Refuses what is no expression over the table's columns, with a DefinitionError that begins with `where`."""
    if not isinstance(expr, Expr) and not any(True for _ in nodes(expr)):
        msg = (
            f"{where}: got {type(expr).__name__} {expr!r:.60}, allowed: a function call, a column reference, "
            "or a dict or list of these"
        )
        raise DefinitionError(msg)
    if has_images(expr):
        msg = (
            f"{where}: a dict or list is stored as JSON, which holds no images or sounds; give each of "
            "them a column of its own"
        )
        raise DefinitionError(msg)
    for ref in references(expr):
        if ref._table != table:
            msg = (
                f"{where}: {ref!r} is a column of another table; join the tables upstream, in an asset "
                "that gives both as rows"
            )
            raise DefinitionError(msg)
    try:
        code(expr)
    except (TypeError, ValueError) as e:
        msg = f"{where}: {e}"
        raise DefinitionError(msg) from e


def check_options(
    where: str,
    expr: object,
    table: dg.AssetKey,
    on_error: object,
    partition_mapping: dg.PartitionMapping | None,
    checks: Checks,
    max_cost_usd: float | None,
) -> None:
    """Refuses options that the column has no use for, with a DefinitionError that begins with `where`."""
    if on_error not in get_args(OnError):
        msg = f"{where}: got on_error={on_error!r}, allowed: 'abort' or 'ignore'"
        raise DefinitionError(msg)
    read = references(expr)
    if partition_mapping is not None and read and all(ref._asset != table for ref in read):
        msg = (
            f"{where}: partition_mapping maps to the upstream asset's partitions, but this column reads "
            "computed columns alone, whose partitions are its own; leave it out"
        )
        raise DefinitionError(msg)
    if checks.none_flagged and not is_moderation(expr):
        msg = f"{where}: got none_flagged=True, allowed for a column that is a call of moderations alone"
        raise DefinitionError(msg)
    if max_cost_usd is not None and not max_cost_usd > 0:
        msg = f"{where}: got max_cost_usd={max_cost_usd!r}, allowed: US dollars above 0, or None for no limit"
        raise DefinitionError(msg)


def is_moderation(expr: object) -> bool:
    """Whether the expression is a call of moderations, and nothing around it."""
    if not isinstance(expr, Call):
        return False
    return expr._function.name == "moderations" and not expr._function.local
