"""The drawing of the columns behind a column that the UI shows at once."""

import xml.etree.ElementTree as ET
from urllib.parse import unquote

import pytest

from pxt_assets.assets.page.lineage import ColumnNode
from pxt_assets.assets.page.outline import made_of_metadata

SVG = "{http://www.w3.org/2000/svg}"
BODY = ColumnNode("tickets.body")
RESPONSE = ColumnNode("tickets.response", "chat_completions gpt-6-luna", (BODY,))
SUMMARY = ColumnNode("tickets.summary", "path", (RESPONSE,))


def drawn(column: ColumnNode) -> ET.Element:
    markdown = str(made_of_metadata(column)["pxt/made_of"].md_str)
    assert len(markdown.encode("utf-16-le")) // 2 < 1_000
    assert markdown.startswith("![made of](<data:image/svg+xml,%3Csvg ")
    assert markdown.endswith("%3C/svg%3E>)")
    url = markdown.removeprefix("![made of](<").removesuffix(">)")
    assert not set("<>#&\\\n") & set(url)
    return ET.fromstring(unquote(url.partition(",")[2]))


def names(drawing: ET.Element) -> list[str]:
    return [str(text.text) for text in drawing.iter(f"{SVG}text")]


def chain(length: int) -> ColumnNode:
    column = BODY
    for i in range(1, length):
        column = ColumnNode(f"tickets.c{i}", "chat_completions gpt-6-luna", (column,))
    return column


def test_three_columns_are_shown_at_once() -> None:
    """One below the other, each with how it is computed, as wide as the narrowest page."""
    drawing = drawn(SUMMARY)
    assert names(drawing) == ["tickets.body", "tickets.response", "tickets.summary"]
    assert [text.text for text in drawing.iter(f"{SVG}tspan")] == ["chat_completions gpt-6-luna", "path"]
    assert drawing.attrib["width"] == "236"
    assert set(made_of_metadata(SUMMARY)) == {"pxt/made_of"}


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, from 1 to 21, as WCAG measures it."""

    def light(colour: str) -> float:
        parts = [int(sign, 16) / 15 for sign in colour.removeprefix("#")]
        red, green, blue = (
            part / 12.92 if part <= 0.04 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted([light(one), light(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("page", ["#fff", "#123"])
def test_what_stands_on_the_page_itself_is_seen_on_white_and_on_dark(page: str) -> None:
    """Arrows between boxes, and the number of columns that are left out; names stand in boxes of their own ground."""
    drawing = drawn(chain(100))
    style = str(drawing.findtext(f"{SVG}style"))
    assert contrast(style.partition("stroke:")[2][:4], page) >= 3
    left_out = next(drawing.iter(f"{SVG}text"))
    assert contrast(left_out.attrib["fill"], page) >= 3


def test_of_many_the_nearest_are_shown() -> None:
    """With the number of the others, which are one click away."""
    column = chain(100)
    shown = names(drawn(column))
    assert shown[0] == f"{100 - len(shown) + 1} columns before these"
    assert shown[-1] == "tickets.c99"
    assert len(shown) >= 4
    assert len(str(made_of_metadata(column)["pxt/made_of_all"].md_str)) >= 1_000
    assert names(drawn(chain(5)))[0] != "1 columns before these"


@pytest.mark.parametrize(
    "name", ["a%20b#c", "x<y>&\"'", "日本" * 100, "\\)](x", "w" * 500, "a\nb\u202e\x00"], ids=repr
)
def test_names_are_no_markup(name: str) -> None:
    """Neither of Markdown, nor of URLs, nor of SVG."""
    sources = (ColumnNode(name), BODY)
    assert len(names(drawn(ColumnNode("t.z", name, sources)))) == 3


def test_a_source_of_several_is_drawn_once() -> None:
    """An arrow goes to each that is made of it."""
    both = ColumnNode("t.z", "f", (RESPONSE, BODY))
    drawing = drawn(both)
    assert names(drawing) == ["tickets.body", "tickets.response", "t.z"]
    arrows = drawing.findall(f"{SVG}path")[-1].attrib["d"]
    assert arrows.count("l-5-3") + arrows.count("l-3-4") == 3
