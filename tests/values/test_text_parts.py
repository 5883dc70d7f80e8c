import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.values.text_parts import refusal_of_parts, text_of_parts

THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
TEXT = {"type": "text", "text": "yes"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("yes", "yes"),
        (None, None),
        ([TEXT], "yes"),
        ([THINKING, TEXT], "yes"),
        ([{"type": "thinking", "thinking": "hm"}, TEXT], "yes"),
        ([{"type": "reasoning", "text": "hm"}, TEXT], "yes"),
        (
            [
                {"type": "text", "text": "y"},
                {"type": "reference", "reference_ids": [1]},
                {"type": "text", "text": "es"},
            ],
            "yes",
        ),
        ([{"type": "output_text", "text": "yes", "annotations": []}], "yes"),
        ([{"text": "yes"}], "yes"),
        ([{"type": "text", "text": {"value": "yes", "annotations": []}}], "yes"),
        ([THINKING, None, "yes"], "yes"),
        ([{"type": "text", "text": None}, TEXT], "yes"),
        (TEXT, "yes"),
        ([{"type": "text", "text": ""}], ""),
        ([THINKING], None),
        ([{"type": "image_url", "image_url": {"url": "https://x"}}], None),
        ([{"type": "refusal", "refusal": "no"}], None),
        ([], None),
        ([None], None),
    ],
)
def test_the_text_of_a_content_is_that_of_its_answer(content, text):
    """Joined, without reasoning, references, images and refusals; null where there is none."""
    assert text_of_parts(content) == text


@pytest.mark.parametrize("content", [3, True, ["yes"], [3]])
def test_what_is_no_list_of_parts_is_unchanged(content):
    """It is the row's error where a text is needed."""
    assert text_of_parts(content) is content


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        ([TEXT, {"type": "refusal", "refusal": "no"}], "no"),
        ([TEXT, None, "x"], None),
        ("no", None),
        (None, None),
    ],
)
def test_a_refusal_may_be_a_part(content, refusal):
    """As in the Responses API."""
    assert refusal_of_parts(content) == refusal


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda v: (
            st.lists(v) | st.dictionaries(st.sampled_from(["type", "text", "value"]), v | st.just("text"))
        ),
    )
)
def test_no_content_raises(content):
    """An odd form is no reason to lose an answer."""
    text_of_parts(content)
    refusal_of_parts(content)
