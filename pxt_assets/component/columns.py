"""A computed column as YAML declares it, added to its table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg

from pxt_assets.assets.declarations.checks import Checks
from pxt_assets.assets.table import Table
from pxt_assets.component.declaration import AssetOptions, CheckOptions, ColumnDeclaration
from pxt_assets.component.function_calls import declared_call
from pxt_assets.component.import_paths import Importer
from pxt_assets.component.options import (
    automation_condition_of,
    backfill_policy_of,
    freshness_policy_of,
    retry_policy_of,
)
from pxt_assets.component.partition_options import partition_mapping_of
from pxt_assets.component.references import parse_reference, resolve_references
from pxt_assets.component.templates import render_templates
from pxt_assets.component.yaml_position import YamlPosition
from pxt_assets.errors import DefinitionError


def _checks_of(declared: CheckOptions | None) -> Checks | None:
    """The checks of a column, whose labels may be written as columns are elsewhere: `$tbl.topic_by_hand`."""
    if not declared:
        return None
    given = declared.model_dump(exclude_unset=True)
    labels = given.get("labels")
    if isinstance(labels, str):
        given["labels"] = _column_name(labels)
    elif labels is not None:
        given["labels"] = {question: _column_name(label) for question, label in labels.items()}
    return Checks(**given)


def _column_name(label: str) -> str:
    steps = parse_reference(label)
    if isinstance(steps, str):
        return steps
    if len(steps) > 1:
        msg = f"labels: got {label!r}, allowed: a column; make what it leads to a column of its own"
        raise DefinitionError(msg)
    return str(steps[0])


_OPTION_BUILDERS: dict[str, Callable[[Any], Any]] = {
    "automation_condition": automation_condition_of,
    "backfill_policy": backfill_policy_of,
    "checks": _checks_of,
    "freshness_policy": freshness_policy_of,
    "partition_mapping": partition_mapping_of,
    "retry_policy": retry_policy_of,
}
"""The options that are objects in Python, and the function that makes each of what YAML declares."""


def add_column(
    table: Table,
    column: ColumnDeclaration,
    defaults: AssetOptions,
    import_object: Importer,
    resolution: dg.ResolutionContext,
    position: YamlPosition,
    defaults_position: YamlPosition,
) -> dg.AssetsDefinition:
    """Adds the column and returns its asset. Raises DefinitionError that names the line."""
    position = position.with_label(f"{table!r}.{column.name}")
    default_options = _options(table, defaults, resolution, defaults_position.with_label("defaults"))
    default_options.pop("within", None)  # the table has it for its columns: not all of them can
    options = {**default_options, **_options(table, column, resolution, position)}
    for name in ("tags", "metadata", "op_tags"):
        options |= {name: {**(default_options.get(name) or {}), **options[name]}} if options.get(name) else {}
    if options.get("kinds"):
        options["kinds"] = {*(default_options.get("kinds") or ()), *options["kinds"]}
    has_value = "value" in column.model_fields_set
    if has_value == (column.function is not None):
        msg = "give either a function, with its arguments, or a value"
        raise position.error(msg)
    if has_value and column.arguments:
        msg = "a value has no arguments; give a function with them"
        raise position.at("arguments").error(msg)
    expr: Any
    if column.function is None:
        expr = resolve_references(column.value, table.__getitem__, position.at("value"))
    else:
        expr = declared_call(column.function, column.arguments, table.__getitem__, import_object, position)
    with position.locate_errors():
        name_and_expr: dict[str, Any] = {column.name: expr}
        return table.add_computed_column(**options, **name_and_expr)


def _options(
    table: Table, declared: AssetOptions, resolution: dg.ResolutionContext, position: YamlPosition
) -> dict[str, Any]:
    """The options that YAML gives, as `Table.add_computed_column` takes them."""
    options = {}
    names = declared.model_fields_set - {"name", "function", "arguments", "value"}
    for name in sorted(names):
        value = getattr(declared, name)
        if name != "description":
            value = render_templates(value, resolution, position.at(name))
        with position.at(name).locate_errors():
            options[name] = _OPTION_BUILDERS[name](value) if name in _OPTION_BUILDERS else value
    if options.get("deps"):
        options["deps"] = [
            resolve_references(dep, table.__getitem__, position.at("deps", i))
            for i, dep in enumerate(options["deps"])
        ]
    if options.get("tags"):
        options["tags"] = {key: str(value) for key, value in options["tags"].items()}
    return options
