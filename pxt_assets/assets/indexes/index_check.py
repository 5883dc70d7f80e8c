"""The check of an embedding index: whether a search can find every row, in all partitions that the index holds.

What is left out of an index is not stored in it, so what was found in other partitions is kept with the result itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context

from pxt_assets.assets.indexes.index_asset_spec import ALL_ROWS_INDEXED, IndexAssetSpec
from pxt_assets.assets.step.last_checks import last_result, last_results_below
from pxt_assets.index.partition_rows import PartitionScan
from pxt_assets.values.wording import counted

_MAX_NAMED = 3
_MAX_KEYS_SHOWN = 5
_OTHERS = "pxt/rows_missing"
"""The metadata that says how many rows cannot be found, by partition."""


def index_check_results(
    context: dg.AssetExecutionContext, spec: IndexAssetSpec, scans: Mapping[str | None, PartitionScan]
) -> Iterator[dg.AssetCheckResult]:
    """The result after partitions were written; what the last one said if none was."""
    key = spec.index.key
    last = last_result(context, dg.AssetCheckKey(key, ALL_ROWS_INDEXED))
    if not scans:
        yield from [] if last is None else [last]
        return
    known = {} if last is None else _missing_in(last)
    others = {
        one: count for one, count in known.items() if one not in scans and _is_partition(context, spec, one)
    }
    yield _result(spec, scans, others)


def results_of_unfinished(
    context: dg.AssetExecutionContext, spec: IndexAssetSpec, scans: Mapping[str | None, PartitionScan]
) -> Sequence[dg.AssetCheckResult | dg.AssetCheckEvaluation]:
    """The results in a run that an error ends: of the index as it is, and of the columns that the run cannot reach."""
    try:
        return [
            *index_check_results(context, spec, scans),
            *last_results_below(context, spec.index.key),
        ]
    except Exception as e:  # what ended the run is to be raised
        problem = type(e).__name__
        context.log.warning(f"{spec.index.label}: the check could not be evaluated: {problem}")
        return []


def _missing_in(result: dg.AssetCheckResult) -> dict[str, int]:
    """How many rows could not be found when the result was made, by partition."""
    said = result.metadata.get(_OTHERS) if result.metadata else None
    return dict(said.data) if isinstance(said, dg.JsonMetadataValue) and isinstance(said.data, dict) else {}


def _is_partition(context: dg.AssetExecutionContext, spec: IndexAssetSpec, partition: str) -> bool:
    definition = spec.partitions_def
    with partition_loading_context(dynamic_partitions_store=context.instance):
        return definition is not None and definition.has_partition_key(partition)


def _result(
    spec: IndexAssetSpec, scans: Mapping[str | None, PartitionScan], others: Mapping[str, int]
) -> dg.AssetCheckResult:
    """A warning where rows cannot be found, in the partitions that were read or in `others`."""
    null = sum(one.null - one.failed for one in scans.values())
    failed = sum(one.failed for one in scans.values())
    zero = sum(one.zero_vectors for one in scans.values())
    keys = [
        f"{key} in {partition}" if partition else key
        for partition, one in scans.items()
        for key in one.zero_vector_keys
    ]
    column = spec.index.column._column
    sentences = [
        f"{counted(null, 'row')} {_have(null)} no vector, since their {column} is null" if null else "",
        f"of {counted(failed, 'row')} the vector could not be computed" if failed else "",
        f"the vector of {counted(zero, 'row')} is zero, so that no angle to it can be told: {'; '.join(keys[:_MAX_KEYS_SHOWN])}"
        if zero
        else "",
    ]
    text = "; ".join(filter(None, sentences)) or "every row can be found"
    if list(scans) != [None]:
        of = f"partition {next(iter(scans))}" if len(scans) == 1 else counted(len(scans), "partition")
        text = f"{of}: {text}{_others_text(others)}"
    found = {one: scan.failed + scan.zero_vectors for one, scan in scans.items() if one is not None}
    missing = {**others, **{one: count for one, count in found.items() if count}}
    metadata: dict[str, Any] = {
        "pxt/rows_null": null,
        "pxt/rows_failed": failed,
        "pxt/rows_zero": zero,
        **({_OTHERS: missing} if missing else {}),
    }
    return dg.AssetCheckResult(
        asset_key=spec.index.key,
        check_name=ALL_ROWS_INDEXED,
        passed=not (failed or zero or others),
        severity=dg.AssetCheckSeverity.WARN,
        description=text,
        metadata=metadata,
    )


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _others_text(others: Mapping[str, int]) -> str:
    if not others:
        return ""
    names = [f"{partition} ({count:,})" for partition, count in others.items()]
    more = f" and {len(names) - _MAX_NAMED:,} more" if len(names) > _MAX_NAMED else ""
    return (
        f"; of the other partitions {len(names):,} {_have(len(names))} rows that cannot be found: "
        f"{', '.join(names[:_MAX_NAMED])}{more}"
    )
