"""A computed column as it was declared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import dagster as dg

from pxt_assets.api.within import Within
from pxt_assets.assets.declarations.checks import Checks
from pxt_assets.assets.declarations.identifiers import identifier
from pxt_assets.assets.declarations.table_attributes import CollectorName
from pxt_assets.assets.declarations.validation import Cache
from pxt_assets.assets.page.lineage import ColumnNode
from pxt_assets.assets.step.asset_keys import RunKeys, expression_with_keys
from pxt_assets.assets.step.resource_keys import ResourceKeys
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.expressions.walk import calls, expression_text, references
from pxt_assets.functions.questions import Question, questions_of
from pxt_assets.index.lookup import lookups
from pxt_assets.index.spec import IndexSpec
from pxt_assets.values.media import ReadOptions
from pxt_assets.values.types import ColumnType


@dataclass(frozen=True)
class ColumnSpec:
    """A computed column as it was declared."""

    key: dg.AssetKey
    name: str
    expr: object
    column_type: type[ColumnType] | None
    table: dg.AssetKey
    row_key: tuple[str, ...]
    partitions_def: dg.PartitionsDefinition[Any] | None
    backfill_policy: dg.BackfillPolicy | None
    lineage: ColumnNode
    """The column, and the columns that it is made of."""
    on_error: Literal["abort", "ignore"] = "abort"
    partition_mapping: dg.PartitionMapping | None = None
    checks: Checks = field(default_factory=Checks)
    labels: Mapping[str, ColumnRef] = field(default_factory=dict)
    """The columns that answers are compared with, by question."""
    max_cost_usd: float | None = None
    """What a run may spend on the column, unless its config says otherwise."""
    within: Within | None = None
    """How long its answers may take, unless a run's config says otherwise; None for answers at once."""
    collector: CollectorName = field(default_factory=CollectorName)
    """The sensor that collects them; without one the run waits."""
    cache: Cache = "auto"
    """Whether the API is told which part of the prompts all rows have in common."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Options of the fsspec file systems that hold the table's images and sounds."""
    pool: str | None = None
    """The Dagster pool that limits how many columns run at once."""
    retry_policy: dg.RetryPolicy | None = None
    op_tags: Mapping[str, Any] = field(default_factory=dict)
    deps: tuple[dg.AssetDep, ...] = ()
    """Further assets upstream, which are not read."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Further attributes of the asset: owners, tags, group_name, ..."""
    resources: ResourceKeys = field(default_factory=ResourceKeys)
    declared: ColumnSpec | None = None
    """The column as it was declared, where assets have other keys in a run."""
    run_keys: RunKeys = field(default_factory=dict)
    """These keys, by the declared ones."""

    def with_keys(self, keys: RunKeys) -> ColumnSpec:
        """The same column in a run in which assets have other keys; it has the same inputs and code version."""
        if not keys:
            return self
        return replace(
            self,
            key=keys.get(self.key, self.key),
            table=keys.get(self.table, self.table),
            expr=expression_with_keys(self.expr, keys),
            labels={
                name: ref.of_asset(keys.get(ref._asset, ref._asset)) for name, ref in self.labels.items()
            },
            declared=self,
            run_keys=keys,
        )

    @property
    def inputs(self) -> dict[str, dg.AssetKey]:
        """The assets that are read, by input name; the first gives the rows.

        A column that reads computed columns alone depends on these alone: they hold the keys too.
        """
        if self.declared is not None:
            inputs = self.declared.inputs
            return {name: self.run_keys.get(asset, asset) for name, asset in inputs.items()}
        read = [*references(self.expr), *self.labels.values()]
        assets = list(dict.fromkeys(ref._asset for ref in read)) or [self.table]
        if self.table in assets:
            assets = [self.table, *(a for a in assets if a != self.table)]
        return {f"rows_of__{identifier(asset)}": asset for asset in assets}

    @property
    def questions(self) -> tuple[Question, ...]:
        """Those that it asks, of decisions."""
        return questions_of(self.expr)

    def needed_labels(self, partition: str | None) -> list[ColumnRef]:
        """The columns of labels that must be there: a partition may be older than its table's labels."""
        return list(self.labels.values()) if partition is None else []

    @property
    def calls_api(self) -> bool:
        """Whether it sends requests to the API."""
        return any(not call._function.local for call in calls(self.expr))

    @property
    def runs_local_code(self) -> bool:
        """Whether it calls functions in this process, which may be the user's own."""
        return any(call._function.local for call in calls(self.expr))

    @cached_property
    def read_options(self) -> ReadOptions:
        """How images and sounds are read that are given as paths."""
        function_calls = calls(self.expr)
        for_api = bool(function_calls) and not any(call._function.local for call in function_calls)
        return ReadOptions(self.storage_options, for_api=for_api)

    @property
    def indexes(self) -> list[IndexSpec]:
        """The embedding indexes that it searches."""
        return list({lookup.index.key: lookup.index for lookup in lookups(self.expr)}.values())

    @property
    def resource_keys(self) -> dict[str, str]:
        """The keys of the resources that it needs, each with its usual key."""
        keys = {self.resources.columns: "columns"}
        if self.calls_api:
            keys[self.resources.openai] = "openai"
        return keys | {index.resource_key: "indexes" for index in self.indexes}

    @property
    def code_version(self) -> str:
        """Changes with what the column computes, not with how it is described, throttled or scheduled."""
        if self.declared is not None:
            return self.declared.code_version
        text = f"{expression_text(self.expr)}\n{sorted(self.row_key)}"
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
