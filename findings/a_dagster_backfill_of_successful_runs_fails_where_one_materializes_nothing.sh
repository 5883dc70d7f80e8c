#!/usr/bin/env bash
# Dagster 1.13.27.
#
# One would expect: an asset with `output_required=False` may leave a partition out: its step succeeds, what is downstream is
# skipped, the run is a success, and so is a backfill of such runs: COMPLETED_FAILED says of itself that "some runs failed".
# What happens: where a partition that was asked for is not materialized, the backfill ends as COMPLETED_FAILED ("Failed" in
# the UI, at which alerts go off) though each of its runs is a SUCCESS and no step failed. Partitions that were left out, and
# those of assets downstream, count as failed. So a day without new files, or answers that come later, cannot be told from
# failures by a backfill; runs of the same partitions that a schedule or a job asks for are successes and no more.
# Source: execute_asset_backfill_iteration in dagster/_core/execution/asset_backfill.py, BulkActionStatus in backfill.py
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dagster==1.13.27
cat > "$folder/definitions.py" <<'PYTHON'
import dagster as dg

days = dg.StaticPartitionsDefinition(["mon", "tue", "wed"])


@dg.asset(partitions_def=days, output_required=False)
def files(context):
    """The new files of a day; only mon has any."""
    if context.partition_key == "mon":
        yield dg.Output(1)


@dg.asset(partitions_def=days)
def report(files):
    return files + 1


defs = dg.Definitions([files, report], executor=dg.in_process_executor)
PYTHON
cat > "$folder/backfill.py" <<'PYTHON'
import logging
import sys
import time

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon.backfill import execute_backfill_iteration

ONE_BY_ONE = {  # runs are executed where they are launched, so that nothing has to be waited for
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
}
file = PythonFileTarget(sys.argv[1], None, None, "here")
with dg.instance_for_test(ONE_BY_ONE) as instance, WorkspaceProcessContext(instance, file) as workspace:
    graph = workspace.create_request_context().asset_graph
    begun = PartitionBackfill.from_asset_partitions(
        backfill_id="three_days",
        asset_graph=graph,
        partition_names=["mon", "tue", "wed"],
        asset_selection=[dg.AssetKey("files"), dg.AssetKey("report")],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(begun)
    for _ in range(20):
        list(execute_backfill_iteration(workspace, logging.getLogger("daemon")))  # as the daemon does
        backfill = instance.get_backfill("three_days")
        if backfill.status != BulkActionStatus.REQUESTED:
            break
    runs = [run.status.value for run in instance.get_runs()]
    data = backfill.get_asset_backfill_data(graph)
    counts = {
        one.asset_key.to_user_string(): {status.value: n for status, n in one.partitions_counts_by_status.items() if n}
        for one in data.get_backfill_status_per_asset_key(graph)
    }
print("runs:", runs)
print("backfill:", backfill.status.value)
for name, of in counts.items():
    print(f"partitions of {name}:", of)
assert runs == ["SUCCESS"] * 3
assert backfill.status == BulkActionStatus.COMPLETED_FAILED
assert counts == {name: {"MATERIALIZED": 1, "FAILED": 2} for name in ("files", "report")}
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/backfill.py" "$folder/definitions.py" 2> "$folder/log" | grep -v code_server ||
  (cat "$folder/log"; exit 1)
# Output seen on 2026-11-30:
# runs: ['SUCCESS', 'SUCCESS', 'SUCCESS']
# backfill: COMPLETED_FAILED
# partitions of files: {'MATERIALIZED': 1, 'FAILED': 2}
# partitions of report: {'MATERIALIZED': 1, 'FAILED': 2}
