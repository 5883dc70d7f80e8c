import base64
import subprocess
import sys

import numpy as np
import pytest

from pxt_assets.simulator.vectors import hashed_vectors, word_tokens


def vectors_of(response):
    assert response.status_code == 200, response.text
    return np.array([item["embedding"] for item in response.json()["data"]])


@pytest.mark.parametrize(
    ("model", "arguments", "dimensions"),
    [
        ("text-embedding-3-small", {}, 1536),
        ("text-embedding-3-large", {}, 3072),
        ("text-embedding-ada-002", {}, 1536),
        ("text-embedding-3-small", {"dimensions": 256}, 256),
        ("text-embedding-3-large", {"dimensions": 1}, 1),
    ],
)
def test_a_vector_has_the_dimensions_asked_for_and_length_one(simulator, model, arguments, dimensions):
    """The default of the model, or fewer."""
    vectors = vectors_of(simulator.embed(["Some text about bees.", "Bees."], model=model, **arguments))
    assert vectors.shape == (2, dimensions)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_both_encodings_hold_the_same_numbers(simulator):
    """Base64 is little-endian float32, and the decimal numbers are exactly those."""
    floats = vectors_of(simulator.embed("Bees dance.", encoding_format="float"))[0]
    packed = simulator.embed("Bees dance.", encoding_format="base64").json()["data"][0]["embedding"]
    assert np.array_equal(np.frombuffer(base64.b64decode(packed), "<f4"), floats.astype("<f4"))


def test_similar_texts_are_near(simulator):
    """Shared words bring texts together, and so do inflected ones."""
    a, b, c, d = vectors_of(
        simulator.embed(
            [
                "The beekeeper collected honey from the hives.",
                "Beekeepers collect honey from their hives in summer.",
                "Quarterly revenue exceeded the forecasts of analysts.",
                "Revenue in the quarter was above analyst forecasts.",
            ]
        )
    )
    assert a @ b > 0.3
    assert c @ d > 0.3
    assert max(abs(a @ c), abs(b @ d), abs(a @ d)) < 0.2


@pytest.mark.parametrize("text", [" ", "🙂", "量子", "!?", "a", "\x00", "\ud800"])
def test_any_text_has_a_vector(simulator, text):
    """Whatever it is made of, if it is not empty."""
    assert np.linalg.norm(vectors_of(simulator.embed(text))) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2, 3]]])
def test_token_arrays_are_inputs_too(simulator, given):
    """One array of tokens is one input, and each token counts."""
    response = simulator.embed(given)
    assert vectors_of(response).shape == (1, 1536)
    assert response.json()["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_the_order_of_the_inputs_is_kept(simulator):
    """Each vector is that of its own text, whatever else is in the request."""
    texts = [f"Text number {number} of this request" for number in range(600)]
    together = vectors_of(simulator.embed(texts, dimensions=64))
    assert np.array_equal(
        together[[5, 300, 599]],
        vectors_of(simulator.embed([texts[5], texts[300], texts[599]], dimensions=64)),
    )


def test_vectors_are_the_same_in_every_process():
    """No hash of Python's is in them, which differs from process to process."""
    code = (
        "from pxt_assets.simulator.vectors import *; "
        "print(hashed_vectors([word_tokens('Bees dance.')], 16).tobytes().hex())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert hashed_vectors([word_tokens("Bees dance.")], 16).tobytes().hex() == printed.strip()
