"""What Dagster knows of a column's contents and code: data versions, code versions, and what is stale by them."""

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG, StaleCauseCategory, StaleStatus
from dagster._utils.test.data_versions import get_stale_status_resolver

from pxt_assets import ColumnStore, OpenAIResource, Table
from tests.runs import ask, materialize, rows_asset
from tests.scripted_server import ScriptedServer, chat, refusal
from tests.tickets import KEY

AFTER = dg.AssetKey(["tickets", "after"])
Column = Callable[[Table], Any]


class Watched:
    """A column `c` of `tickets` and a column `after` that reads it, in an instance that remembers all runs."""

    def __init__(
        self, store: ColumnStore, openai: OpenAIResource, instance: dg.DagsterInstance, rows: dict[str, Any]
    ) -> None:
        self.store = store
        self.openai = openai
        self.instance = instance
        self.rows = rows

    def assets(self, column: Column | None = None, *, key: Any = "id", **options: Any) -> list[Any]:
        upstream = rows_asset(self.rows, code_version="1")
        table = Table(upstream, key=key)
        table.add_computed_column(c=column(table) if column else ask(table.body), **options)
        table.add_computed_column(after=table.c.choices[0].message.content)
        return [upstream, *table.assets]

    def run(
        self, assets: Sequence[Any], only: Sequence[str] | None = None, **config: Any
    ) -> dg.ExecuteInProcessResult:
        """Materializes them, or some of them."""
        return materialize(
            assets,
            self.store,
            self.openai,
            only=only,
            instance=self.instance,
            config={"tickets/c": config} if config else None,
        )

    def stale(self, assets: Sequence[Any], key: dg.AssetKey) -> tuple[StaleStatus, list[StaleCauseCategory]]:
        """Whether an asset is stale to Dagster, and by what."""
        resolver = get_stale_status_resolver(self.instance, assets)
        return resolver.get_status(key), [cause.category for cause in resolver.get_stale_causes(key)]

    def version(self, key: dg.AssetKey = KEY) -> str:
        """The data version of the latest materialization."""
        event = self.instance.get_latest_materialization_event(key)
        assert event is not None
        assert event.asset_materialization is not None
        tags = event.asset_materialization.tags
        assert tags is not None
        return tags[DATA_VERSION_TAG]


@pytest.fixture
def watched(store: ColumnStore, openai: OpenAIResource) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Watched(store, openai, instance, {"id": [1, 2], "body": ["a", "b"]})


FRESH: tuple[StaleStatus, list[StaleCauseCategory]] = (StaleStatus.FRESH, [])


def test_all_is_fresh_after_a_run(watched: Watched) -> None:
    """What was just computed is not stale."""
    assets = watched.assets()
    watched.run(assets)
    assert watched.stale(assets, KEY) == watched.stale(assets, AFTER) == FRESH


def test_an_unchanged_result_keeps_its_version(watched: Watched) -> None:
    """Materialized again without any change the column has the same data version, and nothing after it is stale."""
    assets = watched.assets()
    watched.run(assets)
    before = watched.version()
    watched.run(assets, ["tickets/c"])
    assert watched.version() == before
    assert watched.stale(assets, AFTER) == FRESH


def test_equal_answers_keep_it_too(watched: Watched, server: ScriptedServer) -> None:
    """Computed anew with the same answers, the contents are the same, and so is their version."""
    assets = watched.assets()
    watched.run(assets)
    before = watched.version()
    watched.run(assets, ["tickets/c"], refresh=True)
    assert len(server.asked) == 4
    assert watched.version() == before
    assert watched.stale(assets, AFTER) == FRESH


def test_other_answers_change_it(watched: Watched, server: ScriptedServer) -> None:
    """An answer that differs makes another version, and what comes after is stale by data until it is computed."""
    assets = watched.assets()
    watched.run(assets)
    before = watched.version()
    server.script = lambda asked: chat(asked, f"again: {asked.text}")
    watched.run(assets, ["tickets/c"], refresh=True)
    assert watched.version() != before
    assert watched.stale(assets, AFTER) == (StaleStatus.STALE, [StaleCauseCategory.DATA])
    watched.run(assets, ["tickets/after"])
    assert watched.stale(assets, AFTER) == FRESH


def test_a_way_there_and_back_has_the_same_version(watched: Watched) -> None:
    """The version is that of the contents, not of the runs that led to them."""
    assets = watched.assets()
    versions = []
    for body in (["a", "b"], ["a", "x"], ["a", "b"]):
        watched.rows["body"] = body
        watched.run(assets)
        versions.append(watched.version())
    assert versions[0] == versions[2] != versions[1]


