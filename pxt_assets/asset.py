"""The factory: a computed column as a Dagster asset."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
from pydantic import Field

from pxt_assets.errors import FatalApiError, RunError
from pxt_assets.event_loop import run_to_end
from pxt_assets.expr import calls, code, references
from pxt_assets.meter import dollars
from pxt_assets.names import identifier
from pxt_assets.store import LAZY, ColumnStore
from pxt_assets.types import ColumnType

if TYPE_CHECKING:
    from pxt_assets.compute.column import Column, Options, Outcome
    from pxt_assets.resource import OpenAIResource
    from pxt_assets.rows import Rows


class ColumnConfig(dg.Config):
    """The run config of a computed column, as the launchpad shows it."""

    limit: int | None = Field(
        default=None, ge=1, description="Only the first rows: a trial that leaves the stored column as it is."
    )
    refresh: bool = Field(default=False, description="Compute every row anew, and pay for it.")
    retry_errors: bool = Field(
        default=True,
        description="Try rows again that failed in an earlier run; with on_error='abort' they always are.",
    )


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
    on_error: Literal["abort", "ignore"] = "abort"
    partition_mapping: dg.PartitionMapping | None = None
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Of the file systems that hold the table's images and sounds."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Further attributes of the asset: owners, tags, group_name, ..."""

    @property
    def inputs(self) -> dict[str, dg.AssetKey]:
        """The assets that are read, by input name; the first gives the rows.

        A column that reads computed columns alone depends on these alone: they hold the keys too.
        """
        assets = list(dict.fromkeys(ref._asset for ref in references(self.expr))) or [self.table]
        if self.table in assets:
            assets = [self.table, *(a for a in assets if a != self.table)]
        return {f"rows_of__{identifier(asset)}": asset for asset in assets}

    @property
    def code_version(self) -> str:
        """Changes with what the column computes, not with how it is described, throttled or scheduled."""
        text = f"{code(self.expr)}\n{sorted(self.row_key)}"
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def column_asset(spec: ColumnSpec) -> dg.AssetsDefinition:
    """The asset that materializes a computed column, partition by partition."""
    asks = any(not call._function.local for call in calls(spec.expr))
    mapping = {spec.table: spec.partition_mapping}
    inputs = spec.inputs
    asset_spec = dg.AssetSpec(
        spec.key,
        deps=[dg.AssetDep(asset, partition_mapping=mapping.get(asset)) for asset in inputs.values()],
        partitions_def=spec.partitions_def,
        code_version=spec.code_version,
        kinds={"openai", "parquet"} if asks else {"parquet"},
        skippable=True,  # a trial materializes nothing
        **spec.attributes,
    ).with_io_manager_key("columns")

    @dg.multi_asset(
        name=identifier(spec.key),
        specs=[asset_spec],
        ins={name: dg.AssetIn(asset) for name, asset in inputs.items()},
        op_tags={LAZY: "true"},
        backfill_policy=spec.backfill_policy,
        required_resource_keys={"openai", "columns"} if asks else {"columns"},
    )
    def column(
        context: dg.AssetExecutionContext, config: ColumnConfig, **loaded: Any
    ) -> Iterator[dg.MaterializeResult[Any]]:
        yield from _materialize(spec, context, config, loaded)

    return column


def _materialize(
    spec: ColumnSpec, context: dg.AssetExecutionContext, config: ColumnConfig, loaded: Mapping[str, Any]
) -> Iterator[dg.MaterializeResult[Any]]:
    from pxt_assets.compute.column import Options
    from pxt_assets.metadata import column_lineage, materialization_metadata, outcome_metadata

    partitioned = context.has_partition_key or context.has_partition_key_range
    keys: Sequence[str | None] = list(context.partition_keys) if partitioned else [None]
    store: ColumnStore = context.resources.columns
    options = Options(
        on_error=spec.on_error, limit=config.limit, refresh=config.refresh, retry_errors=config.retry_errors
    )
    lineage = column_lineage(spec.expr, spec.name, spec.row_key, next(iter(spec.inputs.values())))

    stored: dict[str | None, Mapping[str, Any]] = {}

    def report(partition: str | None, outcome: "Outcome") -> None:
        context.log.info(_summary(spec, partition, outcome))
        if outcome.trial:
            context.log_event(
                dg.AssetObservation(spec.key, partition=partition, metadata=outcome_metadata(outcome))
            )
            return
        file = store.file(spec.key, partition)
        stored[partition] = materialization_metadata(outcome, file, lineage, partitioned=partitioned)

    columns = _columns(spec, context, loaded, keys, store, options)
    resource = context.resources.openai if "openai" in context.op_def.required_resource_keys else None
    try:
        run_to_end(_compute_all(columns, resource, context.log.info, report))
    except BaseException as e:
        _record_stored(spec, context, stored)
        if isinstance(e, RunError):
            raise _failure(spec, e) from e
        raise
    for partition, metadata in stored.items():
        context.add_asset_metadata(metadata, asset_key=spec.key, partition_key=partition)
    if config.limit is None:
        yield dg.MaterializeResult(asset_key=spec.key)


