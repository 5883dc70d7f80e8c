"""Figures as they are stored, and as people read them."""

import pytest

from pxt_assets.api.meter import cost_text
from pxt_assets.assets.page.figures import duration, percent, rounded, rounded_seconds, rounded_share


@pytest.mark.parametrize(
    ("value", "stored"),
    [(0.00026359999999999996, 0.0002636), (0.1 + 0.2, 0.3), (0.0, 0.0), (1234.56789012345, 1234.56789012)],
)
def test_costs_have_the_digits_that_are_known(value, stored):
    """Twelve: their sums are as exact as anybody pays."""
    assert rounded(value) == stored


def test_times_and_shares_are_rounded():
    """What is not nothing is not 0."""
    assert rounded_seconds(1.70123456) == 1.701
    assert rounded_seconds(0.000123456) == 0.00012
    assert rounded_seconds(0.0) == 0.0
    assert rounded_share(0.5512345678) == 0.5512
    assert rounded_share(0.0000123456) == 0.00001235


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (None, "cost unknown"),
        (0.0, "$0.00"),
        (0.00026359999999999996, "$0.000264"),
        (2.6e-8, "$0.000000026"),
        (0.0999, "$0.10"),
        (0.01, "$0.01"),
        (0.5, "$0.50"),
        (0.999, "$1.00"),
        (1234.5, "$1,234.50"),
    ],
)
def test_small_costs_have_three_digits(cost, text):
    """And never none at all."""
    assert cost_text(cost) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.001, "0.01 s"),
        (0.04, "0.04 s"),
        (1.66, "1.7 s"),
        (90, "1 min 30 s"),
        (7_325, "2 h 2 min 5 s"),
    ],
)
def test_durations(seconds, text):
    """Minutes are whole, and seconds what is left."""
    assert duration(seconds) == text


def test_percent():
    """Of a limit: what is not nothing is not 0 %."""
    assert [percent(share) for share in (0, 0.001, 0.55, 1.08)] == ["0 %", "under 1 %", "55 %", "108 %"]
