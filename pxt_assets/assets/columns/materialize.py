"""A Dagster step that materializes partitions of a computed column, and reports their results to Dagster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import dagster as dg

from pxt_assets.api.budget import Budget, BudgetReachedError
from pxt_assets.api.event_loop import run_to_end
from pxt_assets.api.meter import Meter
from pxt_assets.api.openai_resource import OpenAIResource
from pxt_assets.api.request_loop import request_loop
from pxt_assets.api.server_name import AskedServer
from pxt_assets.api.within import processing_of
from pxt_assets.assets.columns.column_config import ColumnConfig
from pxt_assets.assets.columns.column_plan import caches_prompts, column_plan, is_known_to_cache
from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.assets.columns.step_checks import StepChecks
from pxt_assets.assets.columns.step_events import StepEvents
from pxt_assets.assets.columns.step_failure import cell_failures, dagster_failure, step_error
from pxt_assets.assets.columns.stored_checks import StoredPartitions
from pxt_assets.assets.columns.waiting import BatchesOfRun, deferral_of_run, record_waiting, within_of_run
from pxt_assets.assets.declarations.validation import is_moderation
from pxt_assets.assets.step.events import already_logged_result
from pxt_assets.assets.step.invocation import is_direct, run_id, selected_assets
from pxt_assets.assets.step.kept_values import (
    StepStore,
    is_value_asked,
    keep_value_for_result,
    stored_value,
)
from pxt_assets.assets.step.partition_order import in_order
from pxt_assets.assets.step.resource_keys import used_resource
from pxt_assets.assets.step.shown import metadata_without_secrets, step_secrets
from pxt_assets.assets.step.upstream_rows import UpstreamRows, step_partitions
from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.asking.run_state import RunState
from pxt_assets.compute.partition.column import Column, Options, Outcome
from pxt_assets.compute.partition.inputs import Inputs
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.compute.run_later import compute_later
from pxt_assets.compute.run_partitions import Partition, RunCallbacks, RunEnd, Waiting, compute_partitions
from pxt_assets.errors import PartitionError, RunError
from pxt_assets.index.lookup import looks_up_simulated

T = TypeVar("T")
Result = dg.MaterializeResult[Any] | dg.AssetCheckResult | dg.AssetCheckEvaluation | dg.Output[Any]


class Materialization:
    """One step of a computed column; `input_values` are given by whoever calls it directly, as tests do."""

    def __init__(
        self,
        spec: ColumnSpec,
        context: dg.AssetExecutionContext,
        config: ColumnConfig,
        input_values: Mapping[str, Any],
        kept: StepStore,
    ) -> None:
        self._spec, self._context, self._config = spec, context, config
        self._events = StepEvents(spec, context, step_secrets(context))
        self._store, self._is_temporary = kept
        self._resource = (
            self._used_resource(spec.resources.openai, OpenAIResource) if spec.calls_api else None
        )
        self._partition_keys = step_partitions(context)
        self._upstream = UpstreamRows(context, spec.inputs, self._partition_keys, input_values)
        max_cost_usd = spec.max_cost_usd if config.max_cost_usd is None else config.max_cost_usd
        self._budget = None if max_cost_usd is None else Budget(max_cost_usd)
        self._caches = False
        """Whether requests tell the server which part of their prompts all rows have in common."""
        self._started = time.monotonic()
        self._outcomes: dict[Partition, Outcome] = {}
        self._unrecorded_metadata: Mapping[str, Any] | None = None
        """The metadata of the only partition of a run; the result of the step records it."""
        self._failures: dict[Partition, PartitionError] = {}
        self._unfinished: dict[Partition, Progress] = {}
        self._waiting: Mapping[Partition, Waiting] = {}
        self._deferral = deferral_of_run(spec, config, self._resource, kept, run_id(context))
        self._batches = BatchesOfRun(self._deferral)

    def results(self) -> Iterator[Result]:
        """The results that the step yields. Raises dg.Failure."""
        if self._spec.key not in selected_assets(self._context):
            if not self._checks.names:  # a green run that computes nothing would say that all is well
                msg = f"the run selected neither {self._spec.key.to_user_string()} nor any of its checks"
                raise dg.Failure(msg, allow_retries=False)
            yield from self._checks.of_stored(alone=True)
        elif self._config.dry_run:
            yield from self._dry_run()
        else:
            yield from self._materialize()

    @cached_property
    def _server(self) -> AskedServer | None:
        return None if self._resource is None else self._resource.asked_server()

    @cached_property
    def _plan(self) -> Plan:
        """The plan of the expression, with the indexes that it searches as they are stored now. Raises RunError."""
        return column_plan(self._spec, self._used_resource, caches=self._caches)

    def _used_resource(self, key: str, kind: type[T]) -> T:
        return used_resource(self._context.resources, key, kind, self._spec.key.to_user_string())

    @cached_property
    def _checks(self) -> StepChecks:
        spec, context, partitions = self._spec, self._context, self._partition_keys
        is_kept = not (self._is_temporary or is_direct(context))
        stored = StoredPartitions(spec, self._store, context, partitions) if is_kept else None
        return StepChecks(spec, context, partitions, stored)

    def _materialize(self) -> Iterator[Result]:
        try:
            self._upstream.check()
            end = run_to_end(self._compute(), None if self._spec.runs_local_code else request_loop)
            self._waiting = end.waiting
            self._failures = in_order(self._partition_keys, self._failures)  # of which `_on_failed` was told
            error = self._step_error(end.error)
            if error is not None:
                raise error
        except BaseException as e:
            if self._unrecorded_metadata is not None:
                (partition,) = self._partition_keys
                data_version = self._outcomes[partition].data_version
                self._events.materialized(partition, self._unrecorded_metadata, data_version)
            if len(self._partition_keys) > 1 and (self._outcomes or self._failures or self._unfinished):
                self._observe_summary()
            self._record_waiting()
            yield from self._check_results_after(e)
            if isinstance(e, RunError):
                raise self._dagster_failure(e) from e
            raise
        if self._waiting:  # nothing downstream begins: it would lack rows
            self._record_waiting()
        elif self._config.limit is None:
            yield from self._result()
        yield from self._check_results()

    def _check_results(self) -> Iterator[Result]:
        """The results of the checks in a run that succeeds: over what is stored, which a trial leaves as it is."""
        stored = {partition: one.findings for partition, one in self._stored_outcomes.items()}
        yield from self._checks.at_end(stored, {}, self._meters, is_waiting=bool(self._waiting))

    def _record_waiting(self) -> None:
        of_run, stored = self._partition_keys, self._stored_outcomes
        record_waiting(self._events, self._waiting, of_run, stored, self._budget)

    def _result(self) -> Iterator[Result]:
        """The result of the asset, with its value where nothing else keeps that."""
        spec, context = self._spec, self._context
        if self._unrecorded_metadata is None:
            self._observe_summary()
            result = already_logged_result(spec.key)
        else:
            (partition,) = self._partition_keys
            data_version = dg.DataVersion(self._outcomes[partition].data_version)
            result = dg.MaterializeResult(asset_key=spec.key, data_version=data_version)
            if is_direct(context):
                result = result._replace(metadata=self._unrecorded_metadata)
            else:
                context.add_asset_metadata(
                    self._unrecorded_metadata, asset_key=spec.key, partition_key=partition
                )
        if self._is_temporary or is_direct(context):
            value = stored_value(self._store, spec.key, self._partition_keys, stays=not self._is_temporary)
            result = result._replace(value=value)
        yield result
        if is_value_asked(context) and not self._is_temporary:
            value = stored_value(self._store, spec.key, self._partition_keys)
            keep_value_for_result(context, spec.key, value)

    async def _compute(self) -> RunEnd:
        log = self._context.log.info
        reports = RunCallbacks(log, self._context.log.warning, self._on_finished, self._on_failed)
        client = None
        async with AsyncExitStack() as stack:
            if self._resource is not None:
                client = await stack.enter_async_context(self._resource.client(log))
                self._caches = await caches_prompts(self._spec, self._server, client)
            keys = self._partition_keys
            shared = RunState(client, name=self._label(None), partitions=len(keys), server=self._server)
            if self._deferral is not None:
                return await compute_later(keys, self._open_column, shared, reports, self._deferral)
            return await compute_partitions(keys, self._open_column, shared, reports)

    def _open_column(self, partition: Partition) -> Column:
        """One partition to compute, with its rows opened."""
        spec, store, plan = self._spec, self._store, self._plan
        found, labels = looks_up_simulated(plan.expr), spec.needed_labels(partition)
        try:
            rows = self._upstream.of(partition)
        except PartitionError as e:
            e.locate(self._label(partition))
            raise
        if spec.indexes:
            from pxt_assets.index.vector_servers import mixed_vectors

            for warning in mixed_vectors(plan.expr, rows):
                self._context.log.warning(f"{self._label(partition)}: {warning}")
        return Column(
            label=self._label(partition),
            name=spec.name,
            plan=plan,
            column_type=spec.column_type,
            inputs=Inputs(rows, spec.row_key, plan.columns, spec.read_options, found, labels),
            file=store.file(spec.key, partition),
            options=Options(
                on_error=spec.on_error,
                limit=self._config.limit,
                refresh=self._config.refresh,
                retry_errors=self._config.retry_errors,
                provenance=store.provenance,
            ),
            run_id=run_id(self._context),
            budget=self._budget,
            moderates=is_moderation(spec.expr),
            questions=spec.questions,
            labels=spec.labels,
            code_version=spec.code_version,
            file_metadata={"asset": spec.key.path, "partition": partition},
        )

    def _label(self, partition: Partition) -> str:
        return f"{self._spec.key.to_user_string()}{f'[{partition}]' if partition else ''}"

    def _on_finished(self, partition: Partition, outcome: Outcome) -> None:
        """Logs a finished partition; of several, records it at once: it is stored, whatever happens to the others."""
        from pxt_assets.assets.page.metadata import materialization_metadata, outcome_line, outcome_metadata
        from pxt_assets.assets.page.waiting import ways_text, with_ways

        spec, of, batches = self._spec, len(self._partition_keys), self._batches.of(partition)
        ways = ways_text(batches, outcome.meter)
        self._context.log.info(f"{self._label(partition)}: {outcome_line(outcome)}{ways}")
        if outcome.other_servers is not None:
            self._context.log.warning(f"{self._label(partition)}: {outcome.other_servers}")
        self._outcomes[partition] = replace(outcome, sample=outcome.schema.empty_table(), inputs=None)
        if outcome.trial:
            metadata = outcome_metadata(outcome, spec.lineage, partition=partition, of=of)
            self._events.observed(partition, metadata)
            return
        file = self._store.file(spec.key, partition)
        metadata = materialization_metadata(
            outcome, file, self._lineage, spec.lineage, partition=partition, of=of
        )
        metadata = with_ways(metadata, batches, outcome.meter)
        metadata = metadata_without_secrets(metadata, self._events.secrets)
        if self._is_temporary:
            del metadata["dagster/uri"]
        if len(self._partition_keys) > 1:
            self._events.materialized(partition, metadata, outcome.data_version)
        else:
            self._unrecorded_metadata = metadata

    @cached_property
    def _lineage(self) -> dg.TableColumnLineage:
        from pxt_assets.assets.page.metadata import column_lineage

        spec = self._spec
        return column_lineage(spec.expr, spec.name, spec.row_key, next(iter(spec.inputs.values())))

    def _on_failed(self, partition: Partition, progress: Progress | None, error: BaseException) -> None:
        """Reports what a partition that was not finished took, and why it was not finished."""
        if progress is not None:
            self._unfinished[partition] = progress
        if isinstance(error, PartitionError):
            self._failures[partition] = error
        if progress is not None or isinstance(error, PartitionError):
            from pxt_assets.assets.page.metadata import unfinished_metadata

            self._events.observed(partition, unfinished_metadata(progress, error))

    def _observe_summary(self) -> None:
        from pxt_assets.assets.page.summary import partitions_metadata

        outcomes = in_order(self._partition_keys, self._outcomes)
        metadata = partitions_metadata(
            outcomes,
            in_order(self._partition_keys, self._failures),
            in_order(self._partition_keys, self._unfinished),
            of=len(self._partition_keys),
            seconds=time.monotonic() - self._started,
        )
        self._events.observed(None, metadata)

    def _step_error(self, error: BaseException | None) -> BaseException | None:
        stored, of = len(self._stored_outcomes), len(self._partition_keys)
        return step_error(error, self._failures, stored=stored, of=of)

    def _dagster_failure(self, error: RunError) -> dg.Failure:
        return dagster_failure(error, self._spec.key, self._failures, self._unfinished)

    def _check_results_after(self, error: BaseException) -> Iterator[Result]:
        """The results of the checks in a run that an error ended: over what is stored now, and on failed rows."""
        stored = {partition: one.findings for partition, one in self._stored_outcomes.items()}
        failures = {} if self._config.limit is not None else cell_failures(self._failures)
        reached = isinstance(error, BudgetReachedError) and self._config.max_cost_usd is None
        try:
            if self._config.dry_run:
                results = [*self._checks.of_stored()]
            else:
                results = [*self._checks.at_end(stored, failures, self._meters, reached=reached, failed=True)]
        except Exception as e:  # what ended the run is to be raised
            problem = type(e).__name__
            self._context.log.warning(f"{self._label(None)}: the checks could not be evaluated: {problem}")
            return
        yield from results

    @property
    def _stored_outcomes(self) -> dict[Partition, Outcome]:
        """Of the partitions that this run stored."""
        return {partition: one for partition, one in self._outcomes.items() if not one.trial}

    @property
    def _meters(self) -> list[Meter]:
        computed = [one.meter for one in self._outcomes.values()]
        waiting = [one.meter for one in self._waiting.values() if one.meter is not None]
        return [*computed, *(one.meter for one in self._unfinished.values()), *waiting]

    def _dry_run(self) -> Iterator[Result]:
        """Records what computing each partition would take. Raises dg.Failure."""
        from pxt_assets.assets.columns.dry_run_step import log_estimates

        self._caches = is_known_to_cache(self._spec, self._server)
        try:
            self._upstream.check()
            self._failures = log_estimates(
                *(self._context, self._spec.key, self._partition_keys, self._open_column),
                resource=self._resource,
                server=self._server,
                processing=processing_of(within_of_run(self._spec, self._config)),
                deferral=self._deferral,
                observe=self._events.observed,
            )
            if (error := self._step_error(None)) is not None:
                raise error
        except BaseException as e:
            yield from self._check_results_after(e)
            if isinstance(e, RunError):
                raise self._dagster_failure(e) from e
            raise
        yield from self._checks.of_stored()
