import json

import pytest

from pxt_assets.errors import CellError
from pxt_assets.functions import moderations

ANSWER = {"id": "modr-1", "model": "omni-moderation-latest", "results": [{"flagged": False}]}


def parse(answer):
    return moderations.endpoint.parse(json.dumps(answer).encode(), {})


@pytest.mark.parametrize("arguments", [{}, {"model": None}])
def test_the_default_model_is_the_documented_one(arguments):
    """Not given, or null in a row, it is the default."""
    got = moderations.cell_request({"input": "x", **arguments})
    assert got.body == {"input": "x", "model": "omni-moderation-latest"}
    assert got.model == "omni-moderation-latest"


def test_other_keywords_are_sent():
    """They are the API's."""
    assert moderations.cell_request({"input": "x", "model": "m", "user": "u"}).body == {
        "input": "x",
        "model": "m",
        "user": "u",
    }


@pytest.mark.parametrize("text", [3, ["a"], None])
def test_other_than_text_is_the_rows_error(text):
    """The message says what was got and what is allowed."""
    with pytest.raises(CellError, match=r"moderations: input: got .*allowed: text or null"):
        moderations.cell_request({"input": text})


def test_the_value_is_the_whole_answer():
    """With the model that answered."""
    assert parse(ANSWER).values == [ANSWER]
    assert parse(ANSWER).model == "omni-moderation-latest"


@pytest.mark.parametrize("answer", [{}, [], {"results": {}}])
def test_another_body_is_no_answer(answer):
    """A proxy may answer 200 with something else."""
    with pytest.raises(ValueError, match="no `results`"):
        parse(answer)


def test_it_is_paced_at_a_configured_rate():
    """The endpoint sends no rate-limit headers."""
    assert not moderations.endpoint.sends_limits
