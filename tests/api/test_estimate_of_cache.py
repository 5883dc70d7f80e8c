"""Estimates count what the API's cache of prompts will be read for, and written to."""

from typing import Any

import pytest

from pxt_assets import Table
from pxt_assets.api.estimate import Estimator
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.functions import chat_completions

TBL = Table("tickets")
LAW = "the law " * 1_000
PREFIX = 2_003


def requests(count: int, *messages: Any, caches: bool = True, **arguments: Any) -> list[Any]:
    call = chat_completions([*messages], **{"model": "gpt-6-luna", **arguments})
    plan = Plan(call, None, caches=caches)
    return [plan.prepare((f"Ticket {number}",)).request for number in range(count)]


def of_cache(given: list[Any]) -> list[tuple[int, int]]:
    estimator = Estimator()
    used = [estimator.usage(one) for one in given]
    return [(one.cached_tokens, one.cache_write_tokens) for one in used]


SYSTEM, USER = {"role": "system", "content": LAW}, {"role": "user", "content": TBL.body}


def test_the_first_row_writes_the_common_prefix_and_the_others_read_it():
    """As a run will."""
    assert of_cache(requests(3, SYSTEM, USER)) == [(0, PREFIX), (PREFIX, 0), (PREFIX, 0)]


def test_two_prefixes_are_written_once_each():
    """Whatever the order in which they come."""
    other = {"role": "system", "content": f"{LAW}!!!!"}
    mixed = [*requests(2, SYSTEM, USER), *requests(2, other, USER), *requests(1, SYSTEM, USER)]
    assert [written > 0 for _, written in of_cache(mixed)] == [True, False, True, False, False]


def test_without_a_mark_each_long_prompt_is_written_whole():
    """A quarter is added to the price of each."""
    for cached, written in of_cache(requests(3, SYSTEM, USER, caches=False)):
        assert (cached, written > PREFIX) == (0, True)


@pytest.mark.parametrize(
    "given",
    [
        requests(2, {"role": "system", "content": "Be brief."}, USER),
        requests(2, SYSTEM, USER, model="gpt-5.5"),
        requests(2, SYSTEM, USER, prompt_cache_options={"mode": "explicit"}),
    ],
    ids=["short prompts", "an older model", "marks by hand"],
)
def test_nothing_is_written_where_the_api_writes_nothing(given):
    """Short prompts, older models, and whoever marks prompts himself."""
    assert of_cache(given) == [(0, 0)] * 2
