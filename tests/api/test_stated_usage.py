"""What answers say of the tokens that they used."""

import pytest

from pxt_assets.api.request import Usage
from pxt_assets.api.stated_usage import stated_usage, usage_of


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(10, 5)),
        ({"input_tokens": 10, "output_tokens": 5}, Usage(10, 5)),
        ({"prompt_tokens": 10.0, "completion_tokens": "5"}, Usage(10, 5)),
        ({"prompt_tokens": -1, "completion_tokens": None}, Usage(0, 0)),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": "many"}, None),
        (None, None),
    ],
)
def test_tokens_are_read_however_they_are_written(usage: object, read: Usage | None) -> None:
    """An odd bill is read as far as it can be."""
    assert usage_of({"usage": usage}) == read


def test_parts_with_a_price_of_their_own_are_read() -> None:
    """Of input and output, and the searches among the items of an answer."""
    answer = {
        "output": [{"type": "web_search_call"}, {"type": "web_search_call"}, {"type": "message"}, None],
        "usage": {
            "input_tokens": 100,
            "output_tokens": 50,
            "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 500},
            "output_tokens_details": {"image_tokens": 20, "audio_tokens": 30},
        },
    }
    assert usage_of(answer) == Usage(
        100,
        50,
        10,
        cache_write_tokens=90,
        output_image_tokens=20,
        output_audio_tokens=30,
        searches=2,
    )


def test_an_answer_without_results_may_state_its_usage() -> None:
    """It is paid for."""
    body = b'{"model": "m-1", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}'
    assert stated_usage(body) == ("m-1", Usage(10, 5), None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"usage": {}}'])
def test_what_states_no_usage_has_none(body: bytes) -> None:
    """A page, or an answer without a bill."""
    assert stated_usage(body) is None


def test_an_answer_to_questions_is_priced_as_such() -> None:
    """Whether it is a result or not, by what was asked."""
    body = b'{"answers": [], "model": "gpt-6-luna", "usage": {"input_tokens": 7, "output_tokens": 1}}'
    assert stated_usage(body, {"questions": []}) == ("gpt-6-luna", Usage(7, 1, decisions=1), None)
