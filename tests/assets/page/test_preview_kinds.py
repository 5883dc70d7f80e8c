"""How a preview shows each kind of value: exactly."""

import json

import pyarrow as pa
import pytest

from pxt_assets.assets.page.preview import preview
from pxt_assets.assets.page.preview_columns import PreviewColumn
from pxt_assets.errors import CellError
from pxt_assets.values.conversion import to_arrow
from pxt_assets.values.media import Media
from pxt_assets.values.types import Array, Audio, Bool, ColumnType, Float, Image, Json, String
from tests.assets.page.shown_text import table_cells
from tests.pictures import picture, sound


def stored(values, column_type: type[ColumnType] = Json, errors=None, keys=None) -> pa.Table:
    """A column `c` as it is stored, with keys `T-1`, `T-2`, ...; `errors` are (type, message) or None."""
    errors = errors or [None] * len(values)
    return pa.table(
        {
            "id": pa.array(keys or [f"T-{i + 1}" for i in range(len(values))]),
            "c": to_arrow(values, column_type),
            "c_errortype": pa.array([e and e[0] for e in errors], pa.string()),
            "c_errormsg": pa.array([e and e[1] for e in errors], pa.string()),
            "_digest": pa.nulls(len(values), pa.binary(16)),
        }
    )


def cell(value, column_type: type[ColumnType] = Json) -> str:
    """How one value is shown."""
    names, row = table_cells(preview(stored([value], column_type)))
    assert names == ["id", "c"]
    return row[1]


def chat(content=None, n=1, **message) -> dict:
    choices = [
        {"index": i, "message": {"role": "assistant", "content": content, **message}} for i in range(n)
    ]
    return {"id": "x", "object": "chat.completion", "choices": choices, "usage": {}}


def tool_calls(**given) -> dict:
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, arguments in given.items()
    ]
    return chat(None, tool_calls=calls)


class TestAnswers:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (chat("Yes."), "Yes."),
            (chat("Yes.", n=3), "Yes. (and 2 other answers)"),
            (chat([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}]), "yes"),
            (chat(None, refusal="I cannot"), "I cannot"),
            (chat(""), "*null*"),
            ({"output_text": "Yes.", "output": []}, "Yes."),
            (
                {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Yes."}]}]},
                "Yes.",
            ),
            ({"text": "spoken", "usage": {"seconds": 3}}, "spoken"),
        ],
    )
    def test_an_answer_is_its_text(self, value, text):
        """Of either API, and of a transcription."""
        assert cell(value) == text

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (tool_calls(order_status='{"order": "947"}'), 'order_status(order="947")'),
            (
                tool_calls(weather='{"city": "Ulm", "days": 2, "long": true}', now="{}"),
                'weather(city="Ulm", days=2, long=true); now()',
            ),
            (tool_calls(f="not JSON"), "f(not JSON)"),
            (tool_calls(f=json.dumps({"a": "x" * 60})), f'f(a="{"x" * 40}…")'),
            (tool_calls(f='{"a": {"b": [1, 2]}}'), 'f(a={"b": [1, 2]})'),
            (
                {
                    "output": [
                        {"type": "reasoning", "summary": []},
                        {"type": "function_call", "name": "order_status", "arguments": '{"order": "947"}'},
                    ]
                },
                'order_status(order="947")',
            ),
            (
                chat(None, tool_calls=[{"type": "custom", "custom": {"name": "sql", "input": "select 1"}}]),
                "sql(select 1)",
            ),
        ],
    )
    def test_a_tool_call_is_shown_as_code(self, value, text):
        """With its arguments, long ones shortened."""
        assert cell(value) == text

    def test_text_and_calls(self):
        """Both, where an answer has both."""
        value = tool_calls(f="{}")
        value["choices"][0]["message"]["content"] = "One moment."
        assert cell(value) == "One moment.; f()"


