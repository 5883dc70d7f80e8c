"""The preview that the UI shows at once: less than 1,000 characters, and no wider than its narrowest page."""

import base64
import html
import io
import re

import PIL.Image
import pyarrow as pa
import pytest

from pxt_assets.assets.page.heights import line_counts
from pxt_assets.assets.page.preview import preview, preview_metadata
from pxt_assets.values.conversion import to_arrow
from pxt_assets.values.media import Media
from pxt_assets.values.types import Array, Image, Json, String
from tests.assets.page.shown_text import shown, table_cells
from tests.assets.page.test_preview_kinds import chat, stored
from tests.pictures import picture

LONG = "My parcel has been stuck in Hamburg for a week, and nobody answers. " * 8
HOSTILE = {
    "long word": "w" * 5_000,
    "pipes": "|" * 500,
    "markup": "![x](http://evil.test/a.gif) `b` *c* <img src=x> " * 20,
    "lines": "a\n\n| b |\n---\n" * 50,
    "emoji": "👩‍👩‍👧‍👦" * 300,
    "combining": "e\u0301" * 500,
    "right to left": "\u202eevil\u202c سلام " * 40,
    "nothing to see": "\u200b\ufeff\u00ad" * 400,
    "control": "\x00\x1b[31m" * 200,
    "entities": "&lt;&#42;&amp;" * 100,
    "ids": "2026-11-26-" * 100,
}


def short(rows: pa.Table, inputs=None, **options) -> str:
    text = str(preview_metadata(rows, inputs, **options)["pxt/preview"].md_str)
    assert len(text.encode("utf-16-le")) // 2 < 1_000
    return text


def least_width(markdown: str) -> float:
    """Pixels that the table takes at least: its longest unbreakable words, with what each column takes for itself."""
    lines = markdown.splitlines()
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in (lines[0], *lines[2:])]
    widths = [0] * len(rows[0])
    for row in rows:
        for i, text in enumerate(row):
            plain = re.sub(r"!\[.*?\)", "x" * 5, text)
            pieces = re.split(
                r"[\u200b ]", re.sub(r"&#?\w+;", "x", plain).replace("*", "").replace("\u2060", "")
            )
            widths[i] = max(widths[i], *map(len, pieces))
    return 8.4 * sum(widths) + 16 * len(widths) - 8


