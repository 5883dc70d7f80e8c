"""How long answers may take: what columns, tables and runs can be given, checked while definitions load."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from pxt_assets import Table, udf
from pxt_assets.assets.columns.column_config import ColumnConfig
from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.assets.columns.waiting import within_of_run
from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.expr import Expr
from pxt_assets.functions import (
    chat_completions,
    embeddings,
    image_edits,
    image_generations,
    image_variations,
    moderations,
    responses,
    speech,
    transcriptions,
    translations,
)
from tests.runs import ask

MODEL = "gpt-6-luna"

BY_BATCH: dict[str, Callable[[Expr], Any]] = {
    "chat_completions": ask,
    "responses": lambda body: responses(body, model=MODEL),
    "embeddings": lambda body: embeddings(body, model="text-embedding-3-small"),
    "moderations": moderations,
    "image_generations": lambda body: image_generations(body, model="gpt-image-2"),
    "image_edits": lambda body: image_edits(body, prompt="brighter", model="gpt-image-2"),
}
NOW_ALONE: dict[str, Callable[[Expr], Any]] = {
    "image_variations": lambda body: image_variations(body, model="dall-e-2"),
    "speech": lambda body: speech(body, model="tts-1", voice="alloy"),
    "transcriptions": lambda body: transcriptions(body, model="whisper-1"),
    "translations": lambda body: translations(body, model="whisper-1"),
}


@udf
def shout(text: str) -> str:
    return text.upper()


def spec_of(table: Table, name: str = "c") -> ColumnSpec:
    return table._columns.specs[dg.AssetKey(["tickets", name])]


def with_column(expr: Callable[[Table], Any], **options: Any) -> Table:
    table = Table("tickets", key="id", **options.pop("table", {}))
    table.add_computed_column(c=expr(table), **options)
    return table


@pytest.mark.parametrize("name", BY_BATCH)
def test_what_batches_take_has_24_hours(name: str) -> None:
    """The endpoints that `batches.create` and the documentation list."""
    table = with_column(lambda tbl: BY_BATCH[name](tbl.body), within="24h")
    assert spec_of(table).within == "24h"


@pytest.mark.parametrize("within", ["8h", "2h"])
def test_responses_have_the_windows_of_the_background(within: Any) -> None:
    """No other function has them."""
    assert spec_of(with_column(lambda tbl: responses(tbl.body, model=MODEL), within=within)).within == within


@pytest.mark.parametrize("name", [name for name in BY_BATCH if name != "responses"])
def test_another_function_says_that_it_has_24_hours_alone(name: str) -> None:
    with pytest.raises(
        DefinitionError, match=rf"got within='2h', but {name} has only '24h' \(the Batch API\)"
    ):
        with_column(lambda tbl: BY_BATCH[name](tbl.body), within="2h")


@pytest.mark.parametrize("name", NOW_ALONE)
@pytest.mark.parametrize("within", ["24h", "8h", "2h"])
def test_a_function_that_answers_now_alone_says_so(name: str, within: Any) -> None:
    with pytest.raises(
        DefinitionError, match=f"{name} has no way that takes longer and costs less; leave it out"
    ):
        with_column(lambda tbl: NOW_ALONE[name](tbl.body), within=within)


@pytest.mark.parametrize("within", ["1h", "12h", "24H", 24, 86_400, True, "", "table "])
def test_another_time_is_refused_with_those_that_the_function_has(within: Any) -> None:
    """And no other, which would be the next error."""
    at_once = r"allowed: None or 'now' \(answers come at once\)"
    with pytest.raises(DefinitionError, match=rf"{at_once}, '24h' \(the Batch API\)$"):
        with_column(lambda tbl: ask(tbl.body), within=within)
    with pytest.raises(DefinitionError, match=rf"{at_once}, '2h' .*, '8h' .*, '24h' \(the Batch API\)$"):
        with_column(lambda tbl: responses(tbl.body, model=MODEL), within=within)
    with pytest.raises(DefinitionError, match="speech has no way that takes longer"):
        with_column(lambda tbl: NOW_ALONE["speech"](tbl.body), within=within)


@pytest.mark.parametrize("within", ["12h", "table", 24])
def test_of_a_table_too(within: Any) -> None:
    with pytest.raises(DefinitionError, match=r"^Table\('tickets'\): got within=.*, allowed: None or 'now'"):
        Table("tickets", within=within)


@pytest.mark.parametrize(
    ("expr", "why"),
    [
        (lambda tbl: tbl.body, "asks nothing: it copies what is there"),
        (lambda tbl: {"a": tbl.body}, "asks nothing"),
        (lambda tbl: shout(tbl.body), "shout runs in this process"),
        (lambda tbl: ask(shout(tbl.body)), "give each of them a column of its own"),
        (lambda tbl: ask(ask(tbl.body).choices[0].message.content), "give each of them a column of its own"),
        (
            lambda tbl: [ask(tbl.body), embeddings(tbl.body, model="m")],
            "chat_completions and embeddings are asked",
        ),
        (lambda tbl: image_edits(tbl.body, prompt="x", model="dall-e-2"), "takes images as files alone"),
    ],
)
def test_a_column_that_is_no_single_call_is_refused(expr: Callable[[Table], Any], why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        with_column(expr, within="24h")


@pytest.mark.parametrize(
    "expr",
    [
        lambda tbl: ask(tbl.body).choices[0].message.content,
        lambda tbl: {"answer": ask(tbl.body).choices[0].message.content, "to": tbl.body},
        lambda tbl: [ask(tbl.body)],
        lambda tbl: ask(tbl.body, model=tbl.model),
    ],
)
def test_paths_dicts_and_lists_around_a_call_are_fine(expr: Callable[[Table], Any]) -> None:
    assert spec_of(with_column(expr, within="24h")).within == "24h"


@pytest.mark.parametrize(
    "given", [{"store": False}, {"model_kwargs": {"store": False}}, {"service_tier": "flex"}]
)
def test_what_the_background_needs_must_not_be_forbidden(given: dict[str, Any]) -> None:
    """A batch needs none of it."""
    with pytest.raises(DefinitionError, match="in the background"):
        with_column(lambda tbl: responses(tbl.body, model=MODEL, **given), within="8h")
    with_column(lambda tbl: responses(tbl.body, model=MODEL, **given), within="24h")


@pytest.mark.parametrize("given", [{"background": True}, {"model_kwargs": {"background": True}}])
@pytest.mark.parametrize("function", [responses, responses.using(model="other").using(), chat_completions])
def test_background_is_not_given_by_hand(function: Any, given: dict[str, Any]) -> None:
    """Every row would be sent, and its answer, which is not finished, refused."""
    model = {} if function._fixed else {"model": MODEL}
    argument = "messages" if function is chat_completions else "input"
    with pytest.raises(
        DefinitionError, match=r"got background, but cells hold answers that are finished.*within="
    ):
        function(**{argument: "Hello"}, **model, **given)


def test_to_be_asked_at_once_may_be_said_by_hand() -> None:
    """It is what a column does anyway; leaving it out would name other cells."""
    with_column(lambda tbl: responses(tbl.body, model=MODEL, background=False))


def test_a_tag_tells_which_columns_have_it() -> None:
    """So that they can be selected."""
    (later,) = with_column(lambda tbl: ask(tbl.body), within="24h").assets
    (now,) = with_column(lambda tbl: ask(tbl.body)).assets
    assert [spec.tags.get("pxt/within") for spec in (*later.specs, *now.specs)] == ["24h", None]


def test_the_background_of_a_picture_is_another_thing() -> None:
    """`background` of images says what is behind them."""
    table = with_column(
        lambda tbl: image_generations(tbl.body, model="gpt-image-2", background="transparent")
    )
    assert spec_of(table).within is None


def test_a_table_has_it_for_the_columns_that_can_have_it() -> None:
    """All others are asked now: they are what they were without it."""
    table = Table("tickets", within="24h")
    table.add_computed_column(answer=ask(table.body))
    table.add_computed_column(text=table.answer.choices[0].message.content)
    table.add_computed_column(sound=NOW_ALONE["speech"](table.body))
    table.add_computed_column(loud=shout(table.body))
    table.add_computed_column(nested=ask(shout(table.body)))
    given = {name: spec_of(table, name).within for name in ("answer", "text", "sound", "loud", "nested")}
    assert given == {"answer": "24h", "text": None, "sound": None, "loud": None, "nested": None}


@pytest.mark.parametrize("within", ["8h", "2h"])
def test_a_column_that_has_another_time_than_its_table_must_say_so(within: Any) -> None:
    """It would be asked at once, at the full price, without a word."""
    with pytest.raises(
        DefinitionError,
        match=rf"tickets'\)\.c: got within='{within}' of the table, but chat_completions has only '24h'.*within='24h'",
    ):
        with_column(lambda tbl: ask(tbl.body), table={"within": within})
    with pytest.raises(DefinitionError, match=r"in the background.* within='24h', or within=None"):
        with_column(lambda tbl: responses(tbl.body, model=MODEL, store=False), table={"within": within})
    assert spec_of(with_column(lambda tbl: ask(tbl.body), table={"within": within}, within="24h")).within
    assert (
        spec_of(with_column(lambda tbl: ask(tbl.body), table={"within": within}, within=None)).within is None
    )


@pytest.mark.parametrize("within", ["8h", "2h"])
def test_a_column_that_has_no_time_at_all_is_asked_at_once_in_any_table(within: Any) -> None:
    table = Table("tickets", within=within)
    for name, expr in NOW_ALONE.items():
        table.add_computed_column(**{name: expr(table.body)})
    table.add_computed_column(copy=table.body)
    table.add_computed_column(loud=shout(table.body))
    assert {spec_of(table, name).within for name in [*NOW_ALONE, "copy", "loud"]} == {None}


@pytest.mark.parametrize(("own", "holds"), [(None, None), ("now", None), ("24h", "24h"), ("table", "8h")])
def test_what_a_column_says_itself_wins(own: Any, holds: Any) -> None:
    table = with_column(lambda tbl: responses(tbl.body, model=MODEL), within=own, table={"within": "8h"})
    assert spec_of(table).within == holds


def test_a_table_of_files_has_it_too() -> None:
    table = Table.from_files("tickets", "rows.csv", within="24h")
    table.add_computed_column(c=ask(table.body))
    assert spec_of(table).within == "24h"


def test_a_function_takes_it_as_an_option_of_its_asset() -> None:
    table = Table("tickets")
    moderations.asset(name="c", table=table, input=table.body, within="24h")
    assert spec_of(table).within == "24h"


def test_the_vectors_of_an_index_have_it() -> None:
    """Of the table, unless it says otherwise."""
    embedding = embeddings.using(model="text-embedding-3-small")
    of_table = Table("tickets", key="id", within="24h")
    of_table.add_embedding_index("body", embedding=embedding)
    of_table.add_embedding_index("title", embedding=embedding, within=None)
    own = Table("tickets", key="id")
    own.add_embedding_index("body", embedding=embedding, within="24h")
    assert spec_of(of_table, "body_idx_vectors").within == "24h"
    assert spec_of(of_table, "title_idx_vectors").within is None
    assert spec_of(own, "body_idx_vectors").within == "24h"


def test_it_is_no_part_of_what_names_a_column() -> None:
    """Nothing is stale, and nothing is asked anew, when it changes."""
    now, later = (with_column(lambda tbl: ask(tbl.body), within=within) for within in (None, "24h"))
    assert spec_of(now).code_version == spec_of(later).code_version


@pytest.mark.parametrize(
    ("column", "run", "holds"),
    [(None, "", None), ("24h", "", "24h"), ("24h", "now", None), (None, "8h", "8h"), ("2h", "24h", "24h")],
)
def test_what_a_run_says_wins(column: Any, run: str, holds: Any) -> None:
    spec = spec_of(with_column(lambda tbl: responses(tbl.body, model=MODEL), within=column))
    assert within_of_run(spec, ColumnConfig(within=run)) == holds


def test_a_run_cannot_have_what_the_function_has_not() -> None:
    spec = spec_of(with_column(lambda tbl: ask(tbl.body)))
    with pytest.raises(
        dg.Failure, match=r"tickets/c: run config: got within='8h', but chat_completions has only '24h'"
    ):
        within_of_run(spec, ColumnConfig(within="8h"))


@pytest.mark.parametrize("given", [{"within": "12h"}, {"within": "table"}, {"within": 24}])
def test_a_run_is_told_which_there_are(given: Any) -> None:
    with pytest.raises(dg.Failure, match="tickets/c: run config: within: "):
        ColumnConfig.of_run(given, "tickets/c")
