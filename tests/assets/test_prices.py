"""What runs say that answers cost: against the prices that OpenAI publishes, worked out by hand."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from pxt_assets import ColumnStore, Table
from pxt_assets.functions import embeddings, image_generations, responses
from tests.pictures import picture
from tests.runs import ask, failure
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, resource_of
from tests.tickets import Tickets, checks, observations, said_of

MILLION = 1e-6


def usage(read: int, written: int, read_as: Any = None, written_as: Any = None) -> dict[str, Any]:
    more = {"prompt_tokens_details": read_as, "completion_tokens_details": written_as}
    return {"prompt_tokens": read, "completion_tokens": written, **{k: v for k, v in more.items() if v}}


CHATS: dict[str, tuple[dict[str, Any], float | None]] = {
    "plain": ({"model": "gpt-6-luna", "usage": usage(1_000, 500)}, 1_000 * 0.1 + 500 * 0.5),
    "cached and written": (
        {
            "model": "gpt-6-luna",
            "usage": usage(3_000, 100, {"cached_tokens": 2_000, "cache_write_tokens": 900}),
        },
        100 * 0.1 + 2_000 * 0.01 + 900 * 0.125 + 100 * 0.5,
    ),
    "reasoning": (
        {"model": "gpt-6-luna", "usage": usage(10, 700, None, {"reasoning_tokens": 600})},
        10 * 0.1 + 700 * 0.5,
    ),
    "flex": (
        {"model": "gpt-6-luna", "service_tier": "flex", "usage": usage(1_000, 500)},
        1_000 * 0.05 + 500 * 0.25,
    ),
    "priority": (
        {"model": "gpt-6-luna", "service_tier": "priority", "usage": usage(1_000, 500)},
        1_000 * 0.2 + 500 * 1.0,
    ),
    "default": (
        {"model": "gpt-6-luna", "service_tier": "default", "usage": usage(1_000, 500)},
        1_000 * 0.1 + 500 * 0.5,
    ),
    "scale": ({"model": "gpt-6-luna", "service_tier": "scale", "usage": usage(1_000, 500)}, None),
    "flex without a price": (
        {"model": "gpt-4.1-mini", "service_tier": "flex", "usage": usage(1_000, 500)},
        None,
    ),
    "sound": (
        {
            "model": "gpt-audio-2025-08-28",
            "usage": usage(300, 1_000, {"audio_tokens": 200}, {"audio_tokens": 900}),
        },
        100 * 2.5 + 200 * 32 + 100 * 10 + 900 * 64,
    ),
    "sound without a price": (
        {"model": "gpt-4o-audio-preview", "usage": usage(10, 1_000, None, {"audio_tokens": 900})},
        None,
    ),
    "long": (
        {"model": "gpt-6-luna", "usage": usage(300_000, 1_000)},
        300_000 * 0.2 + 1_000 * 0.75,
    ),
    "no usage": ({"model": "gpt-6-luna", "usage": None}, None),
    "a local model": ({"model": "gpt-oss-20b", "usage": usage(1_000, 500)}, None),
    "somebody's own": ({"model": "gpt-5-nano-of-ours", "usage": usage(1_000, 500)}, None),
    "a snapshot": ({"model": "gpt-4o-mini-2024-07-18", "usage": usage(1_000, 500)}, 1_000 * 0.15 + 500 * 0.6),
    "fine-tuned": (
        {"model": "ft:gpt-4o-mini-2024-07-18:acme::x1", "usage": usage(1_000, 500)},
        1_000 * 0.3 + 500 * 1.2,
    ),
    "fine-tuned without a price": ({"model": "ft:gpt-4.1:acme::x1", "usage": usage(1_000, 500)}, None),
}
"""Answers of chat models, and what each costs in millionths of a dollar."""

SEARCH, OPENED = {"action": {"type": "search"}}, {"action": {"type": "open_page"}}


def call(kind: str, **more: Any) -> dict[str, Any]:
    return {"id": "x", "type": kind, "status": "completed", **more}


LUNA = 8_000 * 0.1 + 200 * 0.5
"""8,000 tokens in, 200 out of gpt-6-luna."""
DRAWN = {
    "input_tokens": 60,
    "input_tokens_details": {"text_tokens": 60, "image_tokens": 0},
    "output_tokens": 4_160,
    "output_tokens_details": {"text_tokens": 0, "image_tokens": 4_160},
    "total_tokens": 4_220,
    "cached_tokens": 0,
}
RESPONSES: dict[str, tuple[dict[str, Any], float | None]] = {
    "three searches": ({"output": [call("web_search_call", **SEARCH)] * 3}, LUNA + 3 * 10_000),
    "a page opened": (
        {"output": [call("web_search_call", **SEARCH), call("web_search_call", **OPENED)]},
        LUNA + 10_000,
    ),
    "searches as billed": (
        {
            "output": [call("web_search_call", **SEARCH)] * 3,
            "tool_usage": {"web_search": {"num_requests": 2}},
        },
        LUNA + 2 * 10_000,
    ),
    "preview, reasoning": (
        {
            "output": [call("web_search_call", **SEARCH)],
            "tools": [{"type": "web_search_preview_2025_03_11"}],
        },
        LUNA + 10_000,
    ),
    "preview, not reasoning": (
        {
            "model": "gpt-4o",
            "output": [call("web_search_call", **SEARCH)],
            "tools": [{"type": "web_search_preview"}],
        },
        None,
    ),
    "files": ({"output": [call("file_search_call")] * 2}, LUNA + 2 * 2_500),
    "code": ({"output": [call("code_interpreter_call", container_id="c1")]}, None),
    "a shell of its own": ({"output": [call("shell_call", environment={"type": "local"})]}, LUNA),
    "a container's shell": (
        {"output": [call("shell_call", environment={"type": "container_reference"})]},
        None,
    ),
    "what comes next year": ({"output": [call("teleport_call")]}, None),
    "functions and servers": ({"output": [call("function_call"), call("mcp_call")]}, LUNA),
    "drawn": (
        {
            "output": [call("image_generation_call")],
            "tools": [{"type": "image_generation", "model": "gpt-image-1.5"}],
            "tool_usage": {"image_gen": DRAWN, "web_search": {"num_requests": 0}},
        },
        LUNA + 60 * 5 + 4_160 * 32,
    ),
    "drawn, untold": ({"output": [call("image_generation_call")]}, None),
    "kept for long": (
        {
            "output": [],
            "usage": {
                "input_tokens": 2_000,
                "output_tokens": 1,
                "input_tokens_details": {
                    "cached_tokens": 0,
                    "cache_write_tokens": 1_900,
                    "cache_write_tokens_details": {"ttl_12h_tokens": 1_900, "ttl_30m_tokens": 0},
                },
            },
        },
        None,
    ),
    "fast": ({"output": [], "service_tier": "priority"}, 2 * LUNA),
    "ultrafast": ({"output": [], "service_tier": "ultrafast"}, None),
}
"""Answers of the Responses API, and what each costs in millionths of a dollar."""


def response(asked: Asked) -> Reply:
    body = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "gpt-6-luna",
        "service_tier": "default",
        "tools": [],
        "usage": {"input_tokens": 8_000, "output_tokens": 200},
    }
    return Reply({**body, **RESPONSES[asked.text][0]})


def check(tickets: Tickets, said: Mapping[str, Any], cases: Mapping[str, Any]) -> None:
    """That the run, and the cells of its rows, cost what the cases do."""
    known = {name: cost for name, (_, cost) in cases.items() if cost is not None}
    paid = {name: one["cost_usd"] for name, one in zip(cases, tickets.provenance, strict=True)}
    assert {name: cost for name, cost in paid.items() if cost is not None} == {
        name: pytest.approx(cost * MILLION) for name, cost in known.items()
    }
    assert said["pxt/cost_usd"] == pytest.approx(sum(known.values()) * MILLION)
    assert said["pxt/rows_unpriced"] == len(cases) - len(known)


@pytest.fixture
def tickets(store: ColumnStore, server: ScriptedServer) -> Tickets:
    return Tickets(store, resource_of(server))


def test_an_answer_of_a_chat_model_costs_what_it_says_of_itself(
    tickets: Tickets, server: ScriptedServer
) -> None:
    """Its kinds of tokens, its model and its service tier; a row whose price is unknown is counted beside the sum."""
    server.script = lambda asked: chat(asked, **CHATS[asked.text][0])
    result = tickets.run(dict(enumerate(CHATS)), lambda t: ask(t.body, model="gpt-6-luna"))
    said = said_of(result)
    check(tickets, said, CHATS)
    assert f"{said['pxt/rows_unpriced']} rows of unknown price" in said["pxt/summary"]


def test_the_tier_of_the_request_plays_no_part(tickets: Tickets, server: ScriptedServer) -> None:
    """A request for priority may be answered in the default tier, at its price."""
    server.script = lambda asked: chat(asked, service_tier="default", usage=usage(1_000, 500))
    result = tickets.run({1: "a"}, lambda t: ask(t.body, model="gpt-6-luna", service_tier="priority"))
    assert said_of(result)["pxt/cost_usd"] == pytest.approx(350 * MILLION)


def test_tools_that_the_server_runs_are_charged(tickets: Tickets, server: ScriptedServer) -> None:
    """Searches of the web and of files, images that a tool drew; what has no known price makes its row's unknown."""
    server.script = response
    result = tickets.run(dict(enumerate(RESPONSES)), lambda t: responses(t.body, model="gpt-6-luna"))
    check(tickets, said_of(result), RESPONSES)


