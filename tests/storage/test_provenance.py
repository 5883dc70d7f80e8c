"""Records of where cells come from: of several requests summed up, of one request shared out."""

import pytest

from pxt_assets.api.request import Usage
from pxt_assets.storage.provenance import Provenance, split_usage

SNAPSHOT = "gpt-4o-mini-2024-07-18"


def test_nothing_and_an_answer_is_the_answer() -> None:
    """Before the first request nothing is unknown yet: the sum is what the first one took."""
    one = Provenance("req-1", SNAPSHOT, 10, 5, 0, 7.0, 0.1, 0.5, 1)
    assert Provenance() + one == one


def test_a_sum_with_something_unknown_is_unknown() -> None:
    """A cost that leaves out one of two requests would be taken for the cost of both."""
    one = Provenance("req-1", SNAPSHOT, 10, 5, 0, 7.0, 0.1, 0.5, 1)
    both = one + Provenance("req-2", None, None, None, None, 7.0, None, 0.5, 2)
    assert (both.cost_usd, both.input_tokens, both.attempts, both.latency_s) == (None, None, 3, 1.0)
    assert (both.request_id, both.model) == ("req-1 req-2", SNAPSHOT)


@pytest.mark.parametrize("estimates", [[1.0, 2.0, 3.0], [0.0, 0.0], [0.1] * 7, [5.0]])
def test_shares_add_up(estimates: list[float]) -> None:
    """Whatever the cells' sizes are, no token of a request is lost or counted twice."""
    shares = split_usage(Usage(100, 7, 33), 0.5, estimates)
    used = [usage for usage, _ in shares if usage is not None]
    totals = [sum(getattr(u, f"{name}_tokens") for u in used) for name in ("input", "output", "cached")]
    assert totals == [100, 7, 33]
    assert sum(cost for _, cost in shares if cost is not None) == pytest.approx(0.5)


def test_what_is_unknown_is_unknown_for_all_that_share_it() -> None:
    """A request without usage or price gives its cells none."""
    assert split_usage(None, None, [1.0, 2.0]) == [(None, None), (None, None)]