@pytest.mark.parametrize(
    ("ids", "bodies"),
    [([2, 1], ["b", "a"]), ([1, 3], ["a", "b"]), ([1], ["a"]), ([1, 2, 3], ["a", "b", "c"])],
    ids=["reordered", "other key", "removed", "added"],
)
def test_other_rows_make_another_version(ids: list[int], bodies: list[str], watched: Watched) -> None:
    """Keys, order and number of rows are contents as the values are."""
    assets = watched.assets()
    watched.run(assets)
    before = watched.version()
    watched.rows.update(id=ids, body=bodies)
    watched.run(assets)
    assert watched.version() != before


def test_an_error_is_contents(watched: Watched, server: ScriptedServer) -> None:
    """A failed cell that is answered later makes another version; one that fails again with the same type does not."""
    assets = watched.assets(on_error="ignore")
    server.script = lambda asked: refusal(400, "no") if asked.text == "b" else chat(asked)
    watched.run(assets)
    failed = watched.version()
    server.script = lambda asked: refusal(400, "no, again") if asked.text == "b" else chat(asked)
    watched.run(assets)
    assert watched.version() == failed
    server.script = chat
    watched.run(assets)
    assert watched.version() != failed


def test_a_trial_is_no_new_version(watched: Watched) -> None:
    """What a trial or a dry run does leaves the column's version, and nothing stale."""
    assets = watched.assets()
    watched.run(assets)
    before = watched.version()
    watched.run(assets, ["tickets/c"], limit=1)
    watched.run(assets, ["tickets/c"], dry_run=True)
    assert watched.version() == before
    assert watched.stale(assets, AFTER) == FRESH


def test_columns_without_calls_have_versions_of_their_contents(watched: Watched) -> None:
    """A column that only picks from another keeps its version as long as what it picks is the same."""
    assets = watched.assets()
    watched.run(assets)
    before = watched.version(AFTER)
    watched.run(assets)
    assert watched.version(AFTER) == before
    watched.rows["body"] = ["a", "x"]
    watched.run(assets)
    assert watched.version(AFTER) != before


@pytest.mark.parametrize(
    "column",
    [
        lambda t: ask([{"type": "text", "text": t.body}]),
        lambda t: ask(t.body, model="gpt-4o"),
        lambda t: ask(t.body, temperature=0),
        lambda t: ask(t.body, model_kwargs={"seed": 1}),
        lambda t: ask(t.other),
    ],
    ids=["prompt", "model", "keyword", "model_kwargs", "column"],
)
def test_another_question_is_stale_by_its_code(column: Column, watched: Watched) -> None:
    """A changed prompt, model or argument makes the column stale by code, until it is computed."""
    watched.rows["other"] = ["x", "y"]
    watched.run(watched.assets())
    changed = watched.assets(column)
    assert watched.stale(changed, KEY) == (StaleStatus.STALE, [StaleCauseCategory.CODE])
    watched.run(changed)
    assert watched.stale(changed, KEY) == FRESH


def test_other_keys_are_stale_by_code(watched: Watched) -> None:
    """A column whose rows are named otherwise is another one."""
    watched.run(watched.assets())
    assert watched.stale(watched.assets(key=["id", "body"]), KEY)[0] is StaleStatus.STALE


@pytest.mark.parametrize(
    "options",
    [
        {"description": "after"},
        {"owners": ["team:search"]},
        {"tags": {"tier": "1"}},
        {"group_name": "answers"},
        {"on_error": "ignore"},
        {"automation_condition": dg.AutomationCondition.eager()},
        {
            "freshness_policy": dg.FreshnessPolicy.cron(
                "0 9 * * *", lower_bound_delta=datetime.timedelta(hours=1)
            )
        },
    ],
    ids=lambda options: next(iter(options)),
)
def test_how_a_column_is_described_or_run_makes_nothing_stale(
    options: dict[str, Any], watched: Watched, server: ScriptedServer
) -> None:
    """Descriptions, owners, tags, groups, automation and what happens to errors are no code of the column."""
    watched.run(watched.assets())
    changed = watched.assets(**options)
    assert watched.stale(changed, KEY) == FRESH
    server.forget()
    watched.run(changed)
    assert not server.asked


def test_throttling_and_credentials_make_nothing_stale(watched: Watched, server: ScriptedServer) -> None:
    """Another key, other limits and other time-outs compute nothing anew, and change no version."""
    assets = watched.assets()
    watched.run(assets)
    before = watched.version()
    server.forget()
    watched.openai = OpenAIResource(
        api_key="sk-another",
        base_url=server.base_url,
        default_rpm=6,
        rate_limits={"gpt-4o-mini": 7},
        max_in_flight=3,
        max_retries=0,
        timeout=9,
        retry_unknown=0,
        organization="org",
        project="proj",
    )
    watched.run(assets)
    assert not server.asked
    assert watched.version() == before
    assert watched.stale(assets, KEY) == FRESH
