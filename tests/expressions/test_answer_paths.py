"""Paths into answers whose form is known."""

from typing import Any

import dagster as dg
import pytest

from pxt_assets import Table
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.expressions.path_steps import follow_path
from pxt_assets.expressions.walk import type_of
from pxt_assets.functions import chat_completions, moderations
from pxt_assets.values.types import Json, String


@pytest.fixture
def tbl() -> Table:
    return Table("tickets", key="id")


def chat(tbl: Table) -> Any:
    return chat_completions([{"role": "user", "content": tbl.body}], model="m")


PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    {"type": "text", "text": "yes"},
]


def chat_path(path: Any, message: Any) -> tuple[Any, Any]:
    """What a path of a chat answer gives, and its type."""
    answer = {"choices": [{"message": message}]}
    return follow_path(answer, path._steps, path._base._shape), path._type


class TestContentOfParts:
    @pytest.mark.parametrize(
        ("path", "value", "column_type"),
        [
            (lambda c: c.choices[0].message.content, "yes", String),
            (lambda c: c["choices"][-1]["message"]["content"], "yes", String),
            (lambda c: c.choices["*"].message.content, ["yes"], Json),
            (lambda c: c.choices[:].message["content"], ["yes"], Json),
            (lambda c: c.choices[0].message, {"content": PARTS}, Json),
            (lambda c: c.choices[0].message.content[1], PARTS[1], Json),
            (lambda c: c.choices[0].message.content[1].text, "yes", String),
            (lambda c: c.choices[0].message.content[0].thinking[0].text, "hm", Json),
            (lambda c: c.choices[0].message.content["*"], PARTS, Json),
            (lambda c: c.choices[0].message.content["*"].type, ["thinking", "text"], Json),
        ],
    )
    def test_a_path_to_the_content_gives_its_text_and_one_beyond_its_parts(
        self, tbl, path, value, column_type
    ):
        """Whatever was stored, also by an earlier version: the text is made where it is read."""
        assert chat_path(path(chat(tbl)), {"content": PARTS}) == (value, column_type)

    def test_a_column_of_a_part_of_the_answer_knows_it_too(self, tbl):
        """A path may be taken in steps, of a map too."""
        column_type, shape = type_of(chat(tbl).choices["*"])
        column = ColumnRef(dg.AssetKey("t"), dg.AssetKey("t"), "c", column_type, shape)
        assert (
            follow_path([{"message": {"content": PARTS}}], (0, "message", "content"), column._shape) == "yes"
        )
        assert column[0].message.content._type is String

    def test_a_list_elsewhere_stays_a_list(self, tbl):
        """Only the content of an answer's message is known to be text: a table's own messages are not touched."""
        assert follow_path({"message": {"content": PARTS}}, ("message", "content")) == PARTS


class TestSpelling:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (lambda m: m.results[0].categories.harassment_threatening, True),
            (lambda m: m.results[0].categories["harassment/threatening"], True),
            (lambda m: m.results["*"].categories.harassment_threatening, [True]),
            (lambda m: m.results[0].categories["self-harm"], False),
            (lambda m: m.results[0].categories.self_harm, False),
            (lambda m: m.results[0].categories.self_harm_intent, None),
            (lambda m: m.results[0].category_scores.self_harm_intent, 0.5),
            (lambda m: m.results[0].category_applied_input_types.self_harm_intent[0], "text"),
            (lambda m: m.results[0].categories.harassment_threatened, None),
            (lambda m: m.results[0].categories.constructor, None),
        ],
    )
    def test_a_category_is_found_under_either_name(self, tbl, path, value):
        """That of the API, and that of its Python client, which Pixeltable stores; an unknown one is null."""
        answer = {
            "results": [
                {
                    "categories": {"harassment": False, "harassment/threatening": True, "self-harm": False},
                    "category_scores": {"self-harm/intent": 0.5},
                    "category_applied_input_types": {"self-harm/intent": ["text"]},
                }
            ]
        }
        got = path(moderations(tbl.body))
        assert follow_path(answer, got._steps, got._base._shape) == value

    def test_a_server_may_answer_with_the_clients_names(self, tbl):
        """Then the API's name finds them."""
        path = moderations(tbl.body).results[0].categories["harassment/threatening"]
        answer = {"results": [{"categories": {"harassment_threatening": True}}]}
        assert follow_path(answer, path._steps, path._base._shape) is True

    def test_keys_elsewhere_are_exact(self, tbl):
        """`a_b` and `a-b` are two keys of another value."""
        assert follow_path({"a-b": 1}, ("a_b",)) is None
