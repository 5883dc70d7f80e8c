"""What a step shows to Dagster, which stores it for good: errors with all that caused them, metadata, results of checks.

None of it holds a secret of the step's resources: an error of a driver, a proxy or a file system may quote one, and so
may a cell's value in a preview.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from pxt_assets.values.scrubbed_errors import scrubbed_errors
from pxt_assets.values.scrubbing import distinct_secrets, scrub, scrub_all

Secrets = tuple[str, ...]
Result = dg.MaterializeResult[Any] | dg.AssetCheckResult | dg.AssetCheckEvaluation | dg.Output[Any]


def step_secrets(context: dg.AssetExecutionContext) -> Secrets:
    """The secrets of all resources of a step that know theirs."""
    found: list[str] = []
    for resource in context.resources._asdict().values():
        secrets_of = getattr(resource, "known_secrets", None)
        if callable(secrets_of):
            found += secrets_of()
    return distinct_secrets(found)


@contextmanager
def errors_without_secrets(secrets: Secrets) -> Iterator[None]:
    """Within the block, an error is raised without the secrets, as are those that it comes from."""
    with scrubbed_errors(secrets):
        try:
            yield
        except dg.Failure as e:
            e.metadata = metadata_without_secrets(e.metadata, secrets)
            raise


def metadata_without_secrets(metadata: Mapping[str, Any], secrets: Secrets) -> dict[str, Any]:
    """The metadata of an event with scrubbed texts."""
    return {name: _shown_value(value, secrets) for name, value in metadata.items()}


def result_without_secrets(result: Result, secrets: Secrets) -> Result:
    """A result with scrubbed metadata and description."""
    if isinstance(result, dg.AssetCheckEvaluation):
        return dg.AssetCheckEvaluation(
            asset_key=result.asset_key,
            check_name=result.check_name,
            passed=result.passed,
            metadata=metadata_without_secrets(result.metadata, secrets),
            target_materialization_data=result.target_materialization_data,
            severity=result.severity,
            description=scrub(result.description or "", secrets),
            blocking=result.blocking,
            partition=result.partition,
        )
    changed: dict[str, Any] = {}
    if result.metadata:
        changed["metadata"] = metadata_without_secrets(result.metadata, secrets)
    if isinstance(result, dg.AssetCheckResult) and result.description:
        changed["description"] = scrub(result.description, secrets)
    if isinstance(result, dg.Output) or not changed:  # an output without a value has no metadata
        return result
    return result._replace(**changed)


def _shown_value(value: Any, secrets: Secrets) -> Any:
    match value:
        case str():
            return scrub(value, secrets)
        case dg.TextMetadataValue():
            return dg.MetadataValue.text(scrub(value.text or "", secrets))
        case dg.MarkdownMetadataValue():
            return dg.MetadataValue.md(scrub(value.md_str or "", secrets))
        case dg.JsonMetadataValue():
            return dg.MetadataValue.json(scrub_all(value.data, secrets))
        case dg.TableMetadataValue():
            records = [dg.TableRecord(scrub_all(record.data, secrets)) for record in value.records]
            return dg.MetadataValue.table(records, schema=value.schema)
        case _:
            return value
