#!/usr/bin/env bash
# Dagster 1.13.27.
#
# One would expect: a check with a partitions_def, whose asset is materialized for the partitions a to c in a single run,
# has a result for each of them.
# What happens: the result that the step yields is recorded for no partition at all, and each of the three stays
# "planned" after the run has succeeded, which the UI shows as skipped. In runs of one partition each they have results.
# The feature is marked as a preview.
# Source: dagster/_core/definitions/asset_checks/asset_check_result.py (an evaluation has a partition only where the step
# has a partition key) and dagster/_core/instance/runs/run_domain.py (planned evaluations, of each partition of the run).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dagster==1.13.27
export DAGSTER_HOME="$folder" DAGSTER_DISABLE_TELEMETRY=1
cat > "$folder/checked.py" <<'PYTHON'
import warnings

import dagster as dg

warnings.simplefilter("ignore")
letters = dg.StaticPartitionsDefinition(["a", "b", "c"])
quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dg.asset(
    partitions_def=letters,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("complete", asset="rows", partitions_def=letters)],
)
def rows():
    yield dg.MaterializeResult()
    yield dg.AssetCheckResult(check_name="complete", passed=True)


def statuses(instance):
    key = dg.AssetCheckKey(dg.AssetKey("rows"), "complete")
    found = instance.event_log_storage.get_asset_check_partition_info([key])
    return {one.partition_key: one.latest_execution_status.value for one in found}


one_by_one, at_once = dg.DagsterInstance.ephemeral(), dg.DagsterInstance.ephemeral()
for letter in letters.get_partition_keys():
    assert dg.materialize([rows], instance=one_by_one, partition_key=letter, run_config=quiet).success
ends = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
assert dg.materialize([rows], instance=at_once, tags=ends, run_config=quiet).success
print("a run for each partition:", statuses(one_by_one))
print("one run for all:", statuses(at_once))
assert statuses(one_by_one) == dict.fromkeys("abc", "SUCCEEDED")
assert statuses(at_once) == {None: "SUCCEEDED", **dict.fromkeys("abc", "PLANNED")}
PYTHON
"$folder/venv/bin/python" "$folder/checked.py"
# Output seen on 2026-11-30:
# a run for each partition: {'a': 'SUCCEEDED', 'b': 'SUCCEEDED', 'c': 'SUCCEEDED'}
# one run for all: {None: 'SUCCEEDED', 'a': 'PLANNED', 'b': 'PLANNED', 'c': 'PLANNED'}
