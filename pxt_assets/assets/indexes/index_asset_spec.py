"""An embedding index as an asset: what Dagster needs to know of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg

from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.step.asset_keys import RunKeys, index_with_keys
from pxt_assets.assets.step.resource_keys import ResourceKeys
from pxt_assets.index.spec import IndexSpec

ALL_ROWS_INDEXED = "all_rows_indexed"
"""The name of the check that warns of rows which no search can find."""


@dataclass(frozen=True)
class IndexAssetSpec:
    """An index, and what Dagster needs to know of its asset."""

    index: IndexSpec
    partitions_def: dg.PartitionsDefinition[Any] | None
    backfill_policy: dg.BackfillPolicy | None
    partition_mapping: dg.PartitionMapping | None = None
    pool: str | None = None
    retry_policy: dg.RetryPolicy | None = None
    op_tags: Mapping[str, Any] = field(default_factory=dict)
    deps: tuple[dg.AssetDep, ...] = ()
    """Further assets upstream, which are not read."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Further attributes of the asset: owners, tags, group_name, ..."""
    resources: ResourceKeys = field(default_factory=ResourceKeys)
    declared: IndexAssetSpec | None = None
    """The index as it was declared, where assets have other keys in a run."""
    run_keys: RunKeys = field(default_factory=dict)
    """These keys, by the declared ones."""

    def with_keys(self, keys: RunKeys) -> IndexAssetSpec:
        """The same index in a run in which assets have other keys; it has the same inputs."""
        if not keys:
            return self
        return replace(self, index=index_with_keys(self.index, keys), declared=self, run_keys=keys)

    @property
    def inputs(self) -> dict[str, dg.AssetKey]:
        """The assets that are read, by input name; the first gives the rows."""
        if self.declared is not None:
            inputs = self.declared.inputs
            return {name: self.run_keys.get(asset, asset) for name, asset in inputs.items()}
        index = self.index
        kept = [index.table] if index.columns is None else [ref._asset for ref in index.columns]
        assets = dict.fromkeys([index.vectors._asset, *kept])
        ordered = sorted(assets, key=lambda asset: asset != index.table)  # the table first, if it is read
        return {f"rows_of__{identifier(asset)}": asset for asset in ordered}

    @property
    def resource_keys(self) -> dict[str, str]:
        """The keys of the resources that it needs, each with its usual key."""
        return {self.resources.columns: "columns", self.resources.indexes: "indexes"}

    @property
    def code_version(self) -> str:
        """Changes with what decides whether vectors can be searched together, and with the columns that are kept."""
        kept = None if self.index.columns is None else [ref._column for ref in self.index.columns]
        text = repr((self.index.identity, kept))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
