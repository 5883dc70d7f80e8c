"""The calls of tools that a model's answer holds."""

import pytest

from pxt_assets.local.tools import ToolCall, calls_of
from tests.local.tool_answers import chat_answer, responses_answer


class TestCalls:
    def test_calls_of_chat_completions(self):
        """Of the first choice: the others are alternatives to it."""
        answer = chat_answer(("f", "{}"))
        answer["choices"].append(chat_answer(("g", "{}"))["choices"][0])
        assert calls_of(answer) == [ToolCall("f", "{}", "call_0")]

    def test_calls_of_responses(self):
        """Among items of other types."""
        assert calls_of(responses_answer(("f", "{}"), ("g", "[]"))) == [
            ToolCall("f", "{}", "call_0"),
            ToolCall("g", "[]", "call_1"),
        ]

    @pytest.mark.parametrize(
        "answer",
        [
            {"choices": []},
            {"choices": None},
            {"choices": [{"message": None}]},
            {"choices": [{"message": {"tool_calls": None}}]},
            {"choices": [{"message": {"tool_calls": [None, {"type": "custom", "custom": {"name": "x"}}]}}]},
            {"output": None},
            {"output": [None, {"type": "message", "content": []}]},
        ],
    )
    def test_an_answer_may_have_none(self, answer):
        """What is missing is no call."""
        assert calls_of(answer) == []

    @pytest.mark.parametrize(
        ("arguments", "text"), [(None, "{}"), ("", ""), ({"a": "b"}, '{"a":"b"}'), ('{"a": 1}', '{"a": 1}')]
    )
    def test_arguments_are_text(self, arguments, text):
        """Some servers send none, or send them parsed."""
        (call,) = calls_of(responses_answer(("f", arguments)))
        assert call.arguments_text == text

    @pytest.mark.parametrize(
        ("answer", "got"),
        [({"id": 1, "data": []}, "a dict with id, data"), ("text", "str"), (None, "NoneType")],
    )
    def test_what_is_no_answer_is_named(self, answer, got):
        """And what would be one."""
        with pytest.raises(
            ValueError, match=f"^got {got}, allowed: an answer of chat_completions, with choices"
        ):
            calls_of(answer)
