import html
import re
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.assets.page.preview import escape_markdown, preview
from pxt_assets.functions import embeddings
from tests.runs import ask, materialize, metadata, rows_asset
from tests.scripted_server import ScriptedServer, chat, refusal, resource_of, vectors

DAYS = dg.DailyPartitionsDefinition("2026-03-02", end_date="2026-03-05")


def said_of(
    store: ColumnStore, openai: OpenAIResource, column: Any = None, body: Any = ("a", "b"), **options: Any
) -> dict[str, Any]:
    """The metadata of a column `c` over rows with those bodies, as the values that the UI shows."""
    upstream = rows_asset({"id": range(len(body)), "body": list(body)})
    table = Table(upstream, key="id")
    table.add_computed_column(c=column(table) if column else ask(table.body), **options)
    return metadata(materialize([upstream, *table.assets], store, openai), "tickets/c")


def shown_text(markdown: str) -> str:
    """Without what only tells where a line may be broken."""
    return html.unescape(markdown).replace("\u200b", "").replace("\u2060", "")


def test_every_key_is_there(store: ColumnStore, serve: Any) -> None:
    """A materialization tells rows, requests, tokens, cost, time, limits, the file, its schema and lineage."""
    limits = {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "599",
        "x-ratelimit-reset-requests": "100ms",
    }
    server = serve(lambda asked: type(chat(asked))(chat(asked).body, headers=limits))
    one_by_one = resource_of(server, max_in_flight=1)  # so that the limit is known when the second is sent
    assert set(said_of(store, one_by_one)) == {
        "dagster/row_count",
        "dagster/column_schema",
        "dagster/column_lineage",
        "dagster/uri",
        "dagster/size_bytes",
        "pxt/rows_computed",
        "pxt/rows_reused",
        "pxt/rows_null",
        "pxt/rows_failed",
        "pxt/requests",
        "pxt/retries",
        "pxt/rate_limited",
        "pxt/requests_unknown",
        "pxt/input_tokens",
        "pxt/output_tokens",
        "pxt/cached_tokens",
        "pxt/cost_usd",
        "pxt/rows_unpriced",
        "pxt/seconds",
        "pxt/seconds_throttled",
        "pxt/latency_p50_s",
        "pxt/latency_p95_s",
        "pxt/limit_utilization",
        "pxt/simulated",
        "pxt/answered_by",
        "pxt/preview",
        "pxt/summary",
        "pxt/made_of",
    }


def test_numbers_can_be_plotted(store: ColumnStore, openai: OpenAIResource) -> None:
    """Figures are numbers, so that the UI plots them over partitions."""
    said = said_of(store, openai)
    assert isinstance(said["pxt/cost_usd"], float)
    assert isinstance(said["pxt/requests"], int)
    assert 0 < said["pxt/latency_p50_s"] <= said["pxt/latency_p95_s"] <= said["pxt/seconds"]


def test_tokens_are_those_of_the_answers(store: ColumnStore, serve: Any) -> None:
    """Tokens are added up from the answers' usage, cached ones too."""
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 64}}
    said = said_of(store, resource_of(serve(lambda asked: chat(asked, usage=usage))))
    tokens = [said[f"pxt/{kind}_tokens"] for kind in ("input", "output", "cached")]
    assert tokens == [200, 14, 128]


def test_cost_by_the_price_list(store: ColumnStore, openai: OpenAIResource) -> None:
    """The cost is that of the model's price list: gpt-4o-mini takes $0.15 and $0.60 a million tokens."""
    assert said_of(store, openai)["pxt/cost_usd"] == pytest.approx(2 * (10 * 0.15 + 5 * 0.60) / 1e6)


def test_an_unpriced_model_costs_something_unknown(store: ColumnStore, openai: OpenAIResource) -> None:
    """Of a model without a known price the cost is unknown, never 0."""
    said = said_of(store, openai, lambda t: ask(t.body, model="gpt-unknown-x"))
    assert said["pxt/cost_usd"] == "unknown"
    assert said["pxt/input_tokens"] == 20


def test_reused_rows_of_an_unpriced_model_cost_nothing(store: ColumnStore, openai: OpenAIResource) -> None:
    """A run that asks nothing costs 0, whatever the model."""
    said_of(store, openai, lambda t: ask(t.body, model="gpt-unknown-x"))
    assert said_of(store, openai, lambda t: ask(t.body, model="gpt-unknown-x"))["pxt/cost_usd"] == 0


