"""The definition of an upstream asset, found among the project's other definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import dagster as dg

from pxt_assets.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from dagster.components.core.decl import ComponentDecl
    from dagster.components.core.defs_module import ComponentLoc

_searching: ContextVar[frozenset[object]] = ContextVar("searching", default=frozenset())
"""The locations of the components that look for an upstream asset right now."""

DeclaresAsset = Callable[[dg.Component], bool]
"""Whether a component of the own kind declares the asset that is looked for; nothing is built to tell."""


def upstream_asset(
    key: dg.AssetKey, context: dg.ComponentLoadContext, own_kind: type[dg.Component], declares: DeclaresAsset
) -> dg.AssetsDefinition | dg.AssetSpec:
    """The definition of an asset, or the spec of one of several that are defined together.

    The project's other components and modules are built one by one until it is found; those of `own_kind` only if
    they declare it, since they may be looking for assets themselves. Raises DefinitionError if it is nowhere.
    """
    seen: list[str] = []
    with _refuse_circle(key, context.component_loc):
        root = context.component_tree.find_root_decl()
        for decl in _candidate_decls(root, context.component_loc, own_kind):
            is_own = issubclass(decl.component_type, own_kind)
            if is_own and not declares(context.load_structural_component_at_loc(decl.loc)):
                continue
            for asset in context.build_defs(decl.loc).assets or ():
                found = _matching_definition(asset, key)
                if found is not None:
                    return found
                seen += _asset_names(asset)
    hint = did_you_mean(key.to_user_string(), seen) or "."
    msg = (
        f"partitions: inherit, but no other definition of this project is the asset {key.to_user_string()!r}{hint} "
        "An asset of another code location is made known by its spec: "
        f"dg.AssetSpec({key.to_user_string()!r}, partitions_def=...).with_io_manager_key('columns')"
    )
    raise DefinitionError(msg)


@contextmanager
def _refuse_circle(key: dg.AssetKey, loc: ComponentLoc) -> Iterator[None]:
    """Marks a component as searching. Raises DefinitionError if it is already: its upstream is made from its own assets."""
    if loc in _searching.get():
        msg = (
            f"partitions: inherit looks for {key.to_user_string()!r} in definitions that are themselves made from this "
            "component's; say the partitions here instead"
        )
        raise DefinitionError(msg)
    token = _searching.set(_searching.get() | {loc})
    try:
        yield
    finally:
        _searching.reset(token)


def _candidate_decls(
    decl: ComponentDecl[Any], own: ComponentLoc, own_kind: type[dg.Component]
) -> Iterator[ComponentDecl[Any]]:
    """The largest parts of the project that can be built without building the component `own` itself."""
    from dagster.components.core.decl import DefsFolderDecl

    if decl.loc == own:
        return
    children = list(decl.iterate_child_component_decls())
    inside = [one for child in children for one in child.iterate_all_component_decls()]
    if isinstance(decl, DefsFolderDecl) or any(
        one.loc == own or issubclass(one.component_type, own_kind) for one in inside
    ):
        for child in children:
            yield from _candidate_decls(child, own, own_kind)
    else:
        yield decl


def _matching_definition(asset: object, key: dg.AssetKey) -> dg.AssetsDefinition | dg.AssetSpec | None:
    if isinstance(asset, dg.AssetSpec):
        return asset if asset.key == key else None
    if isinstance(asset, dg.AssetsDefinition):
        specs = {spec.key: spec for spec in asset.specs}
        return None if key not in specs else asset if len(specs) == 1 else specs[key]
    if isinstance(asset, dg.SourceAsset) and asset.key == key:
        return dg.AssetSpec(key, partitions_def=asset.partitions_def, group_name=asset.group_name)
    return None


def _asset_names(asset: object) -> list[str]:
    if isinstance(asset, dg.AssetsDefinition):
        return [spec.key.to_user_string() for spec in asset.specs]
    return [asset.key.to_user_string()] if isinstance(asset, dg.AssetSpec | dg.SourceAsset) else []
