"""A job for Dagster's multiprocess executor, which imports it in each step's process."""

import os

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, OpenAIResource, Table
from tests.runs import ask


@dg.asset(io_manager_key="columns")
def tickets() -> pa.Table:
    return pa.table({"id": [1, 2], "body": ["a", "b"]})


table = Table(tickets, key="id")
table.add_computed_column(c=ask(table.body))
table.add_computed_column(d=table.c.choices[0].message.content)


def job() -> dg.JobDefinition:
    """All assets, each in a process of its own."""
    return dg.Definitions(
        assets=[tickets, *table.assets],
        resources={
            "openai": OpenAIResource.simulated(),
            "columns": ColumnStore(base_path=os.environ["PXT_TEST_STORE"]),
        },
        jobs=[dg.define_asset_job("all_assets", executor_def=dg.multiprocess_executor)],
    ).resolve_job_def("all_assets")
