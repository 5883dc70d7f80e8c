import json

import pytest

from pxt_assets.api.request import Usage
from pxt_assets.errors import CellError
from pxt_assets.functions import chat_completions

ANSWER = {
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"content": "Hi 😀"}}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 8}},
}


def request(**arguments):
    return chat_completions.cell_request(
        {"messages": [{"role": "user", "content": "Hello"}], "model": "m", **arguments}
    )


def parse(answer):
    return chat_completions.endpoint.parse(json.dumps(answer).encode(), {})


class TestBody:
    def test_named_arguments_and_all_others_are_sent(self):
        """`model_kwargs` and further keywords stand beside the named arguments."""
        tools = [{"type": "function", "function": {"name": "f"}}]
        got = request(tools=tools, tool_choice="auto", model_kwargs={"temperature": 0}, seed=7)
        assert got.body == {
            "messages": [{"role": "user", "content": "Hello"}],
            "model": "m",
            "tools": tools,
            "tool_choice": "auto",
            "temperature": 0,
            "seed": 7,
        }
        assert got.endpoint.path == "/chat/completions"
        assert got.model == "m"

    @pytest.mark.parametrize("messages", ["Hello", {"role": "user"}, ["Hello"], 3, [None]])
    def test_messages_are_a_list_of_dicts(self, messages):
        """The message says what was got and what is allowed."""
        with pytest.raises(CellError, match=r"messages: got .*allowed: a list of dicts") as e:
            request(messages=messages)
        assert e.value.errortype == "TypeError"

    def test_model_kwargs_are_a_dict(self):
        """A column of options may hold anything; the row that holds no dict fails."""
        with pytest.raises(CellError, match="model_kwargs: got str 'x', allowed: a dict"):
            request(model_kwargs="x")

    def test_model_kwargs_do_not_override(self):
        """A row's options that hold the model are refused, since which one counts would be a guess."""
        with pytest.raises(CellError, match="model_kwargs: model is an argument of its own"):
            request(model_kwargs={"model": "n"})


class TestAnswer:
    def test_the_value_is_the_whole_answer(self):
        """With its usage and the model that answered."""
        parsed = parse(ANSWER)
        assert parsed.values == [ANSWER]
        assert parsed.usage == Usage(12, 3, 8)
        assert parsed.model == "gpt-4o-mini-2024-07-18"

    @pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None, "prompt_tokens_details": None}])
    def test_usage_may_be_missing(self, usage):
        """Some servers state none, or a part of it: then it is unknown, not zero."""
        assert parse({**ANSWER, "usage": usage}).usage is None

    def test_what_an_answer_says_of_itself_cannot_lose_it(self):
        """Odd figures and an odd model name are left aside; cached tokens are never more than those read."""
        odd = {"prompt_tokens": 10, "completion_tokens": "x", "prompt_tokens_details": {"cached_tokens": 50}}
        parsed = parse({**ANSWER, "usage": odd, "model": ["x"]})
        assert parsed.usage == Usage(10, 0, 10)
        assert parsed.model is None
        assert parse({**ANSWER, "usage": {"prompt_tokens": "abc"}}).usage is None

    @pytest.mark.parametrize("answer", [{}, [], "x", {"choices": None}, {"error": {"message": "no"}}])
    def test_another_body_is_no_answer(self, answer):
        """A proxy may answer 200 with something else."""
        with pytest.raises(ValueError, match="no `choices`"):
            parse(answer)


class TestTokens:
    def test_text_counts_by_four_characters(self):
        """The server counts characters, of every message."""
        long = request(messages=[{"role": "user", "content": "x" * 4_000}])
        two = request(messages=[{"role": "user", "content": "x" * 2_000}] * 2)
        assert long.tokens == pytest.approx(1_000, rel=0.01)
        assert two.tokens == pytest.approx(1_000, rel=0.01)

    def test_every_message_counts_a_little(self):
        """The same text in more messages takes more tokens."""
        one, two = (
            request(messages=[{"role": "user", "content": "x" * (400 // n)}] * n).tokens for n in (1, 2)
        )
        assert one < two < one + 10

    def test_parts_count_and_images_count_flat(self):
        """A picture's text, a URL of megabytes, counts for nothing."""
        text = {"type": "text", "text": "x" * 4_000}
        image = {"type": "image_url", "image_url": {"url": "data:" + "x" * 100_000}}
        only_text = request(messages=[{"role": "user", "content": [text]}])
        with_image = request(messages=[{"role": "user", "content": [text, image]}])
        assert only_text.tokens == pytest.approx(1_000, rel=0.01)
        assert 0 < with_image.tokens - only_text.tokens < 2_000

    def test_messages_without_content_count_as_empty(self):
        """A message that calls a tool has none."""
        with_call = request(messages=[{"role": "assistant", "content": None, "tool_calls": []}])
        assert with_call.tokens == request(messages=[{"role": "assistant", "content": ""}]).tokens


def test_limits_are_those_of_the_headers():
    """No configuration is needed."""
    assert chat_completions.endpoint.sends_limits
    assert chat_completions.endpoint.max_cells == 1
