"""Assets under the keys that they were loaded with, such as those of a `key_prefix`."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph


def loaded_keys(asset_graph: BaseAssetGraph[Any], asset: dg.AssetsDefinition) -> AbstractSet[dg.AssetKey]:
    """The keys of an asset in a graph: its own where there is one, or else those of its copies, which share its op."""
    if not isinstance(asset_graph, AssetGraph) or all(asset_graph.has(key) for key in asset.keys):
        return asset.keys
    copies = {
        node.key
        for node in asset_graph.asset_nodes
        if node.is_executable and node.assets_def.node_def is asset.node_def
    }
    return copies or asset.keys


def executable_keys(
    asset_graph: BaseAssetGraph[Any], assets: Iterable[dg.AssetsDefinition]
) -> set[dg.AssetKey]:
    """The keys of those of the assets that a graph has to run: definitions may leave out some, or name them as external."""
    keys = {key for asset in assets for key in loaded_keys(asset_graph, asset)}
    return {key for key in keys if asset_graph.has(key) and asset_graph.get(key).is_executable}


@dataclass(frozen=True)
class LoadedAssets(dg.AssetSelection):
    """Assets, under the keys that they were loaded with, such as those of a `key_prefix`.

    That is their own key where there is one, or else those of their copies, which share their op.
    """

    declared: tuple[dg.AssetsDefinition, ...]

    def resolve_inner(
        self, asset_graph: BaseAssetGraph[Any], allow_missing: bool
    ) -> AbstractSet[dg.AssetKey]:
        """The keys in a graph. Raises DagsterInvalidSubsetError for an asset that it lacks."""
        found = {key for asset in self.declared for key in loaded_keys(asset_graph, asset)}
        return dg.AssetSelection.assets(*found).resolve_inner(asset_graph, allow_missing=allow_missing)

    def to_selection_str(self) -> str:
        """The assets by their own keys."""
        return dg.AssetSelection.assets(*self.declared).to_selection_str()