def pictures_of(markdown: str) -> list[PIL.Image.Image]:
    found = re.findall(r"data:image/webp;base64,([^)]*)\)", markdown)
    return [PIL.Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


class TestWhatFits:
    def test_a_small_table_is_shown_whole(self):
        """Then there is nothing to click for."""
        rows = stored(["yes", "no"], String)
        assert preview_metadata(rows, {"body": ["a", "b"]}) == preview_metadata(rows, {"body": ["a", "b"]})
        said = preview_metadata(rows, {"body": ["a", "b"]})
        assert set(said) == {"pxt/preview"}
        assert said["pxt/preview"].md_str == preview(rows, {"body": ["a", "b"]})

    def test_of_a_larger_one_the_whole_is_one_click_away(self):
        """The UI hides what has 1,000 characters, so it has as many."""
        rows = stored([LONG] * 8, String)
        said = preview_metadata(rows, {"body": [LONG] * 8})
        whole = str(said["pxt/preview_all"].md_str)
        assert len(whole) >= 1_000
        assert len(table_cells(whole)) == 9
        few = preview_metadata(stored(["a rather long answer, of a few dozen letters and more " * 2], String))
        assert len(str(few["pxt/preview_all"].md_str)) == 1_000

    def test_rows_give_way_first(self):
        """Five at most, of as much text as four lines hold."""
        rows = table_cells(short(stored([LONG] * 8, String), {"body": [f"{i}: {LONG}" for i in range(8)]}))
        assert rows[0] == ["id", "body", "c"]
        assert len(rows) - 1 == 5
        assert rows[1] == ["T-1", "0: My parcel has been stuck in…", "My parcel has been stuck in Hamburg…"]

    def test_the_text_stands_beside_its_answer(self):
        """With the end of the key."""
        rows = stored([chat("It is on its way.")] * 2, keys=["2026-11-26/T-1001", "2026-11-26/T-1002"])
        assert table_cells(short(rows, {"body": ["Where is my parcel?", LONG]}))[:2] == [
            ["id", "body", "c"],
            ["…T-1001", "Where is my parcel?", "It is on its way."],
        ]

    def test_paths_are_shortened_to_their_tails(self):
        """As keys, and as inputs."""
        path = "/data/photos/2026-11-26/T-1001-jacket.jpg"
        rows = table_cells(short(stored(["a jacket"], String, keys=[path]), {"file": [path]}))
        assert rows == [["id", "file", "c"], ["…et.jpg", "…/T-1001-jacket.jpg", "a jacket"]]

    def test_of_structured_output_the_key_stays(self):
        """It tells which row it is; all fields are in the whole."""
        values = [{"topic": "delivery", "urgent": True, "reason": LONG, "language": "English"}] * 3
        said = preview_metadata(stored(values), {"body": [LONG] * 3})
        assert table_cells(str(said["pxt/preview"].md_str))[0] == ["id", "body", "topic"]
        wide = short(stored(values), {"body": ["a lamp"] * 3}, partitioned=False)
        assert table_cells(wide)[0] == ["id", "body", "topic", "urgent"]
        assert table_cells(str(said["pxt/preview_all"].md_str))[0] == [
            "id",
            "body",
            "topic",
            "urgent",
            "reason",
            "language",
        ]

    def test_a_table_of_any_columns(self):
        """Of files, say: its first columns."""
        rows = pa.table({f"column_{i}": [f"value {i}"] * 5 for i in range(100)})
        said = preview_metadata(rows)
        assert table_cells(str(said["pxt/preview"].md_str))[0] == ["column_0", "column_1"]
        assert table_cells(str(said["pxt/preview_all"].md_str))[0][-1] == "… 84 more"

    def test_of_a_table_the_longest_texts(self):
        """Beside its key, in the order of its columns."""
        texts = {"subject": ["A broken lamp", "Hi"], "body": [LONG, LONG]}
        plain = {"created_at": ["2026-11-26T10:00:00Z"] * 2, "channel": ["email"] * 2}
        rows = pa.table({"id": ["T-1", "T-2"], "file": ["/data/of/the/tickets.csv"] * 2, **plain, **texts})
        assert table_cells(short(rows, row_key=["id"]))[0] == ["id", "subject", "body"]
        assert table_cells(short(rows))[0][-2:] == ["subject", "body"]
        assert table_cells(short(rows.select(["id", "created_at", "channel"]), row_key=["id"]))[0] == [
            "id",
            "created_at",
            "channel",
        ]

    def test_vectors_that_were_looked_for_are_left_out(self):
        """Nobody reads them; the whole has them."""
        found = [[{"id": "S-1", "score": 0.58, "body": "question"}]] * 2
        said = preview_metadata(stored(found), {"vectors": [[0.1] * 1536, None]})
        assert table_cells(str(said["pxt/preview"].md_str)) == [
            ["id", "c"],
            ["T-1", "question (0.58)"],
            ["T-2", "question (0.58)"],
        ]
        assert table_cells(str(said["pxt/preview_all"].md_str))[0] == ["id", "vectors", "c"]

    def test_vectors_that_a_table_has_too(self):
        """Unless it has nothing else."""
        vectors = to_arrow([[0.1] * 1536] * 2, Array)
        rows = pa.table({"id": ["a", "b"], "vector": vectors})
        assert table_cells(short(rows))[0] == ["id"]
        assert table_cells(short(rows.select(["vector"])))[0] == ["vector"]


class TestHeight:
    @pytest.mark.parametrize("partitioned", [True, False])
    @pytest.mark.parametrize("text", [*HOSTILE.values(), LONG, "word " * 60], ids=[*HOSTILE, "long", "words"])
    def test_no_text_takes_more_than_four_lines(self, text, partitioned):
        """At the width of the narrowest page."""
        rows = stored([text, "x"], String, keys=["2026-11-26-0001", "y" * 300])
        table = short(rows, {"body": [text, None], "other": [text, text]}, partitioned=partitioned)
        lines = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in table.splitlines()]
        columns = [list(column) for column in zip(lines[0], *lines[2:], strict=True)]
        assert columns[0][0] == "id"
        assert max(line_counts(columns, 28 if partitioned else 33)) <= 4

    def test_texts_are_cut_between_words(self):
        """Not in the middle of one, unless it is all there is."""
        rows = table_cells(short(stored([LONG] * 3, String), {"body": [LONG] * 3}))[1:]
        words = set(LONG.split())
        assert all(set(text.removesuffix("…").split()) <= words for row in rows for text in row[1:])

    def test_at_most_two_columns_of_texts_beside_the_key(self):
        """Of three each would be a word wide."""
        said = short(stored(["a b c d e f g h"], String), {one: ["k l m n o p q r"] for one in "xyz"})
        assert table_cells(said)[0] == ["id", "x", "c"]


