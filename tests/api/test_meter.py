import pytest

from pxt_assets.api.meter import Meter, spent_text
from pxt_assets.api.request import Usage


def test_answers_add_up():
    """Tokens, cost and latencies are those of all answers."""
    meter = Meter()
    for latency in (1.0, 2.0):
        meter.count_answer("gpt-4o-mini", Usage(1_000, 1_000, 100), latency)
    assert meter.usage == Usage(2_000, 2_000, 200)
    assert meter.cost_usd == pytest.approx(2 * (0.9 * 0.00015 + 0.1 * 0.000075 + 0.0006))
    assert list(meter.latencies) == [1.0, 2.0]


def test_what_has_no_price_is_counted_beside_the_sum():
    """In whatever order it comes; the sum is that of the others, and unknown as long as there are none."""
    meter = Meter()
    meter.count_answer("a-model-nobody-sells", Usage(1), 1.0, rows=3)
    assert (meter.cost_usd, meter.rows_unpriced) == (None, 3)
    meter.count_answer("gpt-4o-mini", Usage(1_000), 1.0, rows=5)
    meter.count_answer("a-model-nobody-sells", Usage(1), None)
    assert (meter.cost_usd, meter.rows_unpriced) == (pytest.approx(0.00015), 4)
    assert len(meter.latencies) == 2


def test_the_text_of_a_cost_names_what_it_leaves_out():
    """A sum that leaves something out would be taken for the cost."""
    priced, unpriced = Meter(cost_usd=0.12), Meter(cost_usd=None, rows_unpriced=1)
    assert spent_text([priced]) == "$0.12"
    assert spent_text([priced, unpriced]) == "$0.12 and 1 row of unknown price"
    assert spent_text([unpriced, Meter()]) == "cost unknown"
    assert spent_text([]) == "$0.00"


def test_an_answer_without_usage_makes_the_cost_unknown():
    """What states no tokens may have cost anything; only a free model's answer surely did not."""
    meter = Meter()
    meter.count_answer("omni-moderation-latest", None, 1.0)
    assert meter.cost_usd == 0.0
    meter.count_answer("gpt-4o-mini", None, 1.0)
    assert meter.cost_usd is None


@pytest.mark.parametrize(("share", "seconds"), [(0.0, 1.0), (0.5, 51.0), (0.95, 96.0), (1.0, 100.0)])
def test_a_latency_is_that_of_a_share_of_the_answers(share, seconds):
    """The order in which answers came plays no part."""
    meter = Meter()
    meter.latencies.extend(float(n) for n in range(100, 0, -1))
    assert meter.latency_quantile(share) == seconds


def test_without_an_answer_there_is_no_latency():
    """Nothing measured is not 0 s."""
    assert Meter().latency_quantile(0.5) is None
