"""The demo in the real `dagster` commands, and what a browser shows of it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Pages, browser
from tests.dagster_dev import ROOT, DagsterDev, dagster_dev, environment

ASSETS = {
    "solved",
    "solved/body_idx_vectors",
    "solved/body_idx",
    "tickets",
    "tickets/response",
    "tickets/summary",
    "tickets/embed",
    "tickets/moderation",
    "tickets/flagged",
    "tickets/triage",
    "tickets/urgent",
    "tickets/topic",
    "tickets/context",
    "tickets/draft",
    "tickets/reply",
    "photos",
    "photos/seen",
    "photos/caption",
    "photos/reply",
    "photos/heard",
    "photos/transcript",
    "photos/edit",
    "photos/edited",
}
DAY = "2026-03-04"
"""Its tickets have an empty one, and one that is too long to be embedded."""
LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""
RUNS = "{ runsOrError { ... on Runs { results { runId assetSelection { path } } } } }"
NODES = """
{ assetNodes {
    assetKey { path } partitionKeys dependencyKeys { path } kinds backfillPolicy { policyType }
    tags { key value } automationCondition { label } assetChecksOrError { ... on AssetChecks { checks { name } } }
} }
"""
SCHEDULES = """
{ schedulesOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "demo"}) {
    ... on Schedules { results { name cronSchedule scheduleState { status } } } } }
"""
SENSORS = """
{ sensorsOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "demo"}) {
    ... on Sensors { results { name sensorState { status } } } } }
"""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    with dagster_dev(tmp_path_factory.mktemp("dev")) as dev:
        yield dev


def test_the_definitions_validate(tmp_path: Path) -> None:
    """`dagster definitions validate` loads the workspace, without a key."""
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    done = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Validation successful for code location demo" in done.stdout + done.stderr


@pytest.fixture(scope="module")
def nodes(dev: DagsterDev) -> dict[str, dict[str, Any]]:
    """The assets by name."""
    return {"/".join(node["assetKey"]["path"]): node for node in dev.ask(NODES)["assetNodes"]}


class TestGraphQL:
    def test_every_column_is_an_asset(self, nodes: dict[str, dict[str, Any]]) -> None:
        """With the partitions of its table, and after the columns that it reads."""
        assert set(nodes) == ASSETS
        assert nodes["tickets/embed"]["partitionKeys"] == [f"2026-03-0{day}" for day in range(2, 7)]
        assert nodes["photos/edit"]["partitionKeys"] == nodes["tickets/embed"]["partitionKeys"]
        assert nodes["photos/heard"]["dependencyKeys"] == [{"path": ["photos", "reply"]}]
        assert nodes["tickets/summary"]["dependencyKeys"] == [{"path": ["tickets", "response"]}]

    def test_a_column_says_what_it_is(self, nodes: dict[str, dict[str, Any]]) -> None:
        """Kinds, tags, checks, and that a backfill of it is one run."""
        embed = nodes["tickets/embed"]
        assert set(embed["kinds"]) == {"openai", "embedding", "parquet"}
        assert {"key": "pxt/udf", "value": "embeddings"} in embed["tags"]
        assert {one["name"] for one in embed["assetChecksOrError"]["checks"]} == {
            "no_failed_cells",
            "no_unexpected_nulls",
        }
        policies = [node["backfillPolicy"] for node in nodes.values() if node["partitionKeys"]]
        assert {policy["policyType"] for policy in policies} == {"SINGLE_RUN"}

    def test_nothing_runs_by_itself(self, dev: DagsterDev, nodes: dict[str, dict[str, Any]]) -> None:
        """Columns are automated and scheduled, and all of that is switched off."""
        assert nodes["tickets/embed"]["automationCondition"]["label"] == "on_changed_inputs"
        schedules = dev.ask(SCHEDULES)["schedulesOrError"]["results"]
        assert {(one["name"], one["cronSchedule"]) for one in schedules} == {
            ("solved_schedule", "0 6 * * *"),
            ("tickets_schedule", "0 6 * * *"),
            ("photos_schedule", "0 6 * * *"),
        }
        states = [one["scheduleState"]["status"] for one in schedules]
        states += [one["sensorState"]["status"] for one in dev.ask(SENSORS)["sensorsOrError"]["results"]]
        assert set(states) == {"STOPPED"}


@pytest.fixture(scope="module")
def pages(dev: DagsterDev) -> Iterator[Pages]:
    with browser(dev) as pages:
        yield pages


@pytest.fixture(scope="module")
def materialized(pages: Pages) -> dict[str, str]:
    """The statuses of two runs: the tickets' columns, launched by hand in the browser, and edited photos."""
    page = pages.open("locations/demo/asset-groups/tickets/lineage", "response", "flagged")
    page.get_by_role("button", name="Materialize all").click()
    box = page.get_by_placeholder("ex: 2026-03-02")
    box.fill(DAY)
    box.press("Enter")
    page.get_by_role("button", name="Launch").click()
    page.get_by_text("Launched run").wait_for()
    (tickets,) = pages.dev.ask(RUNS)["runsOrError"]["results"]
    selected = [{"path": ["photos"]}, {"path": ["photos", "edit"]}]
    launched = pages.dev.ask(
        LAUNCH,
        params={
            "selector": {
                "repositoryName": "__repository__",
                "repositoryLocationName": "demo",
                "pipelineName": "__ASSET_JOB",
                "assetSelection": selected,
            },
            "mode": "default",
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": DAY}]},
        },
    )["launchPipelineExecution"]
    runs = {"tickets": tickets["runId"], "photos": launched["run"]["runId"]}
    return {name: pages.dev.until_ended(run) for name, run in runs.items()}


