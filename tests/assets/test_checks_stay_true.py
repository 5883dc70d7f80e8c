"""The checks of a column say what holds of all that is stored, whichever kind of run came last, and of which partition."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
from dagster._core.loader import LoadingContextForTest

from pxt_assets import Checks, ColumnStore, OpenAIResource, Table
from pxt_assets.assets.declarations.checks import COST_WITHIN, NO_FAILED_CELLS, NO_UNEXPECTED_NULLS
from tests.runs import QUIET, ask, materialize, rows_asset
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, refusal, resource_of
from tests.tickets import KEY, Partitions, Tickets, checks

DRY = {"dry_run": True}
TRIAL = {"limit": 1}
MISSED = "did not yield or return expected outputs"


def rude(asked: Asked) -> Reply:
    """Refuses `bad …`, answers anything else."""
    return refusal(400, "no") if asked.text.startswith("bad") else chat(asked)


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


def shown(
    instance: dg.DagsterInstance, name: str = NO_FAILED_CELLS, key: dg.AssetKey = KEY
) -> tuple[str, str | None]:
    """The status of a check as the UI has it, and what its last result says.

    The UI shows a result only if it is one about the asset's latest materialization.
    """
    check = dg.AssetCheckKey(key, name)
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([check])[check]
    loading = LoadingContextForTest(instance)
    assert asyncio.run(record.targets_latest_materialization(loading))
    status = asyncio.run(record.resolve_status(loading))
    return status.value, getattr(record.evaluation, "description", None)


def of_failed_cells(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    """The result of the check that looks for failed rows."""
    return next(one for one in checks(result) if one.check_name == NO_FAILED_CELLS)


def logged(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    """All that the run logged."""
    return "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))


class TestRunsThatStoreNothing:
    @pytest.mark.parametrize("config", [DRY, TRIAL, {**TRIAL, "refresh": True}], ids=str)
    def test_a_warning_stays(self, tickets: Tickets, instance: dg.DagsterInstance, config: Any) -> None:
        """A yellow "1 row failed" is yellow after a dry run, and after a trial of other rows."""
        rows = {1: "a", 2: "bad x"}
        tickets.run(rows, on_error="ignore", instance=instance)
        before = shown(instance)
        assert before == ("FAILED", "1 row failed: 1 BadRequestError")
        tickets.run(rows, on_error="ignore", config=config, instance=instance)
        assert shown(instance) == before
        assert shown(instance, NO_UNEXPECTED_NULLS)[0] == "SUCCEEDED"

    @pytest.mark.parametrize("config", [DRY, TRIAL], ids=str)
    def test_nothing_is_missed_and_nothing_materialized(
        self, tickets: Tickets, instance: dg.DagsterInstance, config: Any
    ) -> None:
        """Dagster logs no missing output, whether anything is stored or not, and records no materialization."""
        for _ in range(2):
            result = tickets.run({1: "a"}, max_cost_usd=1.0, config=config, instance=instance)
            assert MISSED not in logged(result, instance)
            assert [one.asset_key for one in result.get_asset_materialization_events()] == [
                dg.AssetKey("tickets")
            ]
            result = tickets.run({1: "a"}, max_cost_usd=1.0, instance=instance)

    def test_where_nothing_is_stored_nothing_is_said(
        self, tickets: Tickets, instance: dg.DagsterInstance
    ) -> None:
        """A column that never was materialized neither passes nor fails: its checks are skipped."""
        tickets.run({1: "a"}, config=DRY, instance=instance)
        assert shown(instance) == ("SKIPPED", None)

    def test_the_severity_stays(self, tickets: Tickets, instance: dg.DagsterInstance) -> None:
        """An error is an error after a dry run."""
        how: dict[str, Any] = {"on_error": "ignore", "checks": Checks(max_failed=0.1), "instance": instance}
        tickets.run({1: "a", 2: "bad x"}, **how)
        check = of_failed_cells(tickets.run({1: "a", 2: "bad x"}, config=DRY, **how))
        assert check.severity is dg.AssetCheckSeverity.ERROR
        assert check.description == "1 row failed: 1 BadRequestError; at most 10.00% may"

    def test_a_check_that_was_not_selected_is_left_alone(
        self, tickets: Tickets, instance: dg.DagsterInstance
    ) -> None:
        """A dry run without the checks says nothing of them."""
        tickets.run({1: "a"}, instance=instance)
        result = dg.materialize(
            tickets.assets({1: "a"}),
            resources={"columns": tickets.store, "openai": tickets.openai},
            run_config={**QUIET, "ops": {"tickets__c": {"config": DRY}}},
            selection=dg.AssetSelection.all() - dg.AssetSelection.checks_for_assets(KEY),
            instance=instance,
        )
        assert not checks(result)
        assert MISSED not in logged(result, instance)

    @pytest.mark.parametrize("config", [DRY, TRIAL], ids=str)
    def test_what_the_run_cannot_reach_stays_too(
        self, store: ColumnStore, openai: OpenAIResource, instance: dg.DagsterInstance, config: Any
    ) -> None:
        """Columns that are made of the one, and whose steps are skipped, keep their results."""
        upstream = rows_asset({"id": [1], "body": ["a"]})
        table = Table(upstream, key="id")
        table.add_computed_column(c=ask(table.body))
        table.add_computed_column(d=table.c.choices[0].message.content)
        table.add_computed_column(e=ask(table.d))
        assets = [upstream, *table.assets]
        materialize(assets, store, openai, instance=instance)
        result = materialize(assets, store, openai, config={"tickets/c": config}, instance=instance)
        assert [event.step_key for event in result.all_events if event.is_step_skipped]
        for name in "cde":
            assert shown(instance, key=dg.AssetKey(["tickets", name])) == ("SUCCEEDED", "no row failed")

    def test_the_cost_of_the_last_run_stays(self, tickets: Tickets, instance: dg.DagsterInstance) -> None:
        """A dry run and a trial cost next to nothing: that says nothing of what the stored column cost."""
        rows = {i: f"row {i}" for i in range(5)}
        tickets.run(rows, max_cost_usd=1e-5, config={"max_cost_usd": 1.0}, instance=instance)
        before = shown(instance, COST_WITHIN)
        assert before[0] == "FAILED"
        for config in (DRY, TRIAL):
            tickets.run(rows, max_cost_usd=1e-5, config=config, instance=instance)
            assert shown(instance, COST_WITHIN) == before


class TestRunsThatFail:
    def test_a_budget_leaves_what_is_stored_green(
        self, store: ColumnStore, server: ScriptedServer, instance: dg.DagsterInstance
    ) -> None:
        """The cost check fails, the others say what holds of the stored column."""
        tickets = Tickets(store, resource_of(server, max_in_flight=1))
        tickets.run({1: "a"}, max_cost_usd=1e-5, instance=instance)
        rows = {i: f"row {i}" for i in range(50)}
        tickets.run(rows, max_cost_usd=1e-5, instance=instance, fails=True)
        assert shown(instance) == ("SUCCEEDED", "no row failed")
        assert shown(instance, NO_UNEXPECTED_NULLS)[0] == "SUCCEEDED"
        assert shown(instance, COST_WITHIN)[0] == "FAILED"

    def test_a_refused_key_leaves_a_warning(
        self, tickets: Tickets, server: ScriptedServer, instance: dg.DagsterInstance
    ) -> None:
        """What was yellow is yellow, not red."""
        tickets.run({1: "a", 2: "bad x"}, on_error="ignore", instance=instance)
        server.script = lambda _: refusal(401, "no", code="invalid_api_key")
        tickets.run({1: "a", 2: "bad x"}, on_error="ignore", instance=instance, fails=True)
        assert shown(instance) == ("FAILED", "1 row failed: 1 BadRequestError")

    def test_failed_rows_of_a_column_that_is_stored(
        self, tickets: Tickets, instance: dg.DagsterInstance
    ) -> None:
        """Under on_error="abort" nothing of them is stored: the check passes, and says that rows failed in this run."""
        tickets.run({1: "a"}, instance=instance)
        tickets.run({1: "a", 2: "bad x"}, instance=instance, fails=True)
        text = "no row failed; 1 row failed in this run, which left what is stored as it was"
        assert shown(instance) == ("SUCCEEDED", text)

    def test_a_column_below_it_stays_as_it_is(
        self, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer, instance: dg.DagsterInstance
    ) -> None:
        """A column that is made of the failed one never begins: its checks are not red."""
        upstream = rows_asset(rows := {"id": [1], "body": ["a"]})
        table = Table(upstream, key="id")
        table.add_computed_column(c=ask(table.body))
        table.add_computed_column(d=table.c.choices[0].message.content)
        assets = [upstream, *table.assets]
        materialize(assets, store, openai, instance=instance)
        rows["body"] = ["bad x"]
        materialize(assets, store, openai, instance=instance, fails=True)
        assert shown(instance, key=dg.AssetKey(["tickets", "d"])) == ("SUCCEEDED", "no row failed")

    def test_a_bug_leaves_them_too(
        self, tickets: Tickets, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An error that nobody foresaw changes nothing of what is stored."""
        tickets.run({1: "a"}, instance=instance)

        def bug(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr("pxt_assets.assets.columns.materialize.compute_partitions", bug)
        tickets.run({1: "b"}, instance=instance, fails=True)
        assert shown(instance) == ("SUCCEEDED", "no row failed")

    def test_an_interrupted_run_leaves_them_too(
        self, tickets: Tickets, server: ScriptedServer, instance: dg.DagsterInstance
    ) -> None:
        """A run that is cancelled says what is stored, before it ends."""
        tickets.run({1: "a"}, instance=instance)
        never = threading.Event()

        def script(asked: Asked) -> Reply:
            os.kill(os.getpid(), signal.SIGINT)
            never.wait(30)
            return chat(asked)

        server.script = script
        try:
            with pytest.raises(dg.DagsterExecutionInterruptedError):
                tickets.run({1: "b"}, instance=instance)
        finally:
            never.set()
        assert shown(instance) == ("SUCCEEDED", "no row failed")

    def test_what_cannot_be_looked_at_does_not_hide_why_it_failed(
        self, tickets: Tickets, instance: dg.DagsterInstance
    ) -> None:
        """A file that is broken is warned of; the run's error is its own."""
        tickets.run({1: "a"}, instance=instance)
        tickets.path.write_bytes(b"no Parquet")
        result = tickets.run({1: "b"}, instance=instance, fails=True)
        assert "is no Parquet file" in str([event for event in result.all_events if event.is_step_failure])
        assert "the checks could not look at" in logged(result, instance)


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
