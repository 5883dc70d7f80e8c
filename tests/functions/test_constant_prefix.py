"""Which part of a prompt is known to be the same in every row, and where its end is marked."""

import json
from typing import Any

import PIL.Image
import pytest

from pxt_assets import Table, udf
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.functions import chat_completions, embeddings, responses

TBL = Table("tickets")
LAW = "the law says so. " * 300
"""Some 1,275 tokens."""
MODEL = "gpt-6-luna"
PICTURE = PIL.Image.new("RGB", (8, 8))
MARK = {"mode": "explicit"}


@udf
def shortened(text: str) -> str:
    return text[:10]


def system(content: Any = LAW, role: str = "system") -> dict[str, Any]:
    return {"role": role, "content": content}


def user(content: Any = TBL.body) -> dict[str, Any]:
    return {"role": "user", "content": content}


def part(text: Any) -> dict[str, Any]:
    return {"type": "text", "text": text}


def sent(call: Any, *row: Any, caches: bool = True) -> dict[str, Any]:
    """What is sent for a row, whose values are in the order of the columns."""
    plan = Plan(call, None, caches=caches)
    body: dict[str, Any] = json.loads(plan.prepare(row or ("Hello",) * len(plan.columns)).request.payload)
    return body


def marks(body: dict[str, Any]) -> list[tuple[int, int]]:
    """The message and the part of each breakpoint."""
    return [
        (number, place)
        for number, message in enumerate(body.get("messages") or body["input"])
        if isinstance(message, dict) and isinstance(message.get("content"), list)
        for place, one in enumerate(message["content"])
        if "prompt_cache_breakpoint" in one
    ]


def chat(*messages: Any, **arguments: Any) -> Any:
    return chat_completions([*messages], **{"model": MODEL, **arguments})


def test_the_end_of_a_constant_message_is_marked():
    """A content that is one text becomes a list of it; nothing else is written to the cache."""
    body = sent(chat(system(), user(), temperature=0))
    key = body.pop("prompt_cache_key")
    assert body == {
        "messages": [
            {
                "role": "system",
                "content": [{"type": "text", "text": LAW, "prompt_cache_breakpoint": MARK}],
            },
            {"role": "user", "content": "Hello"},
        ],
        "model": MODEL,
        "temperature": 0,
        "prompt_cache_options": {"mode": "explicit"},
    }
    assert len(key) <= 64


def test_responses_have_their_own_type_of_text():
    """The Responses API calls it `input_text`."""
    body = sent(responses([system(role="developer"), user()], model=MODEL))
    assert body["input"][0]["content"] == [
        {"type": "input_text", "text": LAW, "prompt_cache_breakpoint": MARK}
    ]
    assert body["prompt_cache_options"] == MARK


