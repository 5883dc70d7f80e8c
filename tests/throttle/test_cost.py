import pytest

from pxt_assets.throttle import RequestSize, request_size
from pxt_assets.throttle.cost import TOKENS_PER_IMAGE, TOKENS_PER_REQUEST


@pytest.mark.parametrize(
    ("characters", "messages", "tokens"), [(660, 0, 165), (660, 1, 166), (661, 2, 168), (94_967, 22, 23_764)]
)
def test_text_is_counted_by_characters(characters, messages, tokens):
    """A token for every four characters begun, one for each message, and a few for the request."""
    assert request_size(characters, messages=messages).text == tokens + TOKENS_PER_REQUEST


@pytest.mark.parametrize(
    ("outputs", "counted"), [(None, 0), (500, 500), (-1, 0), ("many", 0), (float("inf"), 0)]
)
def test_what_an_answer_may_hold_is_counted_where_it_is_limited(outputs, counted):
    """An unset limit counts as nothing, and so does what is none."""
    assert request_size(40, outputs=outputs).outputs == counted


def test_the_least_is_text_and_images():
    """Whether outputs and tools are charged differs between servers, so that they are no part of the least."""
    assert RequestSize(text=10, outputs=500, images=2, tools=90).least_tokens == 10 + 2 * TOKENS_PER_IMAGE
