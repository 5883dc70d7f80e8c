"""The code location of a deployment: a table of daily partitions in a bucket, and chat columns over it.

A copy of this file is what the deployment loads; a new prompt is deployed by writing PROMPT anew. What differs from one
deployment to another comes from the environment.
"""

import os
from typing import Any

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions

PROMPT = "Say in one word what this is about."
ROWS = int(os.environ.get("PXT_TEST_ROWS", "10"))
DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-03-02")
COLUMNS = {
    "undisturbed": ("gpt-6-luna", 30),
    "killed": ("gpt-6-terra", 4),
    "redis_restarted": ("gpt-6-sol", 2),
    "postgres_restarted": ("gpt-6-astra", 4),
    "redeployed": ("gpt-5.5", 2),
}
"""The columns by name: each with a model whose limits are its own, and how many partitions a run takes."""


def rows_of(day: str) -> pa.Table:
    """A day's rows; no two texts of all days are alike."""
    texts = [f"Ticket {row} of {day}: the zip of my bag broke." for row in range(ROWS)]
    return pa.table({"id": [f"{day}/{row}" for row in range(ROWS)], "body": texts})


def columns(rows: Any, prompt: str) -> Table:
    """The table of an asset of rows, with the columns."""
    tbl = Table(rows, key="id")
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": tbl.body}]
    for name, (model, partitions) in COLUMNS.items():
        tbl.add_computed_column(
            **{name: chat_completions(messages, model=model, max_tokens=16)},
            backfill_policy=dg.BackfillPolicy.multi_run(partitions),
        )
    return tbl


@dg.asset(
    partitions_def=DAYS, io_manager_key="columns", backfill_policy=dg.BackfillPolicy.single_run()
)
def tickets(context: dg.AssetExecutionContext) -> dict[str, pa.Table]:
    """The rows of each day."""
    return {day: rows_of(day) for day in context.partition_keys}


defs = dg.Definitions(
    assets=[tickets, *columns(tickets, PROMPT).assets],
    resources={
        "openai": OpenAIResource(
            api_key="sk-of-the-deployment",
            base_url=dg.EnvVar("PXT_TEST_SERVER"),
            ledger=dg.EnvVar("PXT_LEDGER"),
        ),
        "columns": ColumnStore(
            base_path="s3://columns/deployment",
            storage_options={
                "key": dg.EnvVar("AWS_ACCESS_KEY_ID"),
                "secret": dg.EnvVar("AWS_SECRET_ACCESS_KEY"),
                "endpoint_url": dg.EnvVar("AWS_ENDPOINT_URL"),
            },
        ),
    },
    executor=dg.in_process_executor,
)
