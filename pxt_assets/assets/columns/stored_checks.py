"""What the checks of a column find in its stored partitions, for a step that evaluates the checks alone."""

from collections.abc import Sequence

import dagster as dg

from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.assets.declarations.validation import is_moderation
from pxt_assets.compute.partition.findings import Findings, stored_findings
from pxt_assets.storage.store import ColumnStore


def find_in_stored(
    spec: ColumnSpec,
    store: ColumnStore,
    context: dg.AssetExecutionContext,
    partitions: Sequence[str | None],
) -> dict[str | None, Findings]:
    """The findings of each stored partition, of all of them where the run has none."""
    layer = context.job_def.asset_layer  # a definition of which checks alone are selected has no partitions
    partitions_def = layer.get(spec.key).partitions_def if layer.has(spec.key) else spec.partitions_def
    if list(partitions) == [None] and partitions_def is not None:
        partitions = partitions_def.get_partition_keys(dynamic_partitions_store=context.instance)
    files = {partition: store.file(spec.key, partition) for partition in partitions}
    moderates = is_moderation(spec.expr)
    return {
        partition: stored_findings(file, spec.name, spec.row_key, moderates=moderates)
        for partition, file in files.items()
        if file.exists()
    }