def test_searches_end_a_run_whose_budget_they_spend(tickets: Tickets, server: ScriptedServer) -> None:
    """Of $0.10 each may take what the ten searches cost that nothing forbids; three are made for $0.0309."""
    server.script = lambda asked: response(Asked("", {}, {"input": "three searches"}))
    tools = [{"type": "web_search"}]
    rows = {i: f"row {i}" for i in range(112)}
    result = tickets.run(
        rows,
        lambda t: responses(t.body, model="gpt-6-luna", tools=tools, model_kwargs={"max_output_tokens": 500}),
        config={"max_cost_usd": 0.10},
        fails=True,
    )
    assert "The budget of $0.10 is spent" in str(failure(result).description)
    assert len(server.asked) == 4


def test_a_tool_without_a_price_is_not_asked_for_within_a_budget(
    tickets: Tickets, server: ScriptedServer
) -> None:
    """Nobody could keep it."""
    tools = [{"type": "code_interpreter", "container": {"type": "auto"}}]
    result = tickets.run(
        {1: "a"},
        lambda t: responses(t.body, model="gpt-6-luna", tools=tools),
        config={"max_cost_usd": 1},
        fails=True,
    )
    assert "no price is known of all that 'gpt-6-luna' answers" in str(failure(result).description)
    assert not server.asked


