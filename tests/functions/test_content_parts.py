"""Answers whose content is a list of parts, as reasoning models of several servers send them."""

import json

import pytest

from pxt_assets import ColumnStore, Table
from pxt_assets.functions import chat_completions
from tests.functions.structured_answers import Tickets, Word, choice
from tests.runs import materialize, metadata, rows_asset, stored, values
from tests.scripted_server import Asked, Reply, resource_of

PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    {"type": "text", "text": '{"word":'},
    {"type": "text", "text": '"tent"}'},
]
TEXT = '{"word":"tent"}'


def test_the_path_gives_the_text_and_the_whole_is_stored(serve, store: ColumnStore) -> None:
    """The thinking is no part of the answer's text, and stays where the server put it."""
    upstream = rows_asset({"id": [1], "body": ["a"]})
    table = Table(upstream, key="id")
    table.add_computed_column(r=chat_completions([{"role": "user", "content": table.body}], model="m"))
    table.add_computed_column(text=table.r.choices[0].message.content)
    table.add_computed_column(thought=table.r.choices[0].message.content[0].thinking[0].text)
    server = serve(lambda _: choice(content=PARTS))
    result = materialize([upstream, *table.assets], store, resource_of(server))
    assert values(store, "tickets/text") == [TEXT]
    assert json.loads(stored(store, "tickets/r")["r"][0].as_py())["choices"][0]["message"]["content"] == PARTS
    assert values(store, "tickets/thought") == ['"hm"']
    assert "tent" in metadata(result, "tickets/r")["pxt/preview"]
    assert "thinking" not in metadata(result, "tickets/r")["pxt/preview"]


def test_a_call_in_a_call_takes_the_text(serve, store: ColumnStore) -> None:
    """The outer request holds the text alone, as though it had been sent as text."""

    def answer(asked: Asked) -> Reply:
        return choice(content=PARTS if asked.text == "a" else "outer")

    upstream = rows_asset({"id": [1], "body": ["a"]})
    table = Table(upstream, key="id")
    inner = chat_completions([{"role": "user", "content": table.body}], model="m")
    asked_with = inner.choices[0].message.content
    table.add_computed_column(c=chat_completions([{"role": "user", "content": asked_with}], model="m"))
    server = serve(answer)
    materialize([upstream, *table.assets], store, resource_of(server))
    assert sorted(server.texts) == ["a", TEXT]


def test_a_response_format_parses_the_text(tickets: Tickets) -> None:
    """The paid answer is kept whole beside it."""
    tickets.run("chat", choice(content=PARTS), Word)
    assert tickets.parsed == [{"word": "tent"}]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ([*PARTS[:1], {"type": "refusal", "refusal": "I will not"}], "RefusalError"),
        (PARTS[:1], "EmptyAnswer"),
        ([], "EmptyAnswer"),
        ([PARTS[0], {"type": "text", "text": "tent"}], "InvalidStructuredOutput"),
        (["tent"], "InvalidAnswer"),
    ],
)
def test_parts_without_the_form_are_errors_of_their_rows(tickets: Tickets, content, error) -> None:
    """As the same answer in one text is."""
    tickets.run("chat", choice(content=content), Word)
    assert tickets.errors[0][0] == error