class TestStructuredOutput:
    def test_a_column_for_each_field(self):
        """In the order of the fields; what a row lacks is empty, what is null is null."""
        values = [
            {**chat("…"), "parsed": {"topic": "delivery", "urgent": True, "score": 0.25}},
            {**chat("…"), "parsed": {"topic": None, "urgent": False}},
            None,
        ]
        assert table_cells(preview(stored(values))) == [
            ["id", "topic", "urgent", "score"],
            ["T-1", "delivery", "true", "0.25"],
            ["T-2", "*null*", "false", ""],
            ["T-3", "*null*", "", ""],
        ]

    def test_an_error_stands_in_the_first(self):
        """With its message."""
        values = [{"a": 1, "b": [1, 2]}, None]
        rows = table_cells(preview(stored(values, errors=[None, ("ValueError", "no such row")])))
        assert rows == [["id", "a", "b"], ["T-1", "1", "1, 2"], ["T-2", "⚠ **ValueError**: no such row", ""]]

    def test_a_template_and_the_results_of_tools_too(self):
        """They are objects as well."""
        rows = table_cells(preview(stored([{"order_status": ["sent on 2026-11-25"], "weather": None}])))
        assert rows == [["id", "order_status", "weather"], ["T-1", "sent on 2026-11-25", "*null*"]]

    def test_a_field_named_as_an_input_is_told_apart(self):
        """By the name of its column."""
        rows = table_cells(preview(stored([{"id": 5, "body": "x"}]), {"body": ["y"]}))
        assert rows == [["id", "body", "c.id", "c.body"], ["T-1", "y", "5", "x"]]

    def test_values_of_other_forms_have_one_column(self):
        """Where not all are objects."""
        assert table_cells(preview(stored([{"a": 1}, "text"])))[1:] == [["T-1", "a: 1"], ["T-2", "text"]]

    def test_of_many_fields_the_first(self):
        """And how many more there are."""
        rows = table_cells(preview(stored([{f"f{i}": i for i in range(10_000)}])))
        assert rows[0] == ["id", *(f"f{i}" for i in range(15)), "… 9,984 more"]

    def test_deep_values_are_shown_as_json(self):
        """However deep: beyond what Python parses the row is shown without it."""
        assert cell([{"a": {"b": []}}, {}]) == '[{"a": {"b": []}}, {}]'
        table = stored([{}])
        deep = pa.array(["[" * 100_000 + "]" * 100_000], pa.string())
        table = table.set_column(1, "c", pa.ExtensionArray.from_storage(Json.arrow(), deep))
        assert table_cells(preview(table)) == [["id", "c"], ["T-1", "…"]]


