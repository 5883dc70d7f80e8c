import base64
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxt_assets.simulator.vectors import hashed_vectors, word_tokens


def vectors(response):
    assert response.status_code == 200, response.text
    return [item["embedding"] for item in response.json()["data"]]


def dot(first, second):
    return sum(a * b for a, b in zip(first, second, strict=True))


def test_similar_texts_lie_nearer_than_others(simulator):
    """By the words they share, and by parts of words where these are inflected."""
    jacket, jackets, invoice = vectors(
        simulator.embed(
            [
                "The zip of my jacket is broken.",
                "Broken zips on both of our jackets!",
                "Please send the invoice to our accountant.",
            ]
        )
    )
    assert dot(jacket, jackets) > 0.3 + dot(jacket, invoice)


def test_long_words_without_spaces_have_neighbours_too(simulator):
    """Scripts that write no spaces are compared by parts of what looks like one word."""
    first, near, far = vectors(
        simulator.embed(
            ["我的夹克拉链坏了需要退货" * 4, "我的夹克拉链坏了需要换货" * 4, "请把发票寄给我们的会计部门" * 4]
        )
    )
    assert dot(first, near) > 0.3 + dot(first, far)


@settings(max_examples=30)
@given(
    texts=st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=5), dimensions=st.integers(1, 64)
)
def test_every_vector_has_length_one(texts, dimensions):
    """Whatever the text, and however few the dimensions that its features fall into."""
    made = hashed_vectors([word_tokens(text) for text in texts], dimensions)
    assert made.shape == (len(texts), dimensions)
    assert (abs((made.astype(float) ** 2).sum(axis=1) - 1) < 1e-5).all()


def test_a_vector_does_not_depend_on_its_neighbours(simulator):
    """Alone or among hundreds, across the blocks that are summed at once."""
    texts = [f"text number {index}" for index in range(600)]
    together = vectors(simulator.embed(texts, dimensions=8))
    for index in (0, 255, 256, 599):
        assert vectors(simulator.embed(texts[index], dimensions=8)) == [together[index]]


@pytest.mark.parametrize(
    ("arguments", "length"),
    [
        ({}, 1536),
        ({"model": "text-embedding-3-large"}, 3072),
        ({"model": "text-embedding-ada-002"}, 1536),
        ({"dimensions": 256}, 256),
        ({"model": "text-embedding-3-large", "dimensions": 3072}, 3072),
        ({"dimensions": 1}, 1),
    ],
)
def test_a_vector_is_as_long_as_asked(simulator, arguments, length):
    """By default as long as the model's are."""
    assert [len(vector) for vector in vectors(simulator.embed("Hello.", **arguments))] == [length]


def test_base64_holds_the_same_numbers_as_floats(simulator):
    """Little-endian float32, to the last bit."""
    texts = ["The zip broke.", "Another text."]
    for packed, floats in zip(
        vectors(simulator.embed(texts, encoding_format="base64")),
        vectors(simulator.embed(texts, encoding_format="float")),
        strict=True,
    ):
        assert list(struct.unpack("<1536f", base64.b64decode(packed))) == floats


def test_inputs_are_answered_in_order(simulator):
    """With their index, equal ones with equal vectors."""
    data = simulator.embed(["a cat", "a dog", "a cat"]).json()["data"]
    assert [item["index"] for item in data] == [0, 1, 2]
    assert data[0]["embedding"] == data[2]["embedding"] != data[1]["embedding"]


@pytest.mark.parametrize(
    ("given", "tokens", "count"),
    [("12345", 2, 1), (["1234", "12345"], 3, 2), ([5, 6, 7], 3, 1), ([[5, 6], [7, 8, 9]], 5, 2)],
)
def test_usage_counts_the_tokens_of_all_inputs(simulator, given, tokens, count):
    """A quarter of the characters of each, or as many as there are in a list of tokens."""
    body = simulator.embed(given).json()
    assert body["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert len(body["data"]) == count


def test_the_largest_requests_are_taken(simulator):
    """2,048 inputs; 8,192 tokens in one; 300,000 tokens in all."""
    assert simulator.embed(["a"] * 2048, dimensions=1).status_code == 200
    assert simulator.embed("x" * 4 * 8192, dimensions=1).status_code == 200
    assert simulator.embed([[1] * 8000] * 37 + [[1] * 4000], dimensions=1).status_code == 200


@pytest.mark.parametrize("text", [" ", "\n", "…", "🎉", "\ud800", "x" * 5000])
def test_every_text_has_a_vector(simulator, text):
    """Blank ones, signs, emoji, broken surrogates and enormous words included."""
    [vector] = vectors(simulator.embed(text))
    assert dot(vector, vector) == pytest.approx(1, abs=1e-5)
