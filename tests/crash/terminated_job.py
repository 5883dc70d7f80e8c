"""A job for Dagster's multiprocess executor that computes the column in a step's process, to be terminated there."""

import os
from pathlib import Path

import dagster as dg

from pxt_assets import ColumnStore, OpenAIResource
from tests.tickets import KEY, Tickets

ROWS = {i: f"row {i}" for i in range(8)} | {i: f"slow {i}" for i in range(8, 12)}


def job() -> dg.JobDefinition:
    """The column alone, of tickets that are stored already."""
    store = ColumnStore(base_path=os.environ["PXT_TEST_STORE"])
    openai = OpenAIResource(base_url=os.environ["PXT_TEST_SERVER"], api_key="unused", ledger="memory")
    return dg.Definitions(
        assets=Tickets(store, openai).assets(ROWS),
        resources={"openai": openai, "columns": store},
        jobs=[dg.define_asset_job("column", [KEY], executor_def=dg.multiprocess_executor)],
    ).resolve_job_def("column")


def execute(home: Path, base_path: str, base_url: str) -> None:
    """Runs the job in an instance of its own, as the process does that Dagster starts for a run."""
    os.environ.update(PXT_TEST_STORE=base_path, PXT_TEST_SERVER=base_url)
    with (
        dg.DagsterInstance.local_temp(str(home)) as instance,
        dg.execute_job(dg.reconstructable(job), instance),
    ):
        pass
