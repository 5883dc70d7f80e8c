import pytest

from pxt_assets.api.answer_sizes import AnswerSizes
from pxt_assets.api.request import Endpoint, ParsedAnswer, Request

MB = 2**20


def request(path="/images/generations", answer_bytes=12 * MB, cells=1, **body):
    endpoint = Endpoint(path, parse=lambda *_: ParsedAnswer((), None), answer_bytes=answer_bytes)
    return Request(endpoint, {"model": "m", **body}, cells=cells)


def test_an_unknown_answer_is_as_large_as_its_endpoint_says():
    """For each image that is asked for; all other answers are small until one is not."""
    sizes = AnswerSizes()
    assert sizes.of(request()).expected == 12 * MB
    assert sizes.of(request(n=4)).expected == 48 * MB
    assert sizes.of(request(n=None)).expected == 12 * MB
    assert sizes.of(request("/chat/completions", 0, n=4)).expected < MB


def test_an_answer_tells_how_large_the_next_ones_are():
    """Of the same endpoint and model; those in flight are counted anew."""
    sizes = AnswerSizes()
    for _ in range(3):
        sizes.of(request()).acquire()
    sizes.note(request(), 2 * MB)
    assert sizes.in_flight == pytest.approx(3 * 1.25 * 2 * MB)
    sizes.note(request(), 5 * MB)
    assert sizes.in_flight == 3 * 5 * MB
    for _ in range(3):
        sizes.of(request()).release()
    assert sizes.in_flight == 0


def test_a_large_answer_is_forgotten_bit_by_bit():
    """One of a hundred may be the next as well."""
    sizes = AnswerSizes()
    sizes.note(request(), 10 * MB)
    for _ in range(10):
        sizes.note(request(), MB)
    assert 5 * MB < sizes.of(request()).expected < 12 * MB
    for _ in range(300):
        sizes.note(request(), MB)
    assert sizes.of(request()).expected == pytest.approx(MB, rel=0.01)


def test_of_an_answer_to_many_cells_each_has_its_share():
    """2,048 vectors come in one answer."""
    sizes = AnswerSizes()
    sizes.note(request("/embeddings", 0, cells=2_048), 16 * MB)
    assert sizes.of(request("/embeddings", 0)).expected == pytest.approx(1.25 * 8_192)
