"""The checks of a column say what holds of all that is stored, whichever kind of run came last, and of which partition."""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from pxt_assets import Checks, ColumnStore, OpenAIResource, Table
from pxt_assets.assets.declarations.checks import COST_WITHIN, NO_UNEXPECTED_NULLS
from tests.assets.last_checks import DRY, TRIAL, logged, of_failed_cells, rude, shown
from tests.runs import QUIET, ask, materialize, rows_asset
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, refusal, resource_of
from tests.tickets import KEY, Tickets, checks

MISSED = "did not yield or return expected outputs"


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

    def test_checks_alone_leave_the_cost_as_it_is(
        self, tickets: Tickets, instance: dg.DagsterInstance
    ) -> None:
        """They compute nothing: what the last run cost is no less true."""
        tickets.run({1: "a"}, max_cost_usd=1.0, instance=instance)
        before = shown(instance, COST_WITHIN)
        dg.materialize(
            tickets.assets({1: "a"}, max_cost_usd=1.0),
            resources={"columns": tickets.store, "openai": tickets.openai},
            run_config=QUIET,
            selection=dg.AssetSelection.checks_for_assets(KEY),
            instance=instance,
        )
        assert shown(instance, COST_WITHIN) == before
        assert shown(instance) == ("SUCCEEDED", "no row failed")


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

        monkeypatch.setattr("pxt_assets.assets.columns.materialize.compute_later", bug)
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
