"""The checks of a partitioned column speak of all partitions that are stored, and say which the run was of."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from pxt_assets import Checks, ColumnStore, OpenAIResource
from pxt_assets.assets.declarations.checks import COST_WITHIN, NO_UNEXPECTED_NULLS
from tests.assets.last_checks import DRY, TRIAL, of_failed_cells, rude, shown
from tests.scripted_server import ScriptedServer, chat, resource_of
from tests.tickets import Partitions, Tickets


@pytest.fixture
def server(serve: Any) -> ScriptedServer:
    started: ScriptedServer = serve(rude)
    return started


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as one:
        yield one


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


class TestPartitions:
    def partitions(self, store: ColumnStore, openai: OpenAIResource, **more: Any) -> Partitions:
        rows = {key: {1: f"of {key}", 2: f"more of {key}"} for key in "abcd"}
        rows["a"][2] = "bad a"
        return Partitions(store, openai, rows, on_error="ignore", **more)  # type: ignore[arg-type]

    def test_a_run_of_one_does_not_hide_the_others(
        self, store: ColumnStore, openai: OpenAIResource, instance: dg.DagsterInstance
    ) -> None:
        """It says of which partition it speaks, and what holds of the others."""
        partitions = self.partitions(store, openai)
        partitions.run(instance=instance)
        partitions.run("b", instance=instance)
        text = "partition b: no row failed; of the 3 other stored partitions 1 has failed rows: a (1)"
        assert shown(instance) == ("FAILED", text)
        nulls = "partition b: no unexpected null; of the 3 other stored partitions none has unexpected nulls"
        assert shown(instance, NO_UNEXPECTED_NULLS) == ("SUCCEEDED", nulls)

    def test_it_passes_once_all_do(
        self, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer, instance: dg.DagsterInstance
    ) -> None:
        """The partition that held the failed row is computed anew."""
        partitions = self.partitions(store, openai)
        partitions.run(instance=instance)
        server.script = chat
        partitions.run("a", instance=instance)
        text = "partition a: no row failed; of the 3 other stored partitions none has failed rows"
        assert shown(instance) == ("SUCCEEDED", text)

    def test_a_dry_run_of_one_that_is_not_stored(
        self, store: ColumnStore, openai: OpenAIResource, instance: dg.DagsterInstance
    ) -> None:
        """What is stored are the others."""
        partitions = self.partitions(store, openai)
        partitions.run("a", "b", instance=instance)
        partitions.run("c", config=DRY, instance=instance)
        text = "partition c is not stored; of the 2 other stored partitions 1 has failed rows: a (1)"
        assert shown(instance) == ("FAILED", text)
        partitions.run("c", "d", config=TRIAL, instance=instance)
        assert shown(instance)[1] == text.replace("partition c is not", "0 of 2 partitions")

    @pytest.mark.parametrize("key", ["a", "d"])
    def test_a_dry_run_of_another_partition_than_the_last_one(
        self, store: ColumnStore, openai: OpenAIResource, instance: dg.DagsterInstance, key: str
    ) -> None:
        """Its result is shown all the same: it speaks of all partitions."""
        partitions = self.partitions(store, openai, max_cost_usd=1.0)
        for one in "abcd":
            partitions.run(one, instance=instance)
        for config in (DRY, TRIAL):
            partitions.run(key, config=config, instance=instance)
            assert shown(instance)[0] == "FAILED"
            assert shown(instance, COST_WITHIN)[0] == "SUCCEEDED"

    def test_a_failed_partition_beside_stored_ones(
        self, store: ColumnStore, serve: Any, instance: dg.DagsterInstance
    ) -> None:
        """Those that were stored, now or before, and the rows for which another one was not."""
        rows: dict[str, Any] = {"a": {1: "bad"}, "b": {1: "x"}, "c": {1: "y"}}
        partitions = Partitions(store, resource_of(serve(rude)), rows)
        partitions.run("c", instance=instance)
        partitions.run("a", "b", instance=instance, fails=True)
        text = (
            "2 partitions: 1 row failed: 1 BadRequestError; the other stored partition, c, has no failed rows"
        )
        assert shown(instance) == ("FAILED", text)

    def test_a_share_is_of_each_partition(
        self, store: ColumnStore, openai: OpenAIResource, instance: dg.DagsterInstance
    ) -> None:
        """So that it does not matter which partitions were computed in one run."""
        partitions = self.partitions(store, openai, checks=Checks(max_failed=0.3))
        for keys in ("a", "d"), ("d",):
            check = of_failed_cells(partitions.run(*keys, instance=instance))
            assert check.severity is dg.AssetCheckSeverity.ERROR
            assert str(check.description).endswith("at most 30.00% of a partition may")

    def test_partitions_that_are_no_more_do_not_count(
        self, store: ColumnStore, openai: OpenAIResource, instance: dg.DagsterInstance
    ) -> None:
        """A file of a partition that the definition lacks is no part of the asset."""
        self.partitions(store, openai).run("a", instance=instance)
        rows: dict[str, Any] = {"b": {1: "x"}}
        Partitions(store, openai, rows, on_error="ignore").run("b", instance=instance)
        assert shown(instance) == ("SUCCEEDED", "partition b: no row failed")

    def test_only_the_files_metadata_is_read(
        self,
        store: ColumnStore,
        openai: OpenAIResource,
        instance: dg.DagsterInstance,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """However many rows the others hold, none of them is read; and no more files than there may be."""
        partitions = self.partitions(store, openai)
        partitions.run(instance=instance)
        monkeypatch.setattr("pxt_assets.assets.columns.stored_checks._MAX_OTHERS", 2)
        read: list[str] = []
        rows = pq.ParquetFile.iter_batches

        def iter_batches(parquet: Any, *args: Any, **more: Any) -> Any:
            read.append(str(parquet.metadata.metadata))
            return rows(parquet, *args, **more)

        monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
        partitions.run("b", config=DRY, instance=instance, only=["tickets/c"])
        text = "of the 2 other stored partitions none has failed rows; 1 further one was not looked at"
        assert shown(instance)[1] == f"partition b: no row failed; {text}"
        assert not [one for one in read if '"partition": "b"' not in one and "findings" in one]
