"""What an asset page says of a column before it was ever materialized."""

import json
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import pydantic
import pytest

import pxt_assets
from pxt_assets import Table, choice, predicate, score, udf
from pxt_assets.functions import (
    chat_completions,
    decisions,
    embeddings,
    image_edits,
    image_generations,
    moderations,
    responses,
    speech,
    transcriptions,
)
from pxt_assets.local.tools import tools

MESSAGES = [{"role": "system", "content": "Be brief.\n```\nno end\n```"}]


@udf
def words(text: str) -> int:
    return len(text.split())


class Triage(pydantic.BaseModel):
    topic: Literal["delivery", "defect", "question"]
    urgent: bool


def order_status(order: str, days: int = 3) -> str:
    return order * days


@pytest.fixture
def table() -> Table:
    return Table("raw/tickets", key="id")


def spec(asset: dg.AssetsDefinition) -> dg.AssetSpec:
    (found,) = asset.specs
    return found


def test_a_description_says_what_is_applied_to_what(table: Table) -> None:
    """The first line in words, which is what a catalog shows; then the prompt, columns in braces."""
    messages = [*MESSAGES, {"role": "user", "content": table.body}]
    said = str(spec(table.add_computed_column(c=chat_completions(messages, model="gpt-6-luna"))).description)
    assert said.splitlines()[0].startswith("gpt-6-luna answers for each `raw.tickets.body`: 'Be brief.")
    assert "\n    system: Be brief.\n" in said
    assert "\n    user: {raw.tickets.body}\n" in said
    assert "\n    model: gpt-6-luna" in said


@pytest.mark.parametrize(
    "prompt", ["a\n```\nb\n\n# c", "a\rb", "a\u2028b", "\n\n  a\n\n\nb\n", "- a\n\n\t- b"]
)
def test_a_prompt_cannot_end_its_code_block(table: Table, prompt: str) -> None:
    """Every line of it is indented, blank ones apart."""
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": table.body}]
    said = str(spec(table.add_computed_column(c=chat_completions(messages, model="m"))).description)
    _, *lines = said.splitlines()
    assert all(line == "" or line.startswith("    ") for line in lines)


def test_long_lines_are_wrapped_between_words(table: Table) -> None:
    """The page cuts off what does not fit; the rest is indented, and a long word, say a URL, stays whole."""
    url = f"https://example.com/{'x' * 90}"
    prompt = f"Say in one English sentence what the customer wants, and answer with that sentence alone, see {url} now.\n- short"
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": table.body}]
    said = str(spec(table.add_computed_column(c=chat_completions(messages, model="m"))).description)
    assert said.splitlines()[2:9] == [
        "    chat_completions",
        "    system: Say in one English sentence what the customer wants, and answer with",
        "        that sentence alone, see",
        f"        {url}",
        "        now.",
        "    - short",
        "    user: {raw.tickets.body}",
    ]


@pytest.mark.parametrize(
    "column",
    [
        lambda t, prompt: responses(t.body, model="m", instructions=prompt),
        lambda t, prompt: image_edits(t.image, prompt=prompt, model="m"),
        lambda t, prompt: speech(t.body, model="m", voice="v", model_kwargs={"instructions": prompt}),
        lambda t, prompt: [t.body, {"told": prompt}],
    ],
)
def test_prompts_of_all_functions_are_wrapped(table: Table, column: Any) -> None:
    """None of their words is lost, and nothing else than whitespace is added."""
    prompt = "word, " * 100
    said = str(spec(table.add_computed_column(c=column(table, prompt))).description)
    _, *lines = said.splitlines()
    assert max(map(len, lines)) <= 80
    assert said.count("word,") >= 100


def test_spaces_and_indentation_within_a_prompt_stay(table: Table) -> None:
    """What is wrapped is indented further than its beginning; what fits is as it was written."""
    prompt = f"Rules:\n  a  b\tc\n  - {'word ' * 20}"
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": table.body}]
    said = str(spec(table.add_computed_column(c=chat_completions(messages, model="m"))).description)
    assert "\n      a  b\tc\n      - word word" in said
    assert "\n          word word" in said


def test_a_lookup_shows_what_was_asked(table: Table) -> None:
    """The column that is looked up and the options, instead of the column of its vectors."""
    index = table.add_embedding_index(table.body, embedding=embeddings.using(model="m"))
    column = index.search(table.question, k=3, where="id > 1", columns=["body"])
    said = str(spec(table.add_computed_column(c=column)).description)
    assert said.splitlines() == [
        "The 3 `raw.tickets.body` nearest to each `raw.tickets.question`.",
        "",
        "    embedding_lookup",
        "    index: raw/tickets/body_idx",
        "    query: {raw.tickets.question}",
        "    k: 3",
        "    where: id > 1",
        "    columns: [",
        '      "body"',
        "    ]",
    ]


@pytest.mark.parametrize(
    "column",
    [
        lambda t: chat_completions([{"role": "user", "content": t.body}], model="m"),
        lambda t: t.payload.a,
        lambda t: {"a": t.body},
        lambda t: words(t.body),
        lambda t: chat_completions([*MESSAGES, {"role": "user", "content": t.body}], model="m"),
        lambda t: t.body,
    ],
)
def test_the_first_line_is_a_whole_sentence(table: Table, column: Any) -> None:
    """A catalog shows what follows it in the same line."""
    first = str(spec(table.add_computed_column(c=column(table))).description).splitlines()[0]
    assert first.endswith(".")


def test_what_the_user_says_comes_first(table: Table) -> None:
    """The rest follows."""
    said = str(
        spec(table.add_computed_column(c=words(table.body), description="How long it is.")).description
    )
    assert said.startswith("How long it is.\n\n`words` of each `raw.tickets.body`.\n\n    words\n")


