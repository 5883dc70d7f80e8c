"""A column in one sentence, which reads well with and without Markdown."""

from typing import Any, Literal

import dagster as dg
import pydantic
import pytest

from pxt_assets import Table, predicate, udf
from pxt_assets.assets.page.form_text import form_text
from pxt_assets.assets.page.sentence import code, plain, sentence_of
from pxt_assets.functions import (
    chat_completions,
    decisions,
    embeddings,
    image_edits,
    image_generations,
    image_variations,
    invoke_tools,
    moderations,
    responses,
    speech,
    transcriptions,
    translations,
)
from pxt_assets.local.structured_schema import parse_response_format
from pxt_assets.local.tools import tools
from pxt_assets.types import String

PROMPT = "Say in one English sentence what the customer wants. Answer with that sentence alone."
LONG = "word " * 100


class Triage(pydantic.BaseModel):
    topic: Literal["delivery", "defect", "question"]
    urgent: bool


class Person(pydantic.BaseModel):
    name: str
    age: int | None
    children: "list[Person]"
    triage: Triage
    notes: dict[str, str]


@udf
def words(text: str) -> int:
    """How many words it has.

    Whatever they are.
    """
    return len(text.split())


@udf
def prompt(context: str, question: str) -> str:
    return context + question


def order_status(order: str) -> str:
    return order


TOOLS = tools(order_status)


def ask(content: Any, told: str | None = None, model: Any = "gpt-6-luna", **options: Any) -> Any:
    system = [] if told is None else [{"role": "system", "content": told}]
    return chat_completions([*system, {"role": "user", "content": content}], model=model, **options)


def seen(table: Table) -> Any:
    return [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": table.image}]


@pytest.fixture
def tickets() -> Table:
    table = Table("tickets", key="id")
    table.add_computed_column(triage=ask(table.body, response_format=Triage))
    table.add_computed_column(answer=ask(table.body, tools=TOOLS))
    return table


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (
            lambda t: ask(t.body, PROMPT),
            "gpt-6-luna answers for each `tickets.body`: 'Say in one English sentence what the customer wants…'",
        ),
        (lambda t: ask(t.body), "gpt-6-luna answers each `tickets.body`"),
        (lambda t: ask(t.body, "Sort it"), "gpt-6-luna answers for each `tickets.body`: 'Sort it'"),
        (lambda t: ask(seen(t)), "gpt-6-luna answers for each `tickets.image`: 'What is it?'"),
        (
            lambda t: ask(t.body, LONG),
            f"gpt-6-luna answers for each `tickets.body`: '{LONG[:79]}…'",
        ),
        (
            lambda t: responses(t.body, model="m", instructions="Be brief"),
            "m answers for each `tickets.body`: 'Be brief'",
        ),
        (
            lambda t: ask(t.body, "Sort it", response_format=Triage),
            "gpt-6-luna answers for each `tickets.body` with `Triage(topic: delivery | defect | question, urgent: bool)`: "
            "'Sort it'",
        ),
        (
            lambda t: responses(t.body, model="m", text={"format": Triage}),
            "m answers each `tickets.body` with `Triage(topic: delivery | defect | question, urgent: bool)`",
        ),
        (
            lambda t: ask(t.body, tools=TOOLS),
            "gpt-6-luna answers each `tickets.body` with the tool `order_status`",
        ),
        (lambda t: ask(t.body, model=t.model), "The model in `tickets.model` answers each `tickets.body`"),
        (
            lambda t: ask(prompt(t.triage.parsed.topic, t.body)),
            "gpt-6-luna answers each `prompt(triage.parsed.topic, tickets.body)`",
        ),
        (
            lambda t: ask([{"type": "text", "text": getattr(t, name)} for name in "abcde"]),
            "gpt-6-luna answers each `tickets.a`, `tickets.b`, `tickets.c` and 2 more",
        ),
        (
            lambda t: invoke_tools(TOOLS, t.answer),
            "What the tool `order_status` gives for the calls in each `answer`",
        ),
        (
            lambda t: ask(t.body, tools=t.tools, temperature=t.temperature),
            "gpt-6-luna answers each `tickets.body`",
        ),
        (lambda t: speech("Hello", model="m", voice=t.voice), "m reads each row aloud"),
        (
            lambda t: decisions(t.body, model="m", questions={"a": predicate(t.claim), "b": predicate("?")}),
            "m answers 2 questions about each `tickets.body`: `a` and `b`",
        ),
        (
            lambda t: decisions(t.body, model="m", questions=[predicate("?")]),
            "m answers 1 question about each `tickets.body`",
        ),
        (lambda t: embeddings(t.body, model="te"), "te makes a vector of each `tickets.body`"),
        (
            lambda t: moderations(t.body),
            "omni-moderation-latest looks for harmful content in each `tickets.body`",
        ),
        (lambda t: image_generations(t.body, model="m"), "m draws an image for each `tickets.body`"),
        (
            lambda t: image_edits(t.image, prompt="Make it grey", model="m"),
            "m changes each `tickets.image`: 'Make it grey'",
        ),
        (lambda t: image_variations(t.image, model="m"), "m draws another image like each `tickets.image`"),
        (lambda t: speech(t.body, model="m", voice="v"), "m reads each `tickets.body` aloud"),
        (lambda t: transcriptions(t.sound, model="m"), "m writes down what is said in each `tickets.sound`"),
        (
            lambda t: translations(t.sound, model="m"),
            "m writes down in English what is said in each `tickets.sound`",
        ),
        (lambda t: words(t.body), "`words` of each `tickets.body`: How many words it has"),
        (lambda t: t.triage.parsed.urgent, "The field `parsed.urgent` of `triage`"),
        (lambda t: t.payload["a b"][0], "The field `['a b'][0]` of `tickets.payload`"),
        (lambda t: ask(t.body).choices["*"].index, "The field `choices['*'].index` of `chat_completions(tickets.body)`"),
        (lambda t: t.body, "The same values as `tickets.body`"),
        (lambda t: {"n": words(t.body), "t": t.triage}, "An object with `n` and `t` for each `words(tickets.body)` and `triage`"),
        (lambda t: [t.a], "A list of 1 value for each `tickets.a`"),
    ],
)  # fmt: skip
def test_a_column_is_a_sentence(tickets: Table, column: Any, sentence: str) -> None:
    """It says who does what to what; computed columns of the same table are named without it."""
    assert sentence_of(column(tickets), dg.AssetKey("tickets")) == sentence


