#!/usr/bin/env bash
# Dagster 1.13.27.
#
# One would expect: a ConfigurableResource that is given to a run as an object is that object in the assets, or one copy
# of it; the event log says RESOURCE_INIT_SUCCESS once.
# What happens: for that one initialization three further objects are constructed, whatever the number of assets, and
# for each of them Dagster infers the config schema of the class anew (of a resource with fifteen fields some 10 ms each,
# a third of a small run). setup_for_execution sees the last of the three. So nothing costly belongs into `__init__` or
# `model_post_init`, and what these count or cache is not what the assets see.
# Source: dagster/_config/pythonic_config/resource.py (ConfigurableResource.__init__, _with_updated_values,
# _initialize_and_run).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dagster==1.13.27
export DAGSTER_HOME="$folder" DAGSTER_DISABLE_TELEMETRY=1
cat > "$folder/made.py" <<'PYTHON'
import dagster as dg
from dagster._config.pythonic_config import resource as pythonic_resource

inferred, made, set_up, used = [], [], [], []
infer = pythonic_resource.infer_schema_from_config_class


def counting(model, *arguments, **options):
    inferred.append(model)
    return infer(model, *arguments, **options)


pythonic_resource.infer_schema_from_config_class = counting


class Api(dg.ConfigurableResource):
    url: str = "http://127.0.0.1"

    def model_post_init(self, context):
        made.append(self)

    def setup_for_execution(self, context):
        set_up.append(self)


@dg.asset
def first(api: Api) -> int:
    used.append(api)
    return 1


@dg.asset
def second(first: int, api: Api) -> int:
    used.append(api)
    return first + 1


api = Api()
given = len(made)
inferred.clear()
quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
result = dg.materialize([first, second], resources={"api": api}, run_config=quiet)
events = [event for event in result.all_events if event.event_type_value == "RESOURCE_INIT_SUCCESS"]
print(f"{len(events)} initialization event, {len(made) - given} objects made, {len(inferred)} schemas inferred")
print(f"{len(set_up)} set up; both assets got it: {all(one is set_up[0] for one in used)}")
assert len(events) == 1
assert len(made) - given == len(inferred) == 3
assert len(set_up) == 1
assert all(one is made[-1] for one in [*set_up, *used])
PYTHON
"$folder/venv/bin/python" "$folder/made.py"
# Output seen on 2026-11-30:
# 1 initialization event, 3 objects made, 3 schemas inferred
# 1 set up; both assets got it: True
