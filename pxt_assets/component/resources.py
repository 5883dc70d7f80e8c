"""The resources of a component's own: an OpenAIResource and a ColumnStore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import dagster as dg
from pydantic import ValidationError

from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.step.resource_keys import ResourceKeys, resource_keys_of
from pxt_assets.component.declaration import TableDeclaration
from pxt_assets.component.resource_fields import declarable_fields
from pxt_assets.component.tables import project_path, table_key
from pxt_assets.component.templates import environment_variable_name, render_templates, with_env_vars
from pxt_assets.component.yaml_position import YamlPosition
from pxt_assets.storage.store import ColumnStore

R = TypeVar("R", OpenAIResource, ColumnStore)


def declared_resource(
    kind: type[R], declared: object, context: dg.ResolutionContext, position: YamlPosition
) -> R:
    """The resource that a mapping of its fields declares, or that a template gives.

    What is one environment variable and nothing else, `{{ env.OPENAI_API_KEY }}` or `{env: OPENAI_API_KEY}`, is read when
    a run starts and shown nowhere. Raises DefinitionError, which never quotes a value.
    """
    if isinstance(declared, str):
        declared = render_templates(declared, context, position)
    if isinstance(declared, kind):
        return declared
    if not isinstance(declared, Mapping):
        msg = f"got {type(declared).__name__}, allowed: the fields of {kind.__name__}, or a template that gives one"
        raise position.error(msg)
    fields = declarable_fields(kind)
    for name in declared:
        if name not in fields:
            raise position.at(name).error(f"{kind.__name__} has no {name!r}, allowed: {', '.join(fields)}")
    values = {
        name: render_templates(_deferred(value, fields[name].annotation), context, position.at(name))
        for name, value in declared.items()
    }
    try:
        return kind(**values)
    except ValidationError as e:
        (first, *_) = e.errors(include_input=False, include_url=False)
        where = position.at(*first["loc"])
        msg = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise where.error(msg) from None  # the cause holds the values


def _deferred(value: Any, annotation: object) -> Any:
    """A field's value with its environment variables left unread; a mapping of models may name one "env"."""
    if isinstance(value, dict) and "dict[" in str(annotation):
        return {name: with_env_vars(inner) for name, inner in value.items()}
    return with_env_vars(value)


def component_name(context: dg.ComponentLoadContext, table: dg.AssetKey) -> str:
    """A name that no other component has, for its resources: made of the path of its file in the project."""
    from dagster.components.core.defs_module import ComponentPath

    loc = context.component_loc
    if not isinstance(loc, ComponentPath):
        return identifier(table)
    parts = loc.file_path.relative_to(context.defs_module_path).parts or (table.path[-1],)
    return identifier(dg.AssetKey([*parts, str(loc.instance_key)] if loc.instance_key else parts))


def component_resources(
    declared: TableDeclaration,
    context: dg.ComponentLoadContext,
    resolution: dg.ResolutionContext,
    position: YamlPosition,
) -> tuple[dict[str, Any], ResourceKeys]:
    """The resources that a component declares, by key, and the keys that its columns use. Raises DefinitionError."""
    name = component_name(context, table_key(declared, resolution, position))
    resources: dict[str, Any] = {}
    with position.at("resource_keys").locate_errors():
        given = render_templates(declared.resource_keys, resolution, position.at("resource_keys"))
        keys = resource_keys_of(given)
    for name_here, key in (("openai", "openai"), ("simulated", "openai"), ("store", "columns")):
        if getattr(declared, name_here) is not None and key in (given or {}):
            msg = f"got both {name_here} and resource_keys: {{{key}: ...}}; give one of them"
            raise position.at("resource_keys").error(msg)
    if declared.openai is not None and declared.simulated is not None:
        msg = "got both openai and simulated; give one of them"
        raise position.at("simulated").error(msg)
    if declared.simulated is not None:
        options = render_templates(with_env_vars(declared.simulated), resolution, position.at("simulated"))
        with position.at("simulated").with_label("simulated").locate_errors():
            resources[f"openai__{name}"] = OpenAIResource.simulated(**options)
    if declared.openai is not None:
        openai = declared_resource(OpenAIResource, declared.openai, resolution, position.at("openai"))
        resources[f"openai__{name}"] = openai
    if resources:
        keys = keys._replace(openai=f"openai__{name}")
    if declared.store is not None:
        fields = declared.store
        if isinstance(fields, Mapping) and isinstance(fields.get("base_path"), str):
            path = fields["base_path"]
            if environment_variable_name(path) is None:
                path = render_templates(path, resolution, position.at("store", "base_path"))
                fields = {**fields, "base_path": project_path(path, context)}
        keys = keys._replace(columns=f"columns__{name}")
        resources[keys.columns] = declared_resource(ColumnStore, fields, resolution, position.at("store"))
    return resources, keys
