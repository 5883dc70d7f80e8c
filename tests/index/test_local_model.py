"""A real model that runs in this process, without any API: its vectors are indexed and searched like the API's."""

from functools import cache
from pathlib import Path

import numpy as np
import wordllama

from pxt_assets import udf
from pxt_assets.values.types import Array
from tests.index.shop import Shop, texts

TICKETS = {
    1: "My parcel has not been delivered yet.",
    2: "Please send my money back.",
    3: "The tent leaks when it rains.",
    4: "I cannot log into my account.",
    5: "The zipper of the sleeping bag is broken.",
}


@cache
def model() -> wordllama.WordLlamaInference:
    """The model that comes with the package."""
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)


@udf(batch_size=64)
def embed(texts: list[str]) -> list[Array[(256,), np.float32]]:
    """A vector for each text."""
    return list(model().embed(texts))


def test_what_means_the_same_is_near(shop: Shop):
    """Texts are found by what they mean, without a word in common."""
    shop.rows[None] = texts(TICKETS)
    tbl = shop.table()
    tbl.add_embedding_index(tbl.body, embedding=embed)
    shop.run(tbl)
    queries = {"where is the shipment?": 1, "I want a refund": 2, "forgot the password to sign in": 4}
    found = tbl.body.similarity(list(queries), k=1, indexes=shop.indexes)
    assert found["id"].to_pylist() == list(queries.values())
    assert all(0.1 < score < 1 for score in found["score"].to_pylist())
