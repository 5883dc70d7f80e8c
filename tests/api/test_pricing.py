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


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("gpt-audio", Usage(100, 1_000, output_audio_tokens=900), 100 * 2.5e-6 + 100 * 10e-6 + 900 * 64e-6),
        ("gpt-image-1.5", Usage(50, 4_160, output_image_tokens=4_160), 50 * 5e-6 + 4_160 * 32e-6),
        ("gpt-6-luna", Usage(50_000, 100, cache_write_tokens=49_900), 100e-7 + 49_900 * 1.25e-7 + 100 * 5e-7),
        ("gpt-6-luna", Usage(8_000, 200, searches=3), 8_000e-7 + 200 * 5e-7 + 3 * 0.01),
        ("gpt-image-2", Usage(0, 1_000, output_image_tokens=1_000), 1_000 * 30e-6),
    ],
)
def test_what_has_a_price_of_its_own_is_charged_by_it(model, usage, dollars):
    """Sound and images that are made, what is put into a cache, searches; the usual price where there is no other."""
    assert cost_usd(model, usage) == pytest.approx(dollars)
