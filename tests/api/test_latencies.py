import numpy as np
import pytest

from pxt_assets.api.latencies import Latencies


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95, 0.999, 1.0])
def test_of_very_many_a_quantile_is_half_a_per_cent_off_at_most(share):
    """Of a hundred million answers, each latency would take 8 bytes."""
    latencies = Latencies()
    values = np.random.default_rng(7).lognormal(0.3, 1.0, 50_000)
    latencies.extend(values.tolist())
    exact = np.sort(values)[min(len(values) - 1, int(share * len(values)))]
    assert latencies.quantile(share) == pytest.approx(exact, rel=0.006)
    assert len(latencies) == 50_000
    assert len(list(latencies)) < 10_000


def test_what_no_answer_takes_does_no_harm():
    """A clock that stands still, and a day."""
    latencies = Latencies()
    latencies.extend([0.0] * 9_000)
    latencies.extend([86_400.0] * 9_000)
    assert latencies.quantile(0.25) == pytest.approx(0.0, abs=0.001)
    assert latencies.quantile(0.75) == pytest.approx(86_400, rel=0.006)
