"""Data versions of each partition, and which partitions are stale by them."""

from typing import Any

import dagster as dg
import pyarrow as pa
from dagster._core.definitions.data_version import DATA_VERSION_TAG, StaleCauseCategory, StaleStatus
from dagster._utils.test.data_versions import get_stale_status_resolver

from pxt_assets import ColumnStore, OpenAIResource
from tests.runs import ask
from tests.scripted_server import ScriptedServer
from tests.tickets import KEY, Partitions, Tickets


def versions(result: dg.ExecuteInProcessResult) -> dict[str | None, str]:
    """Data versions of the column's partitions, of one run."""
    found: dict[str | None, str] = {}
    for event in result.get_asset_materialization_events():
        if event.asset_key == KEY:
            assert event.partition not in found
            tags = event.materialization.tags
            assert tags is not None
            found[event.partition] = tags[DATA_VERSION_TAG]
    return found


def test_each_partition_of_a_range_has_its_own_version(
    store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """Partitions of one run keep their versions where nothing changed; only the one that did has another."""
    rows: dict[str, Any] = {"x": {1: "a"}, "y": {1: "b"}, "z": {1: "a"}}
    partitions = Partitions(store, openai, rows)
    first = versions(partitions.run())
    assert sorted(first) == ["x", "y", "z"]
    assert first["x"] == first["z"] != first["y"]
    assert versions(partitions.run()) == first
    rows["y"] = {1: "changed"}
    second = versions(partitions.run())
    assert second["y"] != first["y"]
    assert {key: second[key] for key in "xz"} == {key: first[key] for key in "xz"}


def test_a_partition_alone_has_the_version_that_it_has_in_a_range(
    store: ColumnStore, openai: OpenAIResource
) -> None:
    """How many partitions a run has plays no part in what they hold."""
    partitions = Partitions(store, openai, {"x": {1: "a"}, "y": {1: "b"}})
    together = versions(partitions.run())
    alone = {**versions(partitions.run("x")), **versions(partitions.run("y"))}
    assert alone == together


def test_what_is_stale_is_told_by_partition(store: ColumnStore, openai: OpenAIResource) -> None:
    """After a range with one changed partition, what reads it is stale for that partition alone."""
    rows: dict[str, Any] = {"x": {1: "a"}, "y": {1: "b"}}
    partitions = Partitions(store, openai, rows)
    seen: list[Any] = []

    @dg.asset(
        partitions_def=dg.StaticPartitionsDefinition(["x", "y"]),
        backfill_policy=dg.BackfillPolicy.single_run(),
        ins={"answers": dg.AssetIn(KEY)},
    )
    def report(answers: pa.Table) -> None:
        seen.append(answers)

    partitions.assets = [*partitions.assets, report]
    with dg.DagsterInstance.ephemeral() as instance:

        def status() -> dict[str, StaleStatus]:
            resolver = get_stale_status_resolver(instance, partitions.assets)
            return {key: resolver.get_status(dg.AssetKey("report"), key) for key in ("x", "y")}

        partitions.run(instance=instance)
        assert status() == {"x": StaleStatus.FRESH, "y": StaleStatus.FRESH}
        partitions.run(only=["tickets/c"], instance=instance)
        assert status() == {"x": StaleStatus.FRESH, "y": StaleStatus.FRESH}
        rows["y"] = {1: "changed"}
        partitions.run(only=["tickets", "tickets/c"], instance=instance)
        assert status()["y"] is StaleStatus.STALE
        assert status()["x"] is StaleStatus.FRESH


def test_partitions_are_stale_by_code_after_a_range(store: ColumnStore, openai: OpenAIResource) -> None:
    """Partitions of a range carry the code version too: a changed prompt makes each of them stale."""
    rows: dict[str, Any] = {"x": {1: "a"}, "y": {1: "b"}}
    with dg.DagsterInstance.ephemeral() as instance:
        before = Partitions(store, openai, rows)
        before.run(instance=instance)
        changed = Partitions(store, openai, rows, lambda t: ask(t.body, temperature=0))
        fresh, stale = (get_stale_status_resolver(instance, one.assets) for one in (before, changed))
        for key in ("x", "y"):
            assert fresh.get_status(KEY, key) is StaleStatus.FRESH
            assert [c.category for c in stale.get_stale_causes(KEY, key)] == [StaleCauseCategory.CODE]


def test_a_materialization_of_a_range_names_its_inputs(store: ColumnStore, openai: OpenAIResource) -> None:
    """Each partition's event has the versions of what it read, which Dagster compares later."""
    result = Partitions(store, openai, {"x": {1: "a"}, "y": {1: "b"}}).run()
    for event in result.get_asset_materialization_events():
        if event.asset_key == KEY:
            assert "dagster/input_data_version/tickets" in (event.materialization.tags or {})


def test_the_version_does_not_depend_on_the_store(
    store: ColumnStore, openai: OpenAIResource, tmp_path: Any
) -> None:
    """Equal contents have equal versions wherever and whenever they are computed."""
    found = []
    for folder in ("one", "two"):
        tickets = Tickets(ColumnStore(base_path=str(tmp_path / folder)), openai)
        found.append(versions(tickets.run({1: "a", 2: "b"})))
    assert found[0] == found[1]