class TestWidth:
    @pytest.mark.parametrize("partitioned", [True, False])
    @pytest.mark.parametrize("text", [*HOSTILE.values(), LONG], ids=[*HOSTILE, "long"])
    def test_no_text_makes_it_wider_than_the_page(self, text, partitioned):
        """238 pixels are left at 1280, 282 where the asset has no partitions: a wider one would cut off all values."""
        rows = stored([text, "x"], String, keys=["2026-11-26-0001", "y" * 300])
        shown_table = short(rows, {"body": [text, None], "other": [text, text]}, partitioned=partitioned)
        assert least_width(shown_table) <= (238 if partitioned else 282)

    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
    def test_no_text_breaks_the_table(self, text):
        """Each row has its columns, in both; no other markup is there."""
        said = preview_metadata(stored([text, "x"], String), {"body": [text, text]})
        for metadata in said.values():
            markdown = str(metadata.md_str).rstrip()
            assert len({line.count("|") for line in markdown.splitlines()}) == 1
            assert not re.search(r"[\\`_\[\]<>@]|://|[\x00-\x09\x0b-\x1f\u202a-\u202e]", markdown)

    def test_dates_and_ids_do_not_wrap_at_their_hyphens(self):
        """A joiner stands behind each of them."""
        markdown = short(
            stored(["on 2026-11-26"], String, keys=["T-1"]), {"body": ["for A-7 since 2026-11-20"]}
        )
        assert re.search("T&#45;\u20601 .*A&#45;\u20607 .*2026&#45;\u206011&#45;\u206020 ", markdown)

    def test_long_words_break_after_a_sign(self):
        """Or anywhere."""
        markdown = short(stored(["order_status_of_customer", "x" * 20], String), {"body": [LONG] * 2})
        assert "order&#95;\u200bstatus&#95;of&#95;\u200bcustomer" in markdown
        assert "x" * 20 in shown(markdown)
        assert "x" * 20 not in markdown


class TestPictures:
    def test_a_picture_stands_beside_its_caption(self):
        """As small as it must be: two or three rows."""
        photos = [Media(picture(i, size=(640, 480))) for i in range(6)]
        markdown = short(
            stored([f"A photo of a coat, number {i}." for i in range(6)], String), {"image": photos}
        )
        names, *rows = table_cells(markdown)
        assert names == ["id", "image", "c"]
        assert len(rows) >= 2
        assert [row[2] for row in rows] == [f"A photo of a coat, number {i}." for i in range(len(rows))]
        images = pictures_of(markdown)
        assert len(images) == len(rows)
        assert all(image.format == "WEBP" and max(image.size) >= 32 for image in images)

    def test_one_of_much_detail_too(self):
        """Noise is as large as a picture can be."""
        noise = io.BytesIO()
        PIL.Image.effect_noise((96, 96), 100).save(noise, "PNG")
        assert pictures_of(short(stored([Media(noise.getvalue())] * 4, Image), {"body": [LONG] * 4}))

    def test_both_pictures_of_an_edit(self):
        """The one that was edited, and the one that came of it."""
        pair = [Media(picture(1, size=(640, 480)))], {"image": [Media(picture(2, size=(640, 480)))]}
        assert len(pictures_of(short(stored(pair[0], Image), pair[1]))) == 2

    def test_a_broken_one_is_told_by_what_it_is(self):
        """And does not keep others from being drawn."""
        markdown = short(stored(["x", "y"], String), {"image": [Media(picture()[:60]), Media(picture())]})
        assert "png, 0.1 KB" in shown(markdown)
        assert len(pictures_of(markdown)) == 1

    def test_vectors_do_not_fill_it(self):
        """Each is a line."""
        vectors = [[float(i == j) for j in range(1536)] for i in range(8)]
        markdown = short(stored(vectors, Array), {"body": [LONG] * 8})
        assert table_cells(markdown)[1][2] == "1,536 numbers, nearest T-2…"

    def test_many_fields_do_not_either(self):
        """Ten thousand of them."""
        assert len(table_cells(short(stored([{f"f{i}": LONG for i in range(10_000)}], Json)))) == 2


@pytest.mark.parametrize("keys", [["2026-11-26", "2025-11-26"], ["anna@example.com", "bert@example.com"]])
def test_keys_are_whole_where_there_is_room(keys: list[str]) -> None:
    """Rows are told apart by them."""
    nothing = pa.array([None, None], pa.string())
    rows = pa.table(
        {"id": keys, "v": ["a", "b"], "v_errortype": nothing, "v_errormsg": nothing, "_digest": keys}
    )
    shown = preview_metadata(rows, {"body": ["q", "r"]})["pxt/preview"].value
    assert shown is not None
    text = html.unescape(shown).replace("\u2060", "")
    assert all(f"| {key} | " in text for key in keys)