def test_images_cost_what_images_do(tickets: Tickets, server: ScriptedServer) -> None:
    """Also where the answer does not tell them from text."""
    image = {"b64_json": base64.b64encode(picture()).decode()}
    told = {"output_tokens_details": {"image_tokens": 4_160, "text_tokens": 0}}
    used = {"input_tokens": 50, "output_tokens": 4_160}
    server.script = lambda asked: Reply(
        {"created": 1, "data": [image], "usage": {**used, **(told if asked.text == "told" else {})}}
    )
    rows = {1: "told", 2: "untold"}
    tickets.run(rows, lambda t: image_generations(t.body, model="gpt-image-1.5"))
    each = (50 * 5 + 4_160 * 32) * MILLION
    assert [one["cost_usd"] for one in tickets.provenance] == [pytest.approx(each)] * 2


def test_rejected_answers_are_paid_for(tickets: Tickets, server: ScriptedServer) -> None:
    """By the usage that they state; one that states none may have cost anything."""
    wrong = {"told": {"choices": "?"}, "untold": {"choices": "?", "usage": None}}

    def script(asked: Asked) -> Reply:
        if asked.text == "no object":
            return Reply(b"well done")
        return chat(asked, **{"model": "gpt-6-luna", "usage": usage(1_000, 500), **wrong.get(asked.text, {})})

    server.script = script
    result = tickets.run(
        {1: "told", 2: "untold", 3: "well", 4: "no object"},
        lambda t: ask(t.body, model="gpt-6-luna"),
        openai=resource_of(server, max_retries=0),
        on_error="ignore",
    )
    said = said_of(result)
    assert said["pxt/rows_failed"] == 3
    assert said["pxt/cost_usd"] == pytest.approx(2 * 350 * MILLION)
    assert said["pxt/rows_unpriced"] == 2


