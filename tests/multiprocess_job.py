"""A job for Dagster's multiprocess executor, which imports it in each step's process."""

import os

import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, OpenAIResource, Table
from tests.runs import ask

POOL = "openai"


@dg.asset(io_manager_key="columns")
def tickets() -> pa.Table:
    return pa.table({"id": [1, 2], "body": ["a", "b"]})


table = Table(tickets, key="id", pool=POOL)
table.add_computed_column(c=ask(table.body))
table.add_computed_column(d=ask(table.body, temperature=0))


def job() -> dg.JobDefinition:
    """Both columns, each in a process of its own, in one pool; `tickets` is stored already."""
    return dg.Definitions(
        assets=[tickets, *table.assets],
        resources={
            "openai": OpenAIResource(base_url=os.environ["PXT_TEST_SERVER"], api_key="unused"),
            "columns": ColumnStore(base_path=os.environ["PXT_TEST_STORE"]),
        },
        jobs=[dg.define_asset_job("columns", table.assets, executor_def=dg.multiprocess_executor)],
    ).resolve_job_def("columns")