class TestOtherKinds:
    def test_found_rows_with_their_scores(self):
        """The text that was searched, or the key where the index keeps no text."""
        found = [
            {"id": "S-1", "score": 0.5789, "body": "question"},
            {"id": "S-2", "score": -0.1, "body": "other"},
        ]
        assert cell(found) == "question (0.58) · other (-0.10)"
        assert cell([{"id": "S-1", "score": 0.001}]) == "S-1 (under 0.01)"
        assert cell([]) == "[]"

    def test_a_moderation_is_its_topmost_category(self):
        """Bold where it is flagged."""
        scores = {"hate": 0.01, "harassment/threatening": 0.917, "violence": 0.3}
        result = {"flagged": False, "categories": {}, "category_scores": scores}
        assert cell({"id": "m", "results": [result]}) == "harassment/threatening 0.92"
        flagged = {"id": "m", "results": [{**result, "flagged": True}]}
        assert cell(flagged) == "**harassment/threatening 0.92 flagged**"
        assert cell({"results": [{"flagged": True, "category_scores": {}}]}) == "**flagged**"

    def test_a_decision_is_its_choice_and_how_sure_it_is(self):
        """By its own name, or among an answer's parsed values."""
        assert cell({"choice": "delivery", "probability": 0.971}) == "delivery (97\u00a0%)"
        assert cell({**chat("…"), "parsed": {"choice": True, "probability": 1}}) == "true (100\u00a0%)"

    def test_a_vector_is_its_length_its_norm_and_the_row_nearest_to_it(self):
        """Among the rows of the preview; that is said."""
        vectors = [[1.0, *[0.0] * 8], [0.6, 0.8, *[0.0] * 7], [0.0] * 9, None, [0.0, 2.0, *[0.0] * 7]]
        rows = table_cells(preview(stored(vectors, Array)))
        assert [row[1] for row in rows[1:]] == [
            "9 numbers, norm 1.00, nearest of these 5: T-2 (0.60)",
            "9 numbers, norm 1.00, nearest of these 5: T-5 (0.80)",
            "9 numbers, norm 0.00",
            "*null*",
            "9 numbers, norm 2.00, nearest of these 5: T-2 (0.80)",
        ]
        assert cell([0.5] * 1536, Array) == "1,536 numbers, norm 19.60"
        assert cell([0.1, 0.2], Array) == "0.1, 0.2"

    def test_a_sound_is_told_by_its_duration(self):
        """There is no player: the UI takes links and pictures alone."""
        assert cell(Media(sound(90, rate=100)), Audio) == "wav, 1 min 30 s, 17.6 KB"

    @pytest.mark.parametrize(
        ("value", "column_type", "text"),
        [
            (0.00026359999999999996, Float, "0.0002636"),
            (0.1 + 0.2, Float, "0.3"),
            (1e-12, Float, "1e-12"),
            (12.0, Float, "12.0"),
            (True, Bool, "true"),
            ("two\nlines", String, "two lines"),
            (["a", None, 2, False], Json, "a, null, 2, false"),
        ],
    )
    def test_plain_values(self, value, column_type, text):
        """Without the digits that binary fractions add."""
        assert cell(value, column_type) == text


class TestInputs:
    def test_stand_before_what_they_led_to(self):
        """Texts, values of columns that were computed, and images."""
        inputs = {"body": ["Where is it?"], "seen": [chat("a coat")], "photo": [Media(picture())]}
        names, row = table_cells(preview(stored(["soon"], String), inputs))
        assert names == ["id", "body", "seen", "photo", "c"]
        assert [*row[:3], row[4]] == ["T-1", "Where is it?", "a coat", "soon"]
        assert row[3].startswith("![png](data:image/jpeg;base64,")

    def test_keys_are_not_repeated(self):
        """A column that is made of the key shows it once."""
        assert table_cells(preview(stored(["x"], String), {"id": ["T-1"]}))[0] == ["id", "c"]

    def test_nor_is_what_the_value_shows_itself(self):
        """As the answer of which a path takes the text."""
        assert table_cells(preview(stored(["x", "y"], String), {"r": [chat("x"), chat("y")]}))[0] == [
            "id",
            "c",
        ]
        assert table_cells(preview(stored(["x", "y"], String), {"r": ["x", "z"]}))[0] == ["id", "r", "c"]

    def test_what_could_not_be_read_is_told(self):
        """A file that is missing, one that was not read for its size, and what is no row's."""
        error = CellError("FileNotFoundError", "'a.png' cannot be read")
        rows = table_cells(preview(stored(["x", "y"], String), {"image": [error, ...], "odd": ["x"]}))
        assert rows == [
            ["id", "image", "c"],
            ["T-1", "⚠ **FileNotFoundError**: 'a.png' cannot be read", "x"],
            ["T-2", "…", "y"],
        ]

    def test_an_image_at_a_url_is_not_fetched(self):
        """Whoever looks at the page would be seen by its server."""
        column = PreviewColumn("x", [])
        assert not column.has_pictures
        text = preview(stored(["x"], String), {"image": [Media(None, url="https://h/a.png?sig=s3cr3t")]})
        assert "image at a URL" in text
        assert "s3cr3t" not in text

    def test_images_of_a_result_stand_beside_their_source(self):
        """Both are drawn."""
        text = preview(stored([Media(picture(1))], Image), {"image": [Media(picture(2))]})
        assert text.count("![png](data:image/jpeg;base64,") == 2
