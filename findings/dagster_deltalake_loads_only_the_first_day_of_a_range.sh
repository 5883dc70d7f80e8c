#!/usr/bin/env bash
# dagster-deltalake 0.29.27 with Dagster 1.13.27 and deltalake 1.6.6.
#
# One would expect: an asset that reads a range of a daily asset's partitions (a week, or all days of a single-run backfill)
# gets the rows of all these days, as it does from dagster-duckdb's IO managers, which share their base class.
# What happens: it gets the rows of the first day, and nothing says that the others are left out. The partition filter is
# made of the window's start alone: `day = start`. So a Delta table must be read day by day.
# Source: dagster_deltalake/handler.py (the filter of a time window, `_time_window_partition_dnf`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dagster==1.13.27 dagster-deltalake==0.29.27 deltalake==1.6.6 pyarrow==26.0.1
export DAGSTER_HOME="$folder" DAGSTER_DISABLE_TELEMETRY=1
cat > "$folder/days.py" <<'PYTHON'
import sys
from datetime import date

import dagster as dg
import pyarrow as pa
from dagster_deltalake import DeltaLakePyarrowIOManager, LocalConfig

days = dg.DailyPartitionsDefinition("2026-03-02", end_date="2026-03-05")
read = []


@dg.asset(partitions_def=days, metadata={"partition_expr": "day"}, io_manager_key="delta")
def tickets(context) -> pa.Table:
    day = date.fromisoformat(context.partition_key)
    return pa.table({"id": [f"{day} a", f"{day} b"], "day": [day, day]})


@dg.asset(partitions_def=days, backfill_policy=dg.BackfillPolicy.single_run(), io_manager_key="nowhere")
def reads_a_range(tickets: pa.Table) -> None:
    read.append(tickets["id"].to_pylist())


class Nowhere(dg.IOManager):
    def handle_output(self, context, obj):
        pass

    def load_input(self, context):
        raise NotImplementedError


resources = {
    "delta": DeltaLakePyarrowIOManager(root_uri=sys.argv[1], storage_options=LocalConfig()),
    "nowhere": Nowhere(),
}
quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
for key in days.get_partition_keys():
    dg.materialize([tickets], resources=resources, partition_key=key, run_config=quiet)
dg.materialize(
    [tickets, reads_a_range],
    resources=resources,
    selection="key:reads_a_range",
    run_config=quiet,
    tags={"dagster/asset_partition_range_start": "2026-03-02", "dagster/asset_partition_range_end": "2026-03-04"},
)
print("rows of three days:", read)
assert read == [["2026-03-02 a", "2026-03-02 b"]]
PYTHON
"$folder/venv/bin/python" "$folder/days.py" "$folder/delta" 2> "$folder/warnings" || { cat "$folder/warnings"; exit 1; }
# Output seen on 2026-11-30:
# rows of three days: [['2026-03-02 a', '2026-03-02 b']]
