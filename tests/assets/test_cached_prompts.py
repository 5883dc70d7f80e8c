"""Runs whose rows have a long prompt in common: what they send, and what they pay for."""

import pytest

from pxt_assets import OpenAIResource, Table
from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Usage
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import chat_completions, responses
from tests.runs import materialize, metadata, rows_asset
from tests.scripted_server import resource_of

LAW = "the law " * 1_000
PREFIX = 2_003
MODEL = "gpt-6-luna"
ROWS = 12


def column(function=chat_completions, **options):
    """A table of a few tickets with one column over them."""
    tickets = rows_asset({"id": list(range(ROWS)), "body": [f"Ticket {i}" for i in range(ROWS)]})
    tbl = Table(tickets, key="id")
    messages = [{"role": "system", "content": LAW}, {"role": "user", "content": tbl.body}]
    tbl.add_computed_column(c=function(messages, model=MODEL), **options)
    return [tickets, *tbl.assets]


def run(store, openai, function=chat_completions, **options):
    return metadata(materialize(column(function, **options), store, openai), "tickets/c")


@pytest.mark.parametrize("function", [chat_completions, responses], ids=lambda one: one.name)
def test_the_common_prompt_is_paid_for_once(store, function):
    """It is written to the cache with the first row, and read from there with all others; the tails are not written."""
    openai = OpenAIResource.simulated(latency=0.01, seed=len(function.name))
    told = run(store, openai, function)
    assert told["pxt/cached_tokens"] == (ROWS - 1) * PREFIX
    asked, answered = (told[f"pxt/{kind}_tokens"] for kind in ("input", "output"))
    used = Usage(asked, answered, (ROWS - 1) * PREFIX, cache_write_tokens=PREFIX)
    assert told["pxt/cost_usd"] == pytest.approx(cost_usd(MODEL, used))


def test_a_column_may_leave_the_cache_alone(store):
    """Then every prompt is written whole, at a quarter more than its price."""
    told = run(store, OpenAIResource.simulated(latency=0.01, seed=2_000), cache="off")
    assert told["pxt/cached_tokens"] == 0


def test_cells_are_the_same_with_it_and_without(store):
    """To switch asks for nothing anew."""
    openai = OpenAIResource.simulated()
    assert run(store, openai)["pxt/rows_computed"] == ROWS
    assert run(store, openai, cache="off")["pxt/rows_computed"] == 0


def test_a_simulator_at_a_url_is_told_too(store, simulated):
    """It says of itself that it is one."""
    assert run(store, simulated)["pxt/cached_tokens"] >= (ROWS - 1) * PREFIX


def test_other_servers_are_told_nothing(store, server):
    """They may refuse what they do not know; requests go out as they did, all at once."""
    run(store, resource_of(server))
    bodies = [asked.body for asked in server.asked if asked.method == "POST"]
    assert len(bodies) == ROWS
    assert {name for body in bodies for name in body} == {"messages", "model"}
    assert {body["messages"][0]["content"] for body in bodies} == {LAW}


def test_other_words_are_refused():
    """While definitions load."""
    with pytest.raises(DefinitionError, match=r"c: got cache='no', allowed: 'auto' or 'off'"):
        column(cache="no")
