"""A computed column as YAML declares it, added to its table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg

from pxt_assets.assets.declarations.checks import Checks
from pxt_assets.assets.table import Table
from pxt_assets.component.declaration import AssetOptions, ColumnDeclaration
from pxt_assets.component.function_calls import declared_call
from pxt_assets.component.import_paths import Importer
from pxt_assets.component.options import automation_condition_of, freshness_policy_of
from pxt_assets.component.partition_options import partition_mapping_of
from pxt_assets.component.references import resolve_references
from pxt_assets.component.templates import render_templates
from pxt_assets.component.yaml_position import YamlPosition

_OPTION_BUILDERS: dict[str, Callable[[Any], Any]] = {
    "automation_condition": automation_condition_of,
    "checks": lambda declared: Checks(**declared.model_dump(exclude_unset=True)) if declared else None,
    "freshness_policy": freshness_policy_of,
    "partition_mapping": partition_mapping_of,
}
"""Options that are objects in Python, and what makes them of what YAML says."""


def add_column(
    table: Table,
    column: ColumnDeclaration,
    defaults: AssetOptions,
    import_: Importer,
    resolution: dg.ResolutionContext,
    place: YamlPosition,
    place_of_defaults: YamlPosition,
) -> dg.AssetsDefinition:
    """Adds the column and returns its asset. Raises DefinitionError that names the line."""
    place = place.with_label(f"{table!r}.{column.name}")
    of_all = _options(defaults, resolution, place_of_defaults.with_label("defaults"))
    options = {**of_all, **_options(column, resolution, place)}
    if of_all.get("tags") and options.get("tags"):
        options["tags"] = {**of_all["tags"], **options["tags"]}
    has_value = "value" in column.model_fields_set
    if has_value == (column.function is not None):
        msg = "give either a function, with its arguments, or a value"
        raise place.error(msg)
    if has_value and column.arguments:
        msg = "a value has no arguments; give a function with them"
        raise place.at("arguments").error(msg)
    expr: Any
    if column.function is None:
        expr = resolve_references(column.value, table.__getitem__, place.at("value"))
    else:
        expr = declared_call(column.function, column.arguments, table.__getitem__, import_, place)
    with place.locate_errors():
        named: dict[str, Any] = {column.name: expr}
        return table.add_computed_column(**options, **named)


def _options(declared: AssetOptions, resolution: dg.ResolutionContext, place: YamlPosition) -> dict[str, Any]:
    """The options that are given, as Table takes them."""
    options = {}
    names = declared.model_fields_set - {"name", "function", "arguments", "value"}
    for name in sorted(names):
        value = getattr(declared, name)
        if name != "description":
            value = render_templates(value, resolution, place.at(name))
        with place.at(name).locate_errors():
            options[name] = _OPTION_BUILDERS[name](value) if name in _OPTION_BUILDERS else value
    if options.get("tags"):
        options["tags"] = {key: str(value) for key, value in options["tags"].items()}
    return options
