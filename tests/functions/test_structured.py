"""Answers in a form: asked for, parsed beside the answer, and typed."""

import enum
import json
from typing import Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field

from pxt_assets import ColumnStore, OpenAIResource, Table, tools
from pxt_assets.errors import DefinitionError
from pxt_assets.functions import chat_completions, responses
from pxt_assets.values.types import Float, Int, Json, String
from tests.functions.structured_answers import APIS, Tickets, Word, call, choice, output, saying, text
from tests.runs import materialize, rows_asset, stored
from tests.scripted_server import Reply, resource_of


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Item(BaseModel):
    name: str
    price: Optional[float] = None  # noqa: UP045
    parts: list["Item"] = []


class Ticket(BaseModel):
    sentiment: Mood
    language: Literal["en", "de"]
    score: int = Field(ge=0, le=10)
    item: Item
    others: list[Item]
    reference: int | str


TICKET = {
    "sentiment": "good",
    "language": "en",
    "score": 7,
    "item": {"name": "tent", "price": 9.5, "parts": [{"name": "pole", "price": None, "parts": []}]},
    "others": [],
    "reference": "A7",
}
SCHEMA = {
    "type": "object",
    "properties": {"word": {"$ref": "#/$defs/text"}},
    "required": ["word"],
    "additionalProperties": False,
    "$defs": {"text": {"type": "string"}},
}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize("api", APIS)
def test_an_answer_is_parsed_beside_the_answer_itself(api: str, tickets: Tickets) -> None:
    """Nested, optional, chosen and of several types: the object stands at `parsed`; a null asks for nothing."""
    _, server = tickets.run(api, saying(api, json.dumps(TICKET)), Ticket, texts=("a", None))
    assert tickets.parsed == [TICKET, None]
    assert tickets.errors == [(None, None)] * 2
    (asked,) = server.asked
    if api == "chat":
        form = asked.body["response_format"]
        assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "Ticket")
        sent = form["json_schema"]
    else:
        sent = asked.body["text"]["format"]
        assert (sent["type"], sent["name"]) == ("json_schema", "Ticket")
    assert sent["strict"] is True
    assert sent["schema"]["required"] == list(TICKET)