def test_the_column_schema(store: ColumnStore, serve: Any) -> None:
    """The schema names all columns with their types, Json as json."""
    schema = said_of(store, resource_of(serve()))["dagster/column_schema"]
    assert [(column.name, column.type) for column in schema.columns] == [
        ("id", "int64"),
        ("c", "json"),
        ("c_errortype", "string"),
        ("c_errormsg", "string"),
        ("_digest", "fixed_size_binary[16]"),
    ]


def test_the_column_schema_says_where_columns_come_from(store: ColumnStore, openai: OpenAIResource) -> None:
    """By a tag each, as they are written in code, also of columns that are computed; each says what it is."""
    upstream = rows_asset({"id_errortype": [1], "body": ["a"], "tone": ["polite"]})
    table = Table(upstream, key="id_errortype")
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(e={"tone": table.tone, "said": table.c.choices[0].message.content})
    result = materialize([upstream, *table.assets], store, openai)
    columns = metadata(result, "tickets/e")["dagster/column_schema"].columns
    assert [(column.name, column.tags.get("from")) for column in columns] == [
        ("id_errortype", "tickets.id_errortype"),
        ("e", "tickets.tone, tickets.c"),
        ("e_errortype", None),
        ("e_errormsg", None),
        ("_digest", None),
    ]
    assert [column.description for column in columns[:2]] == [
        "identifies the row",
        "An object with `tone` and `said` for each `tickets.tone` and `c.choices[0].message.content`",
    ]
    assert all(column.description for column in columns)


