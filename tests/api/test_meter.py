import pytest

from pxt_assets.api.meter import Meter
from pxt_assets.api.request import Usage


def test_answers_add_up():
    """Tokens, cost and latencies are those of all answers."""
    meter = Meter()
    for latency in (1.0, 2.0):
        meter.count_answer("gpt-4o-mini", Usage(1_000, 1_000, 100), latency)
    assert meter.usage == Usage(2_000, 2_000, 200)
    assert meter.cost_usd == pytest.approx(2 * (0.9 * 0.00015 + 0.1 * 0.000075 + 0.0006))
    assert list(meter.latencies) == [1.0, 2.0]


def test_one_unknown_price_makes_the_sum_unknown():
    """A sum that leaves something out would be taken for the cost."""
    meter = Meter()
    meter.count_answer("a-model-nobody-sells", Usage(1), 1.0)
    meter.count_answer("gpt-4o-mini", Usage(1), 1.0)
    assert meter.cost_usd is None


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
