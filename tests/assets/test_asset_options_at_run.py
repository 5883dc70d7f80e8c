"""What retry policies, backfill policies and deps of columns do when Dagster runs them."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource
from tests.runs import ask, materialize, values
from tests.scripted_server import Asked, ScriptedServer, chat, refusal, resource_of
from tests.tickets import Tickets

RETRY = dg.RetryPolicy(max_retries=2)


def test_a_retried_step_pays_for_the_missing_rows_alone(
    store: ColumnStore, serve: Callable[..., ScriptedServer]
) -> None:
    """What was finished when the step failed is not asked for again."""
    refused: list[Asked] = []

    def script(asked: Asked) -> Any:
        if asked.text == "b" and not refused:
            refused.append(asked)
            return refusal(400, "Not now.")
        return chat(asked)

    server = serve(script)
    tickets = Tickets(store, resource_of(server))
    result = tickets.run({1: "a", 2: "b", 3: "c"}, retry_policy=RETRY)
    assert sorted(server.texts) == ["a", "b", "b", "c"]
    assert sum(event.is_step_restarted for event in result.all_events) == 1
    assert all(tickets.said.values())


@pytest.mark.parametrize("reason", ["fatal", "budget"])
def test_what_a_retry_would_not_help_is_not_retried(
    store: ColumnStore, serve: Callable[..., ScriptedServer], reason: str
) -> None:
    """A wrong key, or money that is spent."""
    wrong_key = refusal(401, "Incorrect API key provided.", code="invalid_api_key")
    server = serve((lambda _: wrong_key) if reason == "fatal" else chat)
    options = {"max_cost_usd": 1e-9} if reason == "budget" else {}
    tickets = Tickets(store, resource_of(server, max_in_flight=1))
    rows = {1: "a"} if reason == "fatal" else {1: "a", 2: "b"}
    result = tickets.run(rows, retry_policy=RETRY, fails=True, **options)
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert len(server.asked) == 1


def test_a_dep_runs_before(store: ColumnStore, openai: OpenAIResource) -> None:
    """An asset that is not read is upstream all the same."""
    ran: list[str] = []

    @dg.asset
    def glossary() -> None:
        ran.append("glossary")

    tickets = Tickets(store, openai)
    assets = tickets.assets({1: "a"}, lambda table: ask(table.body), deps=[glossary])
    materialize([*assets, glossary], store, openai)
    assert ran == ["glossary"]
    assert values(store, "tickets/c")
