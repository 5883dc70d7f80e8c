"""The table that a component declares: an asset of the project, or files."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import dagster as dg

from pxt_assets.assets.declarations.within import table_within
from pxt_assets.assets.step.resource_keys import ResourceKeys
from pxt_assets.assets.table import Table
from pxt_assets.component.declaration import TableDeclaration
from pxt_assets.component.options import column_type_of
from pxt_assets.component.partition_options import partitions_def_of
from pxt_assets.component.templates import render_templates
from pxt_assets.component.yaml_position import YamlPosition
from pxt_assets.errors import DefinitionError


def table_key(
    declared: TableDeclaration, resolution: dg.ResolutionContext, position: YamlPosition
) -> dg.AssetKey:
    """The key of the table's asset. Raises DefinitionError."""
    key = render_templates(declared.table, resolution, position.at("table"))
    if isinstance(key, dg.AssetKey):
        return key
    if not isinstance(key, str) or not key.strip("/ "):
        msg = f"table: got {key!r:.60}, allowed: the key of an asset as text, such as tickets or raw/tickets"
        raise position.at("table").error(msg)
    return dg.AssetKey.from_user_string(key)


def declared_table(
    declared: TableDeclaration,
    keys: ResourceKeys,
    context: dg.ComponentLoadContext,
    resolution: dg.ResolutionContext,
    position: YamlPosition,
    find_upstream: Callable[[dg.AssetKey], dg.AssetsDefinition | dg.AssetSpec],
) -> Table:
    """The declared table; its columns use the resources of these `keys`. Raises DefinitionError.

    `find_upstream` finds the asset of the project whose partitions the table inherits.
    """

    def render(*path: str, value: Any) -> Any:
        return render_templates(value, resolution, position.at(*path))

    key = table_key(declared, resolution, position)
    schema = {}
    for name, column_type in declared.schema_.items():
        with position.at("schema", name).with_label(f"schema: {name}").locate_errors():
            schema[name] = column_type_of(column_type)
    partitions = render("partitions", value=declared.partitions)
    if partitions is None or (declared.files is not None and "partitions" not in declared.model_fields_set):
        partitions = "none"
    options: dict[str, Any] = {
        "key": render("key", value=declared.key),
        "schema": schema,
        "resource_keys": keys._asdict(),
    }
    with _within_position(declared, position).locate_errors():
        options["within"] = table_within(
            render("within", value=declared.within or declared.defaults.within),
            f"Table({key.to_user_string()!r})",
        )
    partitions_position = position.at("partitions" if "partitions" in declared.model_fields_set else "table")
    # `inherit` builds other definitions, whose errors are their own
    with partitions_position.locate_errors(DefinitionError if partitions == "inherit" else Exception):
        if declared.files is None and partitions == "inherit":
            upstream = find_upstream(key)
        elif partitions == "inherit":
            msg = "partitions: inherit, but the table is made here, of files; say its partitions, or none"
            raise DefinitionError(msg)
        else:
            upstream = dg.AssetSpec(key)
            if partitions == "files" and declared.files is None:
                msg = "partitions: files, but the table is not made of files here; say which, as in files: data/*.csv"
                raise DefinitionError(msg)
            if partitions != "files":
                options["partitions_def"] = partitions_def_of(partitions)
    if declared.files is None:
        with position.at("table").locate_errors():
            return Table(upstream, **options)
    with position.at("files").locate_errors():
        return Table.from_files(
            key.to_user_string(),
            project_path(render("files", value=declared.files), context),
            encoding=render("encoding", value=declared.encoding),
            separator=render("separator", value=declared.separator),
            storage_options=render("storage_options", value=declared.storage_options),
            group_name=render("defaults", "group_name", value=declared.defaults.group_name),
            partitions="files" if partitions == "files" else None,
            partition_size=render("partition_size", value=declared.partition_size),
            partitions_per_run=render("partitions_per_run", value=declared.partitions_per_run),
            **options,
        )


def _within_position(declared: TableDeclaration, position: YamlPosition) -> YamlPosition:
    """Where it says what the table has for its columns. Raises DefinitionError if two places do."""
    if declared.within and declared.defaults.within:
        msg = "within: the table and its defaults have it, which are the same; say it in one place"
        raise position.at("within").error(msg)
    return position.at("within") if declared.within else position.at("defaults", "within")


def project_path(path: str, context: dg.ComponentLoadContext) -> str:
    """A relative path as one from the project's root; a URL or an absolute path as it is."""
    if "://" in path or path.startswith("~"):
        return path
    return os.path.join(context.project_root, path)  # noqa: PTH118 (which keeps a folder's trailing slash)
