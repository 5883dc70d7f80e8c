import logging

import pytest

from pxt_assets.api.pricing import cost_usd
from pxt_assets.api.request import Usage


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("gpt-4o-mini", Usage(1_000_000 // 10, 0), 0.015),
        ("gpt-4o-mini", Usage(1_000, 1_000), 0.00015 + 0.0006),
        ("gpt-4o-mini-2024-07-18", Usage(1_000, 1_000), 0.00015 + 0.0006),
        ("text-embedding-3-small", Usage(1_000), 0.00002),
        ("gpt-4o-mini", Usage(), 0.0),
    ],
)
def test_tokens_cost_what_the_table_says(model, usage, dollars):
    """Input and output tokens are charged at their own rates."""
    assert cost_usd(model, usage) == pytest.approx(dollars)


def test_cached_tokens_are_cheaper():
    """Cached tokens are part of the input tokens, at half the price for this model."""
    fresh, cached = cost_usd("gpt-4o-mini", Usage(1_000)), cost_usd("gpt-4o-mini", Usage(1_000, 0, 1_000))
    assert cached == pytest.approx(fresh / 2)
    assert cost_usd("gpt-4o-mini", Usage(1_000, 0, 500)) == pytest.approx(fresh * 0.75)


def test_long_contexts_are_not_priced_linearly():
    """A model may charge a long context at a higher rate for all of it."""
    assert cost_usd("gpt-5.5", Usage(400_000)) > 4 * cost_usd("gpt-5.5", Usage(100_000)) * 1.5


def test_the_rate_of_long_answers_goes_on():
    """Where a model has one rate, the two ways of computing a price agree."""
    assert cost_usd("gpt-4o-mini", Usage(100_001, 10)) == pytest.approx(
        cost_usd("gpt-4o-mini", Usage(100_000, 10)), rel=1e-4
    )


@pytest.mark.parametrize("usage", [Usage(1_000, 10), Usage(500_000)])
def test_an_unknown_model_has_no_price(usage):
    """What is not known is not 0."""
    assert cost_usd("a-model-nobody-sells", usage) is None


def test_an_unknown_model_is_warned_of_once(caplog):
    """A warning a row would hide all else."""
    with caplog.at_level(logging.WARNING, "pxt_assets"):
        for _ in range(3):
            cost_usd("another-model-nobody-sells", Usage(1))
    assert [r.getMessage() for r in caplog.records if "another-model" in r.getMessage()] == [
        "No price is known for the model 'another-model-nobody-sells': its cost is shown as unknown."
    ]
