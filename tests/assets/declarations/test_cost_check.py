"""The check of a column's cost."""

from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.assets.declarations.checks import COST_WITHIN
from pxt_assets.errors import DefinitionError
from tests.scripted_server import ScriptedServer, chat, resource_of
from tests.tickets import Tickets, checks


@pytest.fixture
def server(serve: Any) -> ScriptedServer:
    started: ScriptedServer = serve(chat)
    return started


@pytest.fixture
def tickets(store: ColumnStore, openai: OpenAIResource) -> Tickets:
    return Tickets(store, openai)


def named(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    return next(one for one in checks(result) if one.check_name == name)


class TestCost:
    def test_a_run_within_its_budget_passes(self, tickets: Tickets) -> None:
        """The check tells the cost and what it might have been."""
        check = named(tickets.run({1: "a"}, max_cost_usd=1.0), COST_WITHIN)
        assert check.passed
        assert 0 < check.metadata["pxt/cost_usd"].value < 1
        assert check.metadata["pxt/max_cost_usd"].value == 1.0

    def test_a_run_that_reaches_it_fails(self, store: ColumnStore, serve: Any) -> None:
        """The column's budget ends the run like one in its config; the check is an error."""
        server = serve(chat)
        tickets = Tickets(store, resource_of(server, max_in_flight=1))
        result = tickets.run({i: f"row {i}" for i in range(50)}, max_cost_usd=1e-5, fails=True)
        assert len(server.asked) < 10
        check = named(result, COST_WITHIN)
        assert not check.passed
        assert check.severity is dg.AssetCheckSeverity.ERROR
        assert "which ended the run" in str(check.description)

    def test_a_runs_config_says_otherwise(self, tickets: Tickets) -> None:
        """A higher budget for one run: the check still tells that the column's own was exceeded."""
        rows = {i: f"row {i}" for i in range(5)}
        result = tickets.run(rows, max_cost_usd=1e-7, config={"max_cost_usd": 1.0})
        check = named(result, COST_WITHIN)
        assert not check.passed
        assert check.severity is dg.AssetCheckSeverity.WARN

    def test_without_a_budget_there_is_none(self, tickets: Tickets) -> None:
        """There is nothing to be within."""
        assert COST_WITHIN not in [one.check_name for one in checks(tickets.run({1: "a"}))]

    @pytest.mark.parametrize("budget", [0, -1.0])
    def test_a_budget_is_money(self, tickets: Tickets, budget: float) -> None:
        """Anything else is refused."""
        with pytest.raises(DefinitionError, match="allowed: US dollars above 0"):
            tickets.assets({1: "a"}, max_cost_usd=budget)
