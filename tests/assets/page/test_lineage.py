"""The column graph behind a column, and its picture."""

import xml.etree.ElementTree as ET
from itertools import pairwise
from urllib.parse import unquote

import dagster as dg

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.assets.page.lineage import ColumnNode, graph_markdown, graph_svg
from pxt_assets.functions import chat_completions, embeddings
from tests.runs import ask, materialize, rows_asset

SVG = "{http://www.w3.org/2000/svg}"


def texts(column: ColumnNode) -> list[str]:
    return [str(text.text) for text in ET.fromstring(graph_svg(column)).iter(f"{SVG}text")]


def graph_of(asset: dg.AssetsDefinition, result: dg.ExecuteInProcessResult) -> str:
    """The drawing that the page shows, as SVG."""
    (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key == asset.key]
    image = str(event.materialization.metadata["pxt/made_of"].value)
    return unquote(image.partition("svg+xml,")[2].removesuffix(">)"))


def chain(length: int) -> ColumnNode:
    column = ColumnNode("t.c0")
    for i in range(1, length):
        column = ColumnNode(f"t.c{i}", "path", (column,))
    return column


def test_each_columns_page_shows_all_that_it_is_made_of(
    store: ColumnStore, simulated: OpenAIResource
) -> None:
    """Down to the source columns: through paths, templates and nested calls."""
    upstream = rows_asset({"id": [1], "body": ["a"], "topic": ["b"]})
    table = Table(upstream, key="id")
    table.add_computed_column(response=ask({"b": table.body}["b"]))
    table.add_computed_column(answer=table.response.choices[0].message.content)
    model = "text-embedding-3-small"
    nested = embeddings(
        chat_completions(
            [{"role": "user", "content": table.answer}, {"role": "user", "content": table.topic}],
            model="gpt-6-luna",
        )
        .choices[0]
        .message.content,
        model=model,
    )
    last = table.add_computed_column(embed=nested)
    result = materialize([upstream, *table.assets], store, simulated)
    drawn = ET.fromstring(graph_of(last, result))
    shown = [str(text.text) for text in drawn.iter(f"{SVG}text")]
    assert {"tickets.embed", "tickets.answer", "tickets.response", "tickets.body", "tickets.topic"} <= set(
        shown
    )
    assert "chat_completions gpt-4o-mini" in [text.text for text in drawn.iter(f"{SVG}tspan")]
    assert "tickets.id" not in shown


def test_what_stands_behind_stands_to_the_left() -> None:
    """Every arrow goes from left to right."""
    source, other = ColumnNode("t.a"), ColumnNode("t.b")
    middle = ColumnNode("t.m", "path", (source,))
    root = ET.fromstring(graph_svg(ColumnNode("t.z", "f", (middle, other, source))))
    boxes = {
        str(text.text): float(text.attrib["x"])
        for text in root.iter(f"{SVG}text")
        if "class" not in text.attrib
    }
    assert boxes["t.a"] < boxes["t.m"] < boxes["t.z"]
    assert boxes["t.b"] < boxes["t.z"]


def test_boxes_of_a_layer_do_not_lie_on_each_other() -> None:
    """However many columns one is made of."""
    root = ET.fromstring(graph_svg(ColumnNode("t.z", "f", tuple(ColumnNode(f"t.c{i}") for i in range(12)))))
    tops = sorted(
        (float(box.attrib["x"]), float(box.attrib["y"]), float(box.attrib["height"]))
        for box in root.iter(f"{SVG}rect")
        if "x" in box.attrib
    )
    for (x, y, height), (next_x, next_y, _) in pairwise(tops):
        assert next_x > x or next_y >= y + height


def test_a_large_graph_shows_the_nearest_columns() -> None:
    """And says how many more there are, in a picture of some KB."""
    shown = texts(chain(1_500))
    assert "t.c1499" in shown
    assert "t.c0" not in shown
    assert "and 1460 more columns before these" in shown
    assert len(graph_markdown(chain(1_500))) < 30_000


def test_a_column_that_two_are_made_of_is_drawn_once() -> None:
    """A graph is no tree."""
    source = ColumnNode("t.a")
    assert (
        texts(
            ColumnNode("t.z", "f", (ColumnNode("t.x", "g", (source,)), ColumnNode("t.y", "h", (source,))))
        ).count("t.a")
        == 1
    )


def test_names_are_no_markup() -> None:
    """A column may be named anything."""
    assert texts(ColumnNode("t.z", "f", (ColumnNode('t.<script>"&'),)))[-1] is not None
    assert 't.<script>"&' in texts(ColumnNode("t.z", "f", (ColumnNode('t.<script>"&'),)))