def test_lineage_to_the_columns_that_are_read(store: ColumnStore, openai: OpenAIResource) -> None:
    """The column comes of all columns that its expression reads, whichever assets hold them; keys of the table."""
    upstream = rows_asset({"id": [1], "body": ["a"], "tone": ["polite"], "other": [5]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(e={"tone": table.tone, "said": table.c.choices[0].message.content})
    result = materialize([upstream, *table.assets], store, openai)
    lineage = metadata(result, "tickets/e")["dagster/column_lineage"]
    sources = {
        name: {(dep.asset_key.to_user_string(), dep.column_name) for dep in deps}
        for name, deps in lineage.deps_by_column.items()
    }
    assert sources == {"id": {("tickets", "id")}, "e": {("tickets", "tone"), ("tickets/c", "c")}}


def test_lineage_of_a_column_of_a_computed_one(store: ColumnStore, openai: OpenAIResource) -> None:
    """A column of a computed column alone takes its keys from there."""
    upstream = rows_asset({"id": [1], "body": ["a"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(d=table.c.choices[0].message.content)
    result = materialize([upstream, *table.assets], store, openai)
    lineage = metadata(result, "tickets/d")["dagster/column_lineage"]
    assert lineage.deps_by_column["id"][0].asset_key == dg.AssetKey(["tickets", "c"])


def test_the_file(store: ColumnStore, openai: OpenAIResource) -> None:
    """Where the file is, and how large."""
    said = said_of(store, openai)
    file = store.file(dg.AssetKey(["tickets", "c"]))
    assert said["dagster/uri"] == file.path.path
    assert said["dagster/size_bytes"] == file.path.stat().st_size


@pytest.mark.filterwarnings("ignore:(?s).*multiple backfill policies")
@pytest.mark.parametrize(("partition", "count"), [(None, "row_count"), ("2026-03-02", "partition_row_count")])
def test_rows_are_counted_for_what_they_are(
    partition: str | None, count: str, store: ColumnStore, openai: OpenAIResource
) -> None:
    """A partition's rows are not passed for the whole asset's."""
    upstream = rows_asset({"id": [1], "body": ["a"]}, partitions_def=DAYS if partition else None)
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    result = materialize([upstream, *table.assets], store, openai, partition=partition)
    for asset in ("tickets", "tickets/c"):
        said = metadata(result, asset, partition)
        assert [name for name in said if name.endswith("row_count")] == [f"dagster/{count}"]


def test_stored_tables_have_metadata_too(store: ColumnStore) -> None:
    """A plain table of the store says where it is, how large, and what columns it has."""
    said = metadata(materialize([rows_asset({"a": [1, 2]})], store), "tickets")
    assert said["dagster/row_count"] == 2
    assert said["dagster/uri"].endswith("tickets/tickets.parquet")
    assert said["dagster/size_bytes"] > 0
    assert [(c.name, c.type) for c in said["dagster/column_schema"].columns] == [("a", "int64")]


HOSTILE = [
    "<script>alert(1)</script>",
    "a | b || c",
    "`code` ```fence```",
    "[click](http://evil.test)",
    "![x](http://evil.test/pixel.png)",
    "http://evil.test and a@evil.test",
    "**bold** _it_ ~~gone~~ # h",
    "&lt;b&gt; &amp;",
    "line\n\n| next | row |\n---",
    "\\| \\",
    "<img src=x onerror=alert(1)>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_no_markup(text: str) -> None:
    """Whatever stands in a cell is shown as it is: no HTML, no link, no image, no further column or row."""
    markdown = preview(pa.table({"c": [text]}))
    (cell,) = re.fullmatch(r"\| c \|\n\| --- \|\n\| (.*) \|", markdown).groups()  # type: ignore[union-attr]
    for sign in "<>`[]!|*_#@\\~":
        assert sign not in cell.replace("&#", "")
    assert "://" not in cell
    assert html.unescape(cell).replace("\u2060", "") == " ".join(text.split())


def test_a_column_name_is_no_markup() -> None:
    """Names of columns are text as well."""
    assert "<b>" not in preview(pa.table({"<b>|": [1]}))
    assert escape_markdown("a|b") == "a&#124;b"


def test_long_text_is_shortened() -> None:
    """A preview shows the beginning of a long text, of a long vector its first numbers."""
    markdown = preview(pa.table({"c": ["x" * 10_000]}))
    assert len(markdown) < 300
    assert "…" in markdown
    vector = preview(pa.table({"c": pa.array([[0.5] * 1536], pa.list_(pa.float32(), 1536))}))
    assert len(vector) < 200
    assert "1,536 numbers" in vector


def test_nulls_and_errors_in_place(store: ColumnStore, serve: Any) -> None:
    """In the preview an error stands where the row's value would, and a null is told apart from text."""
    server: ScriptedServer = serve(
        lambda asked: refusal(400, "too <rude>") if asked.text == "bad" else chat(asked)
    )
    said = said_of(store, resource_of(server), body=["a", "bad", None], on_error="ignore")
    lines = said["pxt/preview"].splitlines()
    assert lines[0] == "| id | body | c |"
    assert lines[2] == "| 0 | a | re&#58; a |"
    assert lines[3].startswith("| 1 | bad | ⚠ **")
    assert "**BadRequestError**: too <rude>" in shown_text(lines[3])
    assert lines[4] == "| 2 | *null* | *null* |"
    assert said["pxt/rows_failed"] == 1
    server.script = chat
    said = said_of(store, resource_of(server), body=["a", "bad", None], on_error="ignore")
    assert said["pxt/preview"].splitlines()[3] == "| 1 | bad | re&#58; bad |"
    assert "pxt/errors" not in said


def test_a_preview_of_reused_rows(store: ColumnStore, openai: OpenAIResource) -> None:
    """A run that computes nothing shows the same preview."""
    first = said_of(store, openai)["pxt/preview"]
    assert said_of(store, openai)["pxt/preview"] == first
    assert "re&#58; a" in first


def test_a_preview_is_of_the_first_rows(store: ColumnStore, openai: OpenAIResource) -> None:
    """A preview shows eight rows at most, the first ones."""
    lines = said_of(store, openai, body=[f"t{i}" for i in range(30)])["pxt/preview"].splitlines()
    assert len(lines) == 2 + 8
    assert lines[2].startswith("| 0 |")


def test_a_preview_without_rows(store: ColumnStore, openai: OpenAIResource) -> None:
    """Of no rows, the preview is the head of the table."""
    said = said_of(store, openai, body=[])
    assert said["pxt/preview"].startswith("| id |")
    assert said["dagster/row_count"] == 0


def test_vectors_in_a_preview(store: ColumnStore, serve: Any) -> None:
    """Short vectors are shown whole."""
    server = serve(vectors)
    said = said_of(store, resource_of(server), lambda t: embeddings(t.body, model="text-embedding-3-small"))
    assert "1&#46;0" in said["pxt/preview"]


def test_simulated_is_marked(store: ColumnStore, simulated: OpenAIResource, serve: Any) -> None:
    """`pxt/simulated` is true for what a simulator answered, false for another server's answers."""
    assert said_of(store, simulated)["pxt/simulated"] is True
    assert said_of(store, resource_of(serve()))["pxt/simulated"] is False
