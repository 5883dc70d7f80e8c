#!/usr/bin/env bash
# dagster-ray 0.4.8, Ray 2.60.0, Dagster 1.13.27.
#
# One would expect: `op_tags={"dagster-ray/config": ...}` is the "override configuration for a specific asset" that the
# executor's docstring shows, and so it is with dagster-k8s: what a step's tags say wins over what the executor's config says,
# and holds for that step alone.
# What happens: where the executor's config has num_cpus, num_gpus or memory, those of the tags are ignored; and the resources
# that one step's tags name are asked for by all later steps of the run as well, as they are written into the config's own
# dict. So a default for all steps makes the tags useless, and steps after one that needs a GPU node wait for such a node.
# Source: RayStepHandler.launch_step in dagster_ray/core/executor.py, where the executor's own numbers come first, and its
# dict of resources is updated in place.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dagster==1.13.27 dagster-ray==0.4.8 "ray[default]==2.60.0"
cat > "$folder/definitions.py" <<'PYTHON'
import dagster as dg
from dagster_ray import ray_executor

executor = ray_executor.configured({"ray": {"num_cpus": 1, "resources": {"disk": 1}}})


@dg.asset(op_tags={"dagster-ray/config": '{"num_cpus": 4, "resources": {"a100": 1}}'})
def vectors():
    return 1


@dg.asset(deps=[vectors])
def report():
    return 2


job = dg.Definitions(
    assets=[vectors, report], jobs=[dg.define_asset_job("job")], executor=executor
).resolve_job_def("job")


def the_job():
    return job
PYTHON
cat > "$folder/run.py" <<'PYTHON'
import os
import subprocess
import sys

import ray.job_submission

import dagster as dg
from definitions import the_job


class OnThisMachine:
    """Runs a job where it is submitted, so that no cluster has to be started."""

    def __init__(self, *_, **__):
        pass

    def submit_job(self, *, entrypoint, metadata, runtime_env, entrypoint_num_cpus, entrypoint_resources, **_):
        asked[metadata["dagster/op"]] = entrypoint_num_cpus, dict(entrypoint_resources)
        subprocess.run(entrypoint, shell=True, check=True, env=os.environ | runtime_env["env_vars"])

    def get_job_status(self, _):
        return ray.job_submission.JobStatus.RUNNING


asked = {}
ray.job_submission.JobSubmissionClient = OnThisMachine
with dg.instance_for_test() as instance:
    run = dg.execute_job(dg.reconstructable(the_job), instance)
print("the run is a success:", run.success)
for step, (cpus, resources) in asked.items():
    print(f"{step}: {cpus:g} CPUs, resources {resources}")
as_described = {"vectors": (4, {"disk": 1, "a100": 1}), "report": (1, {"disk": 1})}
as_seen = {"vectors": (1, {"disk": 1, "a100": 1}), "report": (1, {"disk": 1, "a100": 1})}
print("as described:", asked == as_described)
sys.exit(asked != as_seen)
PYTHON
cd "$folder"
PATH="$folder/venv/bin:$PATH" PYTHONPATH="$folder" "$folder/venv/bin/python" -W ignore run.py 2> "$folder/log" || { cat "$folder/log"; exit 1; }
# Output seen on 2026-12-01:
# the run is a success: True
# vectors: 1 CPUs, resources {'disk': 1.0, 'a100': 1.0}
# report: 1 CPUs, resources {'disk': 1.0, 'a100': 1.0}
# as described: False