@pytest.mark.parametrize("api", APIS)
def test_the_parsed_fields_are_typed(api: str, store: ColumnStore, serve: Any) -> None:
    """A path into them is a column of their type, null where they are."""
    server = serve(lambda asked: saying(api, json.dumps(TICKET)))
    upstream = rows_asset({"id": [1], "body": ["a"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=call(api, table, Ticket))
    paths = {
        "sentiment": (table.c.parsed.sentiment, String, "good"),
        "score": (table.c.parsed.score, Int, 7),
        "price": (table.c.parsed.item.price, Float, 9.5),
        "part": (table.c.parsed.item.parts[0].name, String, "pole"),
        "other": (table.c.parsed.others[0].name, String, None),
        "reference": (table.c.parsed.reference, Json, '"A7"'),
    }
    for name, (path, _, _) in paths.items():
        table.add_computed_column(**{name: path})
    materialize([upstream, *table.assets], store, resource_of(server))
    for name, (_, column_type, value) in paths.items():
        column = stored(store, f"tickets/{name}")[name]
        assert (column.type, column.to_pylist()) == (column_type.arrow(), [value])


@pytest.mark.parametrize("api", APIS)
def test_a_call_can_be_followed_by_a_path(api: str, store: ColumnStore, serve: Any) -> None:
    """Its parsed fields are a column of their own then."""
    server = serve(lambda asked: saying(api, '{"word": "tent"}'))
    upstream = rows_asset({"id": [1], "body": ["a"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=call(api, table, Word).parsed.word)
    materialize([upstream, *table.assets], store, resource_of(server))
    assert stored(store, "tickets/c")["c"].to_pylist() == ["tent"]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("form", [Word, SCHEMA, {"type": "json_object"}], ids=["model", "schema", "object"])
def test_the_simulator_answers_in_the_form(
    form: Any, api: str, store: ColumnStore, simulated: OpenAIResource
) -> None:
    """Of either API, however the form is given."""
    upstream = rows_asset({"id": [1], "body": ["Say a word, as JSON."]})
    table = Table(upstream, key="id")
    asked = call(api, table, form)
    asked._arguments["model"] = "gpt-4o-mini"
    table.add_computed_column(c=asked)
    materialize([upstream, *table.assets], store, simulated)
    (cell,) = stored(store, "tickets/c")["c"].to_pylist()
    parsed = json.loads(cell)["parsed"]
    assert isinstance(parsed, dict)
    if form is not SCHEMA and form is not Word:
        return
    assert list(parsed) == ["word"]


def test_calls_of_tools_instead_of_text_are_no_error(tickets: Tickets) -> None:
    """`parsed` is null; the calls are there to be run."""

    def f() -> int:
        return 1

    tickets.run("chat", choice("tool_calls", content=None, tool_calls=[CALL]), Word, tools=tools(f))
    assert tickets.parsed == [None]
    assert tickets.errors == [(None, None)]
    item = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    tickets.run("responses", Reply({"status": "completed", "output": [item]}), Word, tools=tools(f))
    assert tickets.parsed == [None]
    assert tickets.errors == [(None, None)]


def test_of_several_choices_the_first_is_parsed(tickets: Tickets) -> None:
    """The others are alternatives to it."""
    choices = [
        {"index": i, "finish_reason": "stop", "message": {"content": f'{{"word": "{i}"}}'}} for i in (0, 1)
    ]
    tickets.run("chat", Reply({"choices": choices}), Word, n=2)
    assert tickets.parsed == [{"word": "0"}]


@pytest.mark.parametrize("form", [None, {"type": "text"}], ids=["none", "text"])
@pytest.mark.parametrize("api", APIS)
def test_without_a_form_answers_are_as_they_come(form: Any, api: str, tickets: Tickets) -> None:
    """A truncated answer is one too."""
    reply = choice("length", content="a te") if api == "chat" else output(text("a te"), status="incomplete")
    tickets.run(api, reply, form)
    (cell,) = stored(tickets.store, "tickets/c")["c"].to_pylist()
    assert "parsed" not in json.loads(cell)
    assert tickets.errors == [(None, None)]


def test_the_form_is_a_keyword_or_in_model_kwargs() -> None:
    """Given twice it is refused: which one counts would be a guess."""
    table = Table("tickets")
    messages = [{"role": "user", "content": table.body}]
    both = [
        chat_completions(messages, model="m", response_format=Word),
        chat_completions(messages, model="m", model_kwargs={"response_format": Word}),
        chat_completions.using(response_format=Word)(messages, model="m"),
    ]
    assert {call.parsed.word._type for call in both} == {String}
    assert {call.parsed.word._type for call in (responses(table.body, model="m", text=Word),)} == {String}
    with pytest.raises(
        DefinitionError, match="response_format is given both as a keyword and in model_kwargs"
    ):
        chat_completions(messages, model="m", response_format=Word, model_kwargs={"response_format": Word})


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (list[int], "structured output: got list[int], allowed: a pydantic model class"),
        (Word(word="a"), "structured output: got Word(word='a'), allowed: a pydantic model class"),
        ({"type": "json_schema"}, "comes with a name and a schema"),
        (Table("t").form, "holds a column; it must be the same for all rows"),
    ],
    ids=["hint", "instance", "no schema", "column"],
)
@pytest.mark.parametrize("api", APIS)
def test_what_is_no_form_is_refused_at_once(form: Any, message: str, api: str) -> None:
    """While definitions load."""
    with pytest.raises(DefinitionError) as caught:
        call(api, Table("t"), form)
    assert message in str(caught.value)


@pytest.mark.parametrize("api", APIS)
def test_another_form_asks_anew(api: str, tickets: Tickets) -> None:
    """A model's description or the order of its fields is part of the question."""

    class One(BaseModel):
        a: str
        b: str

    class Other(BaseModel):
        b: str
        a: str

    Other.__name__ = "One"
    counts = []
    for model in (One, One, Other):
        _, server = tickets.run(api, saying(api, '{"a": "1", "b": "2"}'), model)
        counts.append(len(server.asked))
    assert counts == [1, 0, 1]