def _failure(spec: ColumnSpec, error: RunError) -> dg.Failure:
    from pxt_assets.compute.column import CellsFailedError
    from pxt_assets.metadata import failure_metadata

    error.locate(spec.key.to_user_string())
    return dg.Failure(
        str(error),
        metadata=failure_metadata(error) if isinstance(error, CellsFailedError) else None,
        allow_retries=not isinstance(error, FatalApiError),
    )


def _record_stored(
    spec: ColumnSpec, context: dg.AssetExecutionContext, stored: Mapping[str | None, Mapping[str, Any]]
) -> None:
    """Records the partitions that were stored before the run failed: its step will report none of them."""
    for partition, metadata in stored.items():
        context.log_event(
            dg.AssetMaterialization(
                spec.key,
                partition=partition,
                metadata=metadata,
                tags={"dagster/code_version": spec.code_version},
            )
        )


def _columns(
    spec: ColumnSpec,
    context: dg.AssetExecutionContext,
    loaded: Mapping[str, Any],
    keys: Sequence[str | None],
    store: ColumnStore,
    options: "Options",
) -> Iterator[tuple[str | None, "Column"]]:
    """The partitions to compute, one after the other; a partition's rows are opened when its turn comes."""
    from pxt_assets.compute.column import Column
    from pxt_assets.compute.inputs import Inputs
    from pxt_assets.compute.plan import Plan
    from pxt_assets.media import Reading
    from pxt_assets.upstream import upstream_rows

    plan = Plan(spec.expr, spec.column_type)
    called = calls(spec.expr)
    for_api = bool(called) and not any(call._function.local for call in called)
    reading = Reading(spec.storage_options, for_api=for_api)
    for key in keys:
        rows: dict[dg.AssetKey, Rows] = {
            asset: upstream_rows(context, asset, loaded[name], key) for name, asset in spec.inputs.items()
        }
        label = f"{spec.key.to_user_string()}{f'[{key}]' if key else ''}"
        yield (
            key,
            Column(
                label=label,
                name=spec.name,
                plan=plan,
                column_type=spec.column_type,
                inputs=Inputs(rows, spec.row_key, plan.columns, reading),
                file=store.file(spec.key, key),
                options=options,
                file_metadata={"asset": spec.key.path, "partition": key, "code_version": spec.code_version},
            ),
        )


async def _compute_all(
    columns: Iterator[tuple[str | None, "Column"]],
    resource: "OpenAIResource | None",
    log: Callable[[str], None],
    report: Callable[[str | None, "Outcome"], None],
) -> None:
    from pxt_assets.compute.run import compute

    if resource is None:
        for partition, column in columns:
            report(partition, await compute(column, None, log))
        return
    async with resource.client(log) as client:
        for partition, column in columns:
            report(partition, await compute(column, client, log))


def _summary(spec: ColumnSpec, partition: str | None, outcome: "Outcome") -> str:
    return (
        f"{spec.key.to_user_string()}{f'[{partition}]' if partition else ''}: {outcome.rows} rows, "
        f"{outcome.computed} computed, {outcome.reused} reused, {outcome.failed} failed; "
        f"{outcome.meter.requests} requests, {dollars(outcome.meter.cost_usd)}, {outcome.seconds:.1f} s"
        f"{' (simulated)' if outcome.simulated else ''}{' (trial, not stored)' if outcome.trial else ''}"
    )