def test_a_path_is_shown_as_it_is_written(table: Table) -> None:
    """It is all there is to say."""
    table.add_computed_column(c=chat_completions([{"role": "user", "content": table.body}], model="m"))
    said = str(spec(table.add_computed_column(d=table.c.choices[0].message.content)).description)
    assert said == "The field `choices[0].message.content` of `c`."


def folded(column: dg.AssetSpec, name: str) -> Any:
    """The JSON in metadata that the UI shows after a click: Markdown of a thousand characters or more."""
    text = column.metadata[name].value
    assert len(text) >= 1_000
    return json.loads(text.removeprefix("```json\n").rstrip().removesuffix("\n```"))


def test_a_form_is_folded_away_as_json(table: Table) -> None:
    """The description has it in a line; its JSON schema is metadata, which the UI opens on a click."""
    messages = [{"role": "user", "content": table.body}]
    column = spec(table.add_computed_column(c=chat_completions(messages, model="m", response_format=Triage)))
    form = "Triage(topic: delivery | defect | question, urgent: bool)"
    assert f"\n    response_format: {form}" in str(column.description)
    assert "properties" not in str(column.description)
    assert "```" not in str(column.description)  # catalogs would show a fence as it is
    assert folded(column, "pxt/json_schema")["Triage"]["properties"]["urgent"]["type"] == "boolean"


def test_tools_are_shown_as_they_are_called(table: Table) -> None:
    """By name and arguments; their JSON schemas are metadata."""
    messages = [{"role": "user", "content": table.body}]
    column = spec(
        table.add_computed_column(c=chat_completions(messages, model="m", tools=tools(order_status)))
    )
    assert "\n    tools: order_status(order: str, days: int)" in str(column.description)
    assert set(folded(column, "pxt/tools")) == {"order_status"}


@pytest.mark.parametrize(
    ("column", "kinds"),
    [
        (
            lambda t: chat_completions([{"role": "user", "content": t.body}], model="m"),
            {"openai", "text", "parquet"},
        ),
        (lambda t: embeddings(t.body, model="m"), {"openai", "embedding", "parquet"}),
        (lambda t: moderations(t.body), {"openai", "text", "parquet"}),
        (lambda t: image_generations(t.body, model="m"), {"openai", "image", "parquet"}),
        (lambda t: speech(t.body, model="m", voice="v"), {"openai", "audio", "parquet"}),
        (lambda t: transcriptions(t.sound, model="m"), {"openai", "audio", "parquet"}),
        (lambda t: words(t.body), {"python", "parquet"}),
        (lambda t: t.body, {"parquet"}),
    ],
)
def test_kinds_tell_who_computes_what(table: Table, column: Any, kinds: set[str]) -> None:
    """They are the chips of the asset graph."""
    assert spec(table.add_computed_column(c=column(table))).kinds == kinds


def test_tags_name_function_and_model(table: Table) -> None:
    """So that assets can be searched for by them; a user's own count before these."""
    column = embeddings(table.body, model="ft:gpt 4/o")
    tags = spec(table.add_computed_column(c=column, tags={"pxt/udf": "mine", "team": "a"})).tags
    assert (tags["pxt/udf"], tags["pxt/model"], tags["team"]) == ("mine", "ft_gpt_4_o", "a")


def test_the_users_own_line_is_referred_to(table: Table) -> None:
    """Not one inside this package."""
    asset = table.add_computed_column(c=words(table.body))
    (line,) = spec(asset).metadata["dagster/code_references"].code_references
    assert Path(line.file_path) == Path(__file__)
    assert (
        "add_computed_column(c=words(table.body))"
        in Path(__file__).read_text().splitlines()[line.line_number - 1]
    )


def test_a_folder_beside_the_package_is_the_users_own(table: Table) -> None:
    """Though its name begins as the package's does."""
    file = f"{Path(pxt_assets.__file__).parent}_pipelines/tables.py"
    code = compile("\n\nasset = table.add_computed_column(c=words(table.body))", file, "exec")
    names = {"table": table, "words": words}
    exec(code, names)
    (line,) = spec(names["asset"]).metadata["dagster/code_references"].code_references
    assert (line.file_path, line.line_number) == (file, 3)


def test_the_storage_box_names_the_table(table: Table) -> None:
    """As lineage tools know it."""
    metadata = spec(table.add_computed_column(c=words(table.body))).metadata
    assert metadata["dagster/table_name"] == "raw.tickets.c"
    assert metadata["dagster/storage_kind"] == "parquet"


def test_a_description_changes_no_code_version() -> None:
    """Nothing becomes stale by it."""
    one, other = Table("t"), Table("t")
    assert (
        spec(one.add_computed_column(c=words(one.body))).code_version
        == spec(other.add_computed_column(c=words(other.body), description="x", tags={"a": "b"})).code_version
    )


def test_questions_are_a_line_each(table: Table) -> None:
    """As a pydantic model is: all of them are seen without a click."""
    asked = {
        "urgent": predicate(["Bought: ", table.product, ". Urgent."]),
        "topic": choice("What about?", {"delivery": "parcels, dates", True: ""}),
        "anger": score("How angry?", ["calm", "furious"]),
    }
    said = str(
        spec(table.add_computed_column(c=decisions(table.body, model="m", questions=asked))).description
    )
    assert '\n      urgent: predicate "Bought: {raw.tickets.product}. Urgent."\n' in said
    assert '\n      topic: choice "What about?" delivery (parcels, dates) | true\n' in said
    assert '\n      anger: score "How angry?" calm | furious' in said
