#!/usr/bin/env bash
# Dagster 1.13.27 (with alembic 1.20.1, SQLAlchemy 2.1.9).
#
# One would expect: an instance in memory creates its tables and is done. No database that ever existed can need a
# migration, and a second instance of the process finds whatever the first one loaded.
# What happens: each DagsterInstance.ephemeral(), and so each dg.materialize() without an instance, executes all of
# Dagster's migration scripts, 89 files, twice: once for its run storage, once for its event log. They are looked up to
# stamp the newly created tables with the name of the last revision. It is most of the time that an instance takes, some
# 80 ms of CPU, which a suite of tests with a run each pays a run. One instance for many tests avoids it.
# Source: dagster/_core/storage/runs/in_memory.py and event_log/in_memory.py (stamp_alembic_rev in __init__), and
# dagster/_core/storage/sql.py; alembic/script/base.py (ScriptDirectory._load_revisions).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dagster==1.13.27 alembic==1.20.1 "SQLAlchemy==2.1.9"
export DAGSTER_HOME="$folder" DAGSTER_DISABLE_TELEMETRY=1
cat > "$folder/count.py" <<'PYTHON'
import time

import alembic.util.pyfiles as pyfiles
import dagster as dg

executed = 0
load_module = pyfiles.load_module_py


def counting(*arguments):
    global executed
    executed += 1
    return load_module(*arguments)


pyfiles.load_module_py = counting
for which in ("first", "second", "third"):
    before, started = executed, time.process_time()
    dg.DagsterInstance.ephemeral()
    print(f"the {which} instance: {executed - before} scripts executed, {time.process_time() - started:.2f} s of CPU")
assert executed == 3 * 178, executed
PYTHON
"$folder/venv/bin/python" "$folder/count.py"
# Output seen on 2026-11-30 (178 = 2 x (88 revisions + env.py)):
# the first instance: 178 scripts executed, 0.39 s of CPU
# the second instance: 178 scripts executed, 0.09 s of CPU
# the third instance: 178 scripts executed, 0.08 s of CPU