class TestBrowser:
    def test_what_is_launched_by_hand_finishes(self, materialized: dict[str, str]) -> None:
        """All columns of one partition, from the button in the lineage graph."""
        assert materialized == {"tickets": "SUCCESS", "photos": "SUCCESS"}

    def test_the_lineage_graph_shows_the_columns(self, pages: Pages, materialized: dict[str, str]) -> None:
        """Each is an asset of its own, with its kinds and how many of its partitions are there."""
        pages.page.set_viewport_size(
            {"width": 2_200, "height": 1_400}
        )  # or its nodes are drawn without their kinds
        page = pages.open("locations/demo/asset-groups/tickets/lineage", "flagged")
        page.get_by_text("OpenAI").first.wait_for()
        page.get_by_text("20% filled").first.wait_for()
        for column in (
            "response",
            "summary",
            "embed",
            "moderation",
            "flagged",
            "body_idx",
            "context",
            "reply",
        ):
            page.get_by_text(column, exact=True).first.wait_for()
        pages.keep("lineage")
        page.set_viewport_size({"width": 1_400, "height": 900})

    def test_the_columns_say_where_they_come_from(self, pages: Pages, materialized: dict[str, str]) -> None:
        """A tag beside the column's name, and the prompt in the description."""
        page = pages.open("assets/tickets/response?view=overview", "from: tickets.body")
        page.get_by_text("user: {tickets.body}").first.wait_for()
        pages.keep("overview")

    def test_the_check_is_yellow_for_awkward_rows(self, pages: Pages, materialized: dict[str, str]) -> None:
        """And says which rows, with what the API said of them."""
        page = pages.open("assets/tickets/embed?view=checks", "no_failed_cells", "Latest execution")
        page.get_by_text("2 rows failed: 1 BadRequestError, 1 ValueError").first.wait_for()
        page.get_by_text("id='T-1046'").first.wait_for()
        assert page.locator("[aria-label='warning_outline'], [aria-label='warning']").count()
        pages.keep("check")

    def test_the_preview_shows_thumbnails(self, pages: Pages, materialized: dict[str, str]) -> None:
        """They are drawn, in the dialog that opens."""
        images = pages.dialog(
            f"assets/photos/edit?view=partitions&partition={DAY}", "pxt/preview_all"
        ).locator("img[src^='data:image/jpeg']")
        images.first.wait_for()
        assert images.count() >= 2
        assert all(width >= 60 for width in images.evaluate_all("all => all.map(one => one.naturalWidth)"))
        pages.keep("preview")

    def test_the_picture_shows_the_columns_upstream(self, pages: Pages, materialized: dict[str, str]) -> None:
        """From the source's column on."""
        image = (
            pages.dialog(f"assets/tickets/summary?view=partitions&partition={DAY}", "pxt/made_of")
            .locator("img[src^='data:image/svg']")
            .first
        )
        image.wait_for()
        assert image.evaluate("one => one.naturalWidth") > 200
        pages.keep("made_of")

    def test_the_index_shows_example_searches(self, pages: Pages, materialized: dict[str, str]) -> None:
        """Rows with those that are nearest to them, as a table in the dialog that opens."""
        dialog = pages.dialog("assets/solved/body_idx?view=overview", "pxt/preview_all")
        dialog.get_by_text("looked for").first.wait_for()
        assert dialog.locator("tr").count() >= 9
        pages.keep("index")

    def test_the_plots_have_points(self, pages: Pages, materialized: dict[str, str]) -> None:
        """Of cost, tokens and seconds, by materialization."""
        page = pages.open("assets/tickets/response?view=overview", "Metadata")
        page.set_viewport_size({"width": 1400, "height": 3_000})
        page.get_by_text("Plots", exact=True).click()
        page.get_by_role("button", name="Events").last.click()
        for name in ("pxt/cost_usd", "pxt/input_tokens", "pxt/seconds"):
            page.get_by_text(name, exact=True).first.wait_for()
        drawn = page.locator("canvas")
        drawn.first.wait_for()
        pages.keep("plots")
        colours = """canvas => {
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let points = 0;
            for (let i = 0; i < data.length; i += 4)
                if (data[i + 3] > 128 && Math.max(data[i], data[i + 1], data[i + 2])
                    - Math.min(data[i], data[i + 1], data[i + 2]) > 80) points++;
            return points;
        }"""
        page.wait_for_function(f"() => [...document.querySelectorAll('canvas')].some(({colours}))")
        page.set_viewport_size({"width": 1400, "height": 900})
