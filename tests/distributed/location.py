"""The code location of a deployment: a table of daily partitions in a bucket, and chat columns over it.

A copy of this file is what the deployment loads; a new prompt is deployed by writing PROMPT anew. What differs from one
deployment to another comes from the environment.
"""

import os
from collections.abc import Iterator

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions

PROMPT = "Say in one word what this is about."
ROWS = int(os.environ.get("PXT_TEST_ROWS", "10"))
DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-03-02")
COLUMNS = {
    "undisturbed": "gpt-6-luna",
    "killed": "gpt-6-terra",
    "broker_restarted": "gpt-6-sol",
    "database_restarted": "gpt-6-astra",
    "redeployed": "gpt-6.1-sol",
}
"""The columns by name, each with a model whose limits are its own."""


def bodies(day: str) -> list[str]:
    """The texts of a day's rows; no two of all days are alike."""
    return [f"Ticket {row} of {day}: the zip of my bag broke." for row in range(ROWS)]


@dg.asset(
    partitions_def=DAYS, io_manager_key="columns", backfill_policy=dg.BackfillPolicy.multi_run(15)
)
def tickets(context: dg.AssetExecutionContext) -> Iterator[dg.Output[dict[str, pa.Table]]]:
    """The rows of each day."""
    yield dg.Output(
        {day: pa.table({"id": range(ROWS), "body": bodies(day)}) for day in context.partition_keys}
    )


tbl = Table(tickets, key="id")
for name, model in COLUMNS.items():
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": tbl.body}]
    tbl.add_computed_column(**{name: chat_completions(messages, model=model, max_tokens=16)})

defs = dg.Definitions(
    assets=[tickets, *tbl.assets],
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