def test_shares_of_one_request_add_up(tickets: Tickets, server: ScriptedServer) -> None:
    """Rows that went together have the price of their request among them, or all have none."""

    def vectors(asked: Asked) -> Reply:
        data = [{"index": i, "embedding": [1.0, 2.0]} for i in range(len(asked.body["input"]))]
        known = "unpriced" not in asked.body["model"]
        usage = {"prompt_tokens": 7_001, "total_tokens": 7_001}
        return Reply({"data": data, "model": asked.body["model"], "usage": usage if known else None})

    def column(model: str) -> Any:
        def of(table: Table) -> Any:
            return embeddings(table.body, model=model)

        return of

    server.script = vectors
    rows = {i: "x" * (i + 1) for i in range(7)}
    said = said_of(tickets.run(rows, column("text-embedding-3-small")))
    paid = [one["cost_usd"] for one in tickets.provenance]
    assert len(server.asked) == 1
    assert sum(paid) == pytest.approx(7_001 * 0.02 * MILLION, rel=1e-12)
    assert said["pxt/cost_usd"] == pytest.approx(sum(paid))
    said = said_of(tickets.run(rows, column("unpriced")))
    assert (said["pxt/cost_usd"], said["pxt/rows_unpriced"]) == ("unknown", 7)
    assert {one["cost_usd"] for one in tickets.provenance} == {None}


def test_a_row_is_counted_once_however_often_it_is_asked_for(
    tickets: Tickets, server: ScriptedServer
) -> None:
    """As where a request of many rows is divided, since its answer is none."""
    server.script = lambda asked: Reply({"data": [], "model": "text-embedding-3-small"})
    rows = {i: "x" * (i + 1) for i in range(5)}
    result = tickets.run(
        rows, lambda t: embeddings(t.body, model="text-embedding-3-small"), on_error="ignore"
    )
    assert len(server.asked) > 5
    assert (said_of(result)["pxt/rows_failed"], said_of(result)["pxt/rows_unpriced"]) == (5, 5)


def test_a_dry_run_counts_rows_without_a_price_beside_the_sum(tickets: Tickets) -> None:
    """Of several models, or tiers, that rows name; the others' estimate is a sum all the same."""
    rows = {1: "gpt-6-luna", 2: "a-model-nobody-sells", 3: "gpt-6-luna"}

    def column(table: Table) -> Any:
        return ask("Hello", model=table.body)

    (said,) = observations(tickets.run(rows, column, {"dry_run": True})).values()
    assert said["pxt/rows_unpriced"] == 1
    assert said["pxt/estimated_cost_usd"] == pytest.approx((6 * 0.1 + 500 * 0.5) * MILLION, rel=0.01)
    assert " and 1 row of unknown price," in said["pxt/estimate"]


def test_a_cost_that_leaves_rows_out_is_not_within_a_budget(tickets: Tickets, server: ScriptedServer) -> None:
    """Nobody knows whether it is: the check fails, and tells both."""
    server.script = lambda asked: chat(
        asked, **({"usage": None} if asked.text == "last" else {"usage": usage(1_000, 500)})
    )
    rows = {1: "first", 2: "last"}
    result = tickets.run(rows, lambda t: ask(t.body, model="gpt-6-luna"), max_cost_usd=1.0)
    (check,) = [one for one in checks(result) if one.check_name == "cost_within"]
    assert not check.passed
    assert check.description == "$0.00035 and 1 row of unknown price of $1.00"
    assert check.metadata["pxt/rows_unpriced"].value == 1
