"""The keys that assets have in a run, which may be others than those they were declared with.

Whoever loads definitions can give assets a prefix or other keys (`load_assets_from_modules(key_prefix=...)`,
`with_attributes(asset_key_replacements=...)`). Dagster renames the inputs and outputs of an asset then, not what its
function knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import dagster as dg

from pxt_assets.expressions.expr import ColumnFunction, ColumnRef
from pxt_assets.expressions.walk import replace_functions
from pxt_assets.index.lookup import EmbeddingLookup
from pxt_assets.index.spec import IndexSpec

RunKeys = Mapping[dg.AssetKey, dg.AssetKey]
"""The key of an asset in this run, by the key that it was declared with."""


def run_keys(declared: dg.AssetsDefinition, context: dg.AssetExecutionContext) -> RunKeys:
    """The keys of a step's asset and of what it depends on, of those that have another one in this run."""
    now = context.assets_def
    inputs, inputs_now = declared.node_keys_by_input_name, now.node_keys_by_input_name
    outputs, outputs_now = declared.node_keys_by_output_name, now.node_keys_by_output_name
    keys = {key: inputs_now[name] for name, key in inputs.items() if name in inputs_now}
    keys |= {key: outputs_now[name] for name, key in outputs.items()}
    return {key: key_now for key, key_now in keys.items() if key != key_now}


def expression_with_keys(expr: object, keys: RunKeys) -> object:
    """An expression whose columns and indexes are those of the assets with these keys."""

    def function(f: ColumnFunction) -> ColumnFunction:
        return f.of_index(index_with_keys(f.index, keys)) if isinstance(f, EmbeddingLookup) else f

    return replace_functions(expr, function, lambda ref: column_with_keys(ref, keys))


def column_with_keys(ref: ColumnRef, keys: RunKeys) -> ColumnRef:
    """A column of the asset with the key of this run."""
    return ref.of_asset(keys[ref._asset]) if ref._asset in keys else ref


def index_with_keys(index: IndexSpec, keys: RunKeys) -> IndexSpec:
    """An index that is kept, and named, by the key of this run."""
    key = keys.get(index.key, index.key)
    return replace(
        index,
        key=key,
        table=keys.get(index.table, index.table),
        vectors=column_with_keys(index.vectors, keys),
        copies=[],
        columns=None
        if index.columns is None
        else tuple(column_with_keys(ref, keys) for ref in index.columns),
    )
