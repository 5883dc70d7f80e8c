"""Materializing assets in tests, and looking at what came of it."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache, partial
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.functions import chat_completions

MODEL = "gpt-4o-mini"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_NOWHERE = OpenAIResource(api_key="unused", base_url="http://127.0.0.1:9/v1")


def ask(content: Any, model: Any = MODEL, **arguments: Any) -> Any:
    """A chat call with one message of the user's."""
    return chat_completions([{"role": "user", "content": content}], model=model, **arguments)


def op_name(asset: str) -> str:
    """The name of a computed column's op, `tickets__response`."""
    return asset.replace("/", "__")


@cache
def _instance() -> dg.DagsterInstance:
    """One for all runs that do not ask for their own: making one takes as long as a run.

    It forgets what runs record, which tests read off their results: to keep it, and a snapshot of each run's job, is
    half the CPU of a run.
    """
    instance = dg.DagsterInstance.ephemeral()
    events = instance.event_log_storage
    events.store_event = lambda _event: None
    events.get_asset_records = lambda _asset_keys=None: []
    instance.create_run_for_job = partial(_create_run, instance)
    return instance


def _create_run(
    instance: dg.DagsterInstance,
    *,
    job_def: dg.JobDefinition,
    execution_plan: Any,
    run_id: str | None,
    run_config: Mapping[str, Any],
    tags: Mapping[str, str],
    asset_selection: AbstractSet[dg.AssetKey],
) -> dg.DagsterRun:
    """What `DagsterInstance.create_run_for_job` does, without snapshots of the job and its plan."""
    nothing = dict.fromkeys(
        (
            *("status", "root_run_id", "parent_run_id", "asset_check_selection", "resolved_op_selection"),
            *("op_selection", "remote_job_origin", "job_code_origin"),
            *("job_snapshot", "parent_job_snapshot", "execution_plan_snapshot"),
        )
    )
    return instance.create_run(
        job_name=job_def.name,
        run_id=run_id,
        run_config=run_config,
        tags=tags,
        step_keys_to_execute=execution_plan.step_keys_to_execute,
        asset_selection=asset_selection,
        asset_graph=job_def.asset_layer.asset_graph,
        **nothing,
    )


def materialize(
    assets: Sequence[Any],
    store: ColumnStore,
    openai: OpenAIResource | None = None,
    *,
    partition: str | None = None,
    span: tuple[str, str] | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    only: Sequence[str] | None = None,
    instance: dg.DagsterInstance | None = None,
    fails: bool = False,
    resources: Mapping[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """One run of the assets: of `partition`, of the partitions from `span[0]` to `span[1]`, or without any.

    `config` is the run config of computed columns by asset, `only` the assets to run, `fails` whether the run must.
    """
    tags = {}
    if span:
        tags = {"dagster/asset_partition_range_start": span[0], "dagster/asset_partition_range_end": span[1]}
    ops = {op_name(asset): {"config": dict(values)} for asset, values in (config or {}).items()}
    result = dg.materialize(
        assets,
        resources={"columns": store, "openai": openai or _NOWHERE, **(resources or {})},
        partition_key=partition,
        tags=tags,
        run_config={**QUIET, **({"ops": ops} if ops else {})},
        selection=None if only is None else [dg.AssetKey(name.split("/")) for name in only],
        instance=instance or _instance(),
        raise_on_error=not fails,
    )
    assert result.success is not fails
    return result


def metadata(result: dg.ExecuteInProcessResult, asset: str, partition: str | None = None) -> dict[str, Any]:
    """The metadata of the asset's one materialization, of that partition."""
    (found,) = [
        event.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(asset.split("/")) and event.partition == partition
    ]
    return {name: value.value for name, value in found.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> dg.Failure | Any:
    """What the failed step said: `description`, `metadata`, `allow_retries`."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    said = event.step_failure_data.user_failure_data
    assert said is not None, event.step_failure_data.error
    return said


def message(result: dg.ExecuteInProcessResult) -> str:
    """All that a failed run says: the failure, its causes, their stacks."""
    return "\n".join(
        f"{event.step_failure_data.user_failure_data} {event.step_failure_data.error.to_string()}"
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.error
    )


def stored(store: ColumnStore, asset: str, partition: str | None = None) -> pa.Table:
    """The stored file of an asset, as plain pyarrow reads it."""
    return pq.read_table(store.file(dg.AssetKey(asset.split("/")), partition).path.path)


def values(store: ColumnStore, asset: str, partition: str | None = None) -> list[Any]:
    """The stored values of a computed column."""
    return stored(store, asset, partition)[asset.rpartition("/")[2]].to_pylist()


def rows_asset(rows: Mapping[str, Any], name: str = "tickets", **options: Any) -> dg.AssetsDefinition:
    """An asset of the ColumnStore with the columns in `rows`, which a test may change between runs."""

    @dg.asset(name=name, io_manager_key="columns", **options)
    def upstream() -> pa.Table:
        return pa.table(dict(rows))

    return upstream
