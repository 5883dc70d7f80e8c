"""The tests' table with one chat column, whose runs take some partitions each; run by Ray.

By PXT_RAY_STEPS each step is a Ray job of its own, or runs in its run's process.
"""

import os

import dagster as dg
from dagster_ray import ray_executor

from pxt_assets import Table
from pxt_assets.functions import chat_completions
from tests.distributed.location import PROMPT, defs, tickets

PARTITIONS = 5
"""Of a run: 12 runs take 60 of them."""
STEP_CPUS = 0.25
"""Of one of Ray's: a step waits for answers nearly all of the time."""

tbl = Table(tickets, key="id")
tbl.add_computed_column(
    undisturbed=chat_completions(
        [{"role": "system", "content": PROMPT}, {"role": "user", "content": tbl.body}],
        model="gpt-6-luna",
        max_tokens=16,
    ),
    backfill_policy=dg.BackfillPolicy.multi_run(PARTITIONS),
)

on_ray = ray_executor.configured({"ray": {"num_cpus": STEP_CPUS}})
defs = dg.Definitions(
    assets=[tickets, *tbl.assets],
    resources=defs.resources,
    executor=on_ray if os.environ.get("PXT_RAY_STEPS") else dg.in_process_executor,
)
