"""What the UI asks Dagster about columns: staleness after edits of the code, and backfills."""

import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import MockedRunLauncher
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon.backfill import execute_backfill_iteration

from pxt_assets import ColumnStore
from tests.runs import QUIET
from tests.scripted_server import ScriptedServer

KEY = dg.AssetKey(["tickets", "c"])
DAYS = ["a", "b", "c"]
RANGE = [("start", "a"), ("end", "c")]
CODE = """
import dagster as dg
import pyarrow as pa

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions

parts = dg.StaticPartitionsDefinition(["a", "b", "c"])


@dg.asset(partitions_def=parts, backfill_policy=dg.BackfillPolicy.single_run(), io_manager_key="columns")
def tickets(context: dg.AssetExecutionContext) -> dict[str, pa.Table]:
    return {{key: pa.table({{"id": [1], "body": [f"of {{key}}"]}}) for key in context.partition_keys}}


tbl = Table(tickets, key="id")
messages = [{{"role": "system", "content": "{prompt}"}}, {{"role": "user", "content": tbl.body}}]
tbl.add_computed_column(c=chat_completions(messages, model="m"), description="{description}")
defs = dg.Definitions(
    assets=[tickets, *tbl.assets],
    schedules=[tbl.schedule("0 6 * * *")],
    resources={{
        "openai": OpenAIResource(api_key="unused", base_url="{url}"),
        "columns": ColumnStore(base_path="{store}"),
    }},
)
"""
STALE = """
query($partition: String!) { assetNodes { assetKey { path }
  staleStatus(partition: $partition) staleCauses(partition: $partition) { category reason } } }
"""
CHECKS = """
{ assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks { name
  executionForLatestMaterialization { status evaluation { description } } } } } } }
"""
BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""


class Location:
    """A code location of one file, which a test may rewrite."""

    def __init__(self, process: WorkspaceProcessContext, path: Path, url: str, store: str) -> None:
        self.process = process
        self._path = path
        self._text = CODE.replace("{url}", url).replace("{store}", store)

    def write(self, prompt: str, description: str = "") -> None:
        self._path.write_text(
            self._text.replace("{prompt}", prompt)
            .replace("{description}", description)
            .replace("{{", "{")
            .replace("}}", "}")
        )

    def load(self, prompt: str, description: str = "") -> None:
        self.write(prompt, description)
        self.process.reload_code_location("tickets")

    def materialize(self, partition: str | None = None, **config: Any) -> None:
        """One partition of the column or all of the table, in this process."""
        spec = importlib.util.spec_from_file_location("tickets_definitions", self._path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        result = module.defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.process.instance,
            run_config={**QUIET, "ops": {"tickets__c": {"config": config}}},
            partition_key=partition,
            tags={} if partition else {f"dagster/asset_partition_range_{end}": key for end, key in RANGE},
            asset_selection=[KEY] if partition else None,
        )
        assert result.success

    def checks(self) -> dict[str, tuple[str, str]]:
        """The statuses of the column's checks, and what they say."""
        nodes = self.ask(CHECKS)["assetNodes"]
        (node,) = [one for one in nodes if one["assetKey"]["path"] == KEY.path]
        found = {
            one["name"]: one["executionForLatestMaterialization"]
            for one in node["assetChecksOrError"]["checks"]
        }
        return {name: (one["status"], one["evaluation"]["description"]) for name, one in found.items()}

    def ask(self, query: str, **variables: Any) -> Any:
        from dagster_graphql.test.utils import execute_dagster_graphql  # which takes seconds

        answer = execute_dagster_graphql(self.process.create_request_context(), query, variables)
        assert not answer.errors, answer.errors
        return answer.data

    def staleness(self, partition: str) -> tuple[str, list[tuple[str, str]]]:
        """Of the column."""
        nodes = self.ask(STALE, partition=partition)["assetNodes"]
        (node,) = [one for one in nodes if one["assetKey"]["path"] == KEY.path]
        return node["staleStatus"], [(cause["category"], cause["reason"]) for cause in node["staleCauses"]]


@pytest.fixture
def location(tmp_path: Path, store: ColumnStore, server: ScriptedServer) -> Iterator[Location]:
    path = tmp_path / "tickets_definitions.py"
    overrides = {
        "run_launcher": {"module": MockedRunLauncher.__module__, "class": MockedRunLauncher.__name__}
    }
    from dagster import instance_for_test

    target = PythonFileTarget(
        python_file=str(path), attribute=None, working_directory=str(tmp_path), location_name="tickets"
    )
    with instance_for_test(overrides) as instance:
        Location(None, path, server.base_url, store.base_path).write("Answer.")  # type: ignore[arg-type]
        with WorkspaceProcessContext(instance, target) as process:
            yield Location(process, path, server.base_url, store.base_path)


def test_staleness_and_backfills(location: Location) -> None:
    """A changed prompt is stale by its code, a changed description is not; a backfill is one run of all its partitions.

    Checks show what is stored after a dry run and a trial, too.
    """
    location.materialize()
    assert location.staleness("b") == ("FRESH", [])
    location.load("Answer in one sentence.")
    assert location.staleness("b") == ("STALE", [("CODE", "has a new code version")])
    location.load("Answer.", description="What the model says.")
    assert location.staleness("b") == ("FRESH", [])

    others = "of the 2 other stored partitions none has"
    for config in ({"dry_run": True}, {"limit": 1}):
        location.materialize("b", **config)
        assert location.checks() == {
            "no_failed_cells": ("SUCCEEDED", f"partition b: no row failed; {others} failed rows"),
            "no_unexpected_nulls": (
                "SUCCEEDED",
                f"partition b: no unexpected null; {others} unexpected nulls",
            ),
        }

    launched = location.ask(
        BACKFILL, params={"partitionNames": DAYS, "assetSelection": [{"path": KEY.path}]}
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    before = {run.run_id for run in location.process.instance.get_runs()}
    for _ in execute_backfill_iteration(location.process, logging.getLogger("backfill")):
        pass
    (run,) = [run for run in location.process.instance.get_runs() if run.run_id not in before]
    assert run.asset_selection == {KEY}
    tags = [run.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
    assert tags == ["a", "c"]