def test_the_rows_of_an_index_are_named_by_what_it_searches() -> None:
    """And by how many are looked up."""
    past, asked = Table("past", key="id"), Table("asked", key="id")
    index = past.add_embedding_index(past.body, embedding=embeddings.using(model="m"))
    said = sentence_of(index.search(asked.question, k=1), dg.AssetKey("asked"))
    assert said == "The `past.body` nearest to each `asked.question`"


def test_a_lookup_is_told_as_it_was_asked() -> None:
    """Of a computed column, also of the same table and of vectors that a user made; never the vectors added for it."""
    tickets = Table("tickets", key="id", schema={"body": String})
    tickets.add_computed_column(c=ask(tickets.body))
    tickets.add_computed_column(answer=tickets.c.choices[0].message.content)
    tickets.add_computed_column(vector=embeddings(tickets.body, model="m"))
    index = tickets.add_embedding_index(tickets.body, embedding=embeddings.using(model="m"))
    said = [
        sentence_of(index.search(asked, k=3), dg.AssetKey("tickets"))
        for asked in (tickets.answer, tickets.body, tickets.vector)
    ]
    assert said == [
        "The 3 `tickets.body` nearest to each `answer`",
        "The 3 `tickets.body` nearest to each `tickets.body`",
        "The 3 `tickets.body` nearest to each `vector`",
    ]


def test_a_prompt_is_shown_as_it_is() -> None:
    """Nothing in it is markup or a link, and it is in one line; what needs no escape has none."""
    told = "Be *very*\n[brief](x) `now` ~~no <b> ![i](http://x.y) &lt; _a_ b_c 1 & 2 a@b.c (1) - # | www.x"
    assert plain(told) == (
        r"Be \*very\* \[brief](x) \`now\` \~~no \<b> !\[i](http://"
        "\u2060"
        r"x.y) \&lt; \_a\_ b_c 1 & 2 a"
        "\u2060@b.c (1) - # | www\u2060.x"
    )


def test_code_ends_where_it_should() -> None:
    """Whatever backticks are in it."""
    assert (code("a"), code("a`b"), code("`a``"), code("a\nb")) == ("`a`", "``a`b``", "``` `a`` ```", "`a b`")


def test_a_form_is_cut_where_it_matters_least() -> None:
    """Inner objects become names, before fields are left out; recursion ends."""
    schema = parse_response_format(Person).schema or {}
    assert form_text("Person", schema, characters=100) == (
        "Person(name: str, age: int | null, children: list[Person], triage: Triage, notes: object)"
    )
    assert "triage: Triage(topic: delivery | defect | question, urgent: bool)" in form_text(
        "Person", schema, characters=1_000
    )
    assert len(form_text("Person", schema, characters=50)) == 50


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "F()"),
        ({"type": "object"}, "F()"),
        ({"properties": {"a": {}}}, "F(a: any)"),
        ({"properties": {"a": {"const": 1}, "b": {"enum": ["x", None]}}}, "F(a: 1, b: x | null)"),
        ({"properties": {"a": {"type": ["string", "null"]}}}, "F(a: str | null)"),
        ({"properties": {"a": {"type": "array"}}}, "F(a: list)"),
        ({"properties": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}}}}, "F(a: (b: int))"),
        ({"properties": {"a": True}}, "F(a: any)"),
        ({"$ref": "#/$defs/X", "$defs": {"X": {"properties": {"a": {"type": "number"}}}}}, "F(X(a: float))"),
    ],
)  # fmt: skip
def test_any_schema_is_a_form(schema: Any, text: str) -> None:
    """Also one that says little."""
    assert form_text("F", schema) == text