IMAGE = {"type": "image_url", "image_url": PICTURE}
CASES: dict[str, tuple[Any, list[tuple[int, int]]]] = {
    "parts before a column": (chat(user([part(LAW), part(TBL.body)])), [(0, 0)]),
    "parts before and after": (chat(user([part(LAW), part("Now:"), part(TBL.body), part("Go.")])), [(0, 1)]),
    "an image at its end": (chat(system(), user([IMAGE, part(TBL.body)])), [(1, 0)]),
    "an image of each row": (
        chat(system(), user([{"type": "image_url", "image_url": TBL.picture}])),
        [(0, 0)],
    ),
    "examples, the last of an assistant": (
        chat(system(), user("What?"), {"role": "assistant", "content": "That."}, user()),
        [(1, 0)],
    ),
    "a part of an unknown type": (chat(user([part(LAW), {"type": "odd"}, part(TBL.body)])), [(0, 0)]),
    "an empty text at its end": (chat(system(), system(""), user()), [(0, 0)]),
    "a message that is a column": (chat(system(), TBL.message), [(0, 0)]),
    "a role that is a column": (chat(system(), {"role": TBL.role, "content": "Now?"}), [(0, 0)]),
    "a name that is a column": (chat(system(), {**user("Now?"), "name": TBL.body}), [(0, 0)]),
    "a column among the settings of the answer": (chat(system(), user("?"), seed=TBL.n), [(1, 0)]),
    "the same in model_kwargs": (chat(system(), user("?"), model_kwargs={"seed": TBL.n}), [(1, 0)]),
    "a tuple of messages": (chat_completions((system(), user()), model=MODEL), [(0, 0)]),
    "a fine-tuned snapshot": (chat(system(), user(), model="ft:gpt-5.6-luna-2026-07-09:a::b"), [(0, 0)]),
    "instructions before": (
        responses(
            [user([{"type": "input_text", "text": "Now:"}, {"type": "input_text", "text": TBL.body}])],
            model=MODEL,
            instructions=LAW,
        ),
        [(0, 0)],
    ),
    "tools that make it long enough": (
        chat(
            system("Be brief."),
            user(),
            tools=[{"type": "function", "function": {"name": "f", "description": LAW}}],
        ),
        [(0, 0)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_longest_prefix_that_can_be_marked_is(case):
    """Up to the first column, and at a part that takes a mark."""
    call, expected = CASES[case]
    rows = {
        "a message that is a column": (user("Hello"),),
        "an image of each row": (PICTURE,),
        "a role that is a column": ("user",),
        "a column among the settings of the answer": (7,),
        "the same in model_kwargs": (7,),
    }
    assert marks(sent(call, *rows.get(case, ()))) == expected


NOTHING: dict[str, Any] = {
    "too short a prefix": chat(system("Be brief."), user()),
    "a short prefix before a long tail": chat(system("Be brief."), user(), user(LAW)),
    "an older model": chat(system(), user(), model="gpt-5.5"),
    "a model before all that": chat(system(), user(), model="gpt-4o-mini"),
    "a model that is a column": chat(system(), user(), model=TBL.model),
    "messages that are a column": chat_completions(TBL.messages, model=MODEL),
    "a column first": chat(user(), system()),
    "no column at all": chat(system(), user("Hello")),
    "a key by hand": chat(system(), user(), prompt_cache_key="mine"),
    "a key by hand in model_kwargs": chat(system(), user(), model_kwargs={"prompt_cache_key": "mine"}),
    "options by hand": chat(system(), user(), prompt_cache_options={"mode": "implicit"}),
    "retention by hand": chat(system(), user(), prompt_cache_retention="24h"),
    "a mark by hand": chat(system([{"type": "text", "text": LAW, "prompt_cache_breakpoint": MARK}]), user()),
    "model_kwargs that are a column": chat(system(), user(), model_kwargs=TBL.more),
    "tools that are a column": chat(system(), user(), tools=TBL.tools),
    "an effort that is a column": chat(system(), user(), reasoning_effort=TBL.effort),
    "an answer before it": responses([system(), user()], model=MODEL, previous_response_id="resp_1"),
    "a conversation before it": responses([system(), user()], model=MODEL, conversation="conv_1"),
    "one text": responses(TBL.body, model=MODEL, instructions=LAW),
    "another function": embeddings(TBL.body, model="text-embedding-3-small"),
}
ROW: dict[str, Any] = {
    "model": "gpt-6-luna",
    "messages": [system(), user("Hello")],
    "more": {"seed": 1},
    "tools": [],
    "effort": "low",
}


@pytest.mark.parametrize("case", NOTHING)
def test_else_nothing_is_said_of_the_cache_but_by_the_user(case):
    """What is sent is what is sent without it, to the byte."""
    call = NOTHING[case]
    plans = [Plan(call, None, caches=caches) for caches in (True, False)]
    row = tuple(ROW.get(ref._column, "Hello") for ref in plans[0].columns)
    with_it, without = (plan.prepare(row).request.payload for plan in plans)
    assert with_it == without


def test_a_call_whose_arguments_are_answers_of_others_is_marked_too():
    """Its request is made when they are there."""
    prepared = Plan(chat(system(), user(shortened(TBL.body))), None, caches=True).prepare(("Hello",))
    request = prepared.function.cell_request({"messages": [system(), user("Hello")], "model": MODEL})
    assert marks(json.loads(request.payload)) == [(0, 0)]


def test_a_row_with_marks_of_its_own_is_sent_as_it_is():
    """Its column may hold content parts, in which somebody marked something."""
    parts = [{"type": "text", "text": "x", "prompt_cache_breakpoint": MARK}]
    call = chat(system(), user(TBL.parts))
    assert sent(call, parts) == sent(call, parts, caches=False)
    assert marks(sent(call, [part("x")])) == [(0, 0)]


@pytest.mark.parametrize(
    "value", ["Hello", "%s", "", "a\ud800", PICTURE, [part("x")]], ids=lambda value: repr(value)[:8]
)
def test_the_digest_and_the_size_are_those_without_it(value):
    """A mark names no cell, and the limiter is asked for the same."""
    content = [{"type": "image_url", "image_url": TBL.x}] if value is PICTURE else TBL.x
    with_it, without = (
        Plan(chat(system(), user(content)), None, caches=caches).prepare((value,)).request
        for caches in (True, False)
    )
    assert with_it.payload != without.payload
    assert (with_it.digest, with_it.size, with_it.memory_bytes, dict(with_it.body)) == (
        *(without.digest, without.size, without.memory_bytes),
        dict(without.body),
    )


def test_the_key_is_the_prefix_s():
    """Equal for rows, columns and runs with that prefix; another one for another text, model or tool."""

    def key(*messages: Any, **arguments: Any) -> str:
        return sent(chat(*messages, **arguments))["prompt_cache_key"]

    same = key(system(), user())
    assert key(system(), user(), seed=3) == same == key(system(), user([part(TBL.other)]))
    others = [
        key(system(f"{LAW}!"), user()),
        key(system(role="developer"), user()),
        key(system(), user(), model="gpt-6-sol"),
        key(system(), user(), tools=[{"type": "function", "function": {"name": "f"}}]),
    ]
    assert len({same, *others}) == 5


@pytest.mark.parametrize(
    ("text", "is_long"),
    [("a" * 4_076, False), ("a" * 4_096, True), ("法" * 1_000, False), ("法" * 1_400, True)],
)
def test_the_minimum_is_about_a_quarter_of_the_bytes(text, is_long):
    """1,024 tokens, those around a message included."""
    assert bool(marks(sent(chat(system(text), user())))) is is_long
