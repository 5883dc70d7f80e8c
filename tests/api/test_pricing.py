import logging

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

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


MILLION = 1e-6


@pytest.mark.parametrize(
    ("model", "processing", "tier", "dollars"),
    [
        ("gpt-6-luna", "standard", None, 1_000 * 0.1 + 1_000 * 0.5),
        ("gpt-6-luna", "standard", "auto", 1_000 * 0.1 + 1_000 * 0.5),
        ("gpt-6-luna", "standard", "flex", 1_000 * 0.05 + 1_000 * 0.25),
        ("gpt-6-luna", "standard", "priority", 1_000 * 0.2 + 1_000 * 1.0),
        ("gpt-6-luna", "standard", "fast", 1_000 * 0.2 + 1_000 * 1.0),
        ("gpt-6-luna", "standard", "ultrafast", None),
        ("gpt-6-luna", "standard", "scale", None),
        ("gpt-6-luna", "batch", None, 1_000 * 0.05 + 1_000 * 0.25),
        ("gpt-6-luna", "batch", "default", 1_000 * 0.05 + 1_000 * 0.25),
        ("gpt-6-luna", "batch", "priority", None),
        ("gpt-6-luna", "background_8h", "default", 0.6 * (1_000 * 0.1 + 1_000 * 0.5)),
        ("gpt-6-luna", "background_2h", None, 0.7 * (1_000 * 0.1 + 1_000 * 0.5)),
        ("gpt-6-luna", "background_2h", "flex", None),
        ("gpt-4o", "standard", "flex", None),
        ("gpt-5-nano", "standard", "priority", None),
        ("gpt-5.4-mini", "standard", "priority", 1_000 * 1.5 + 1_000 * 9),
        ("gpt-3.5-turbo-1106", "batch", None, 1_000 * 1 + 1_000 * 2),
        ("ft:gpt-4o-2024-08-06:acme::x1", "standard", None, 1_000 * 3.75 + 1_000 * 15),
        ("ft:gpt-4o-2024-08-06:acme::x1", "batch", None, None),
    ],
)
def test_the_way_an_answer_came_decides_its_price(model, processing, tier, dollars):
    """The table says what a tier and a batch cost; where it says nothing, the standard price is not theirs."""
    expected = None if dollars is None else pytest.approx(dollars * MILLION)
    assert cost_usd(model, Usage(1_000, 1_000), processing, tier) == expected


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("text-embedding-3-small", Usage(1_000), 0.5 * 1_000 * 0.02),
        ("gpt-4o", Usage(1_000, 0, 400), 600 * 1.25 + 400 * 1.25),
        (
            "gpt-6-luna",
            Usage(3_000, 100, 2_000, cache_write_tokens=900),
            5 + 2_000 * 0.005 + 900 * 0.0625 + 25,
        ),
        ("gpt-6-luna", Usage(300_000, 100), 300_000 * 0.1 + 100 * 0.375),
        ("gpt-5.5-pro", Usage(300_000, 100), None),
        ("gpt-6-luna", Usage(100, 100, searches=2), 100 * 0.05 + 100 * 0.25 + 20_000),
        ("gpt-image-2", Usage(10, 1_000, output_image_tokens=1_000), 10 * 2.5 + 1_000 * 15),
        ("omni-moderation-latest", Usage(1_000), 0.0),
    ],
)
def test_a_batch_costs_half_of_tokens_and_all_of_calls(model, usage, dollars):
    """As the table has it; half where it has nothing; what long contexts cost by batch is not always published."""
    assert cost_usd(model, usage, "batch") == (None if dollars is None else pytest.approx(dollars * MILLION))


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        ("gpt-4o-audio-preview", Usage(100, 1_000, output_audio_tokens=900)),
        ("gpt-4o-mini", Usage(100, 10, audio_tokens=90)),
        ("gpt-4o-mini", Usage(100, 10, output_image_tokens=10)),
        ("text-embedding-3-small", Usage(100, 10)),
        ("gpt-4o-mini-tts", Usage(characters=100)),
        ("gpt-transcribe", Usage(100)),
        ("gpt-6-cyber", Usage(100, 10, searches=1)),
        ("gpt-4o", Usage(100, 10, preview_searches=1)),
        ("gpt-4o-mini", Usage(100, 10, searches=1)),
        ("ft:gpt-4.1-mini-2025-04-14:acme::abc", Usage(100, 10, searches=1)),
        ("gpt-6-luna", Usage(100, 10, unpriced=1)),
        ("gpt-6-luna", Usage(100, 10, 90, cache_write_tokens=20)),
        ("gpt-image-1.5", Usage(1_000, 10, 500, image_tokens=900, mixed_cached_tokens=500)),
        ("gpt-4o-mini-search-preview", Usage(100, 10)),
        ("gpt-5-search-api", Usage(100, 10)),
        ("gpt-oss-120b", Usage(100, 10)),
        ("gpt-35-turbo", Usage(100, 10)),
        ("my-moderation-model", Usage(100)),
        ("gpt-5-nano-europe", Usage(100, 10)),
        ("ft:gpt-4.1-2025-04-14:acme::x1", Usage(100, 10)),
        ("gpt-5.4-2031-01-01", Usage(100, 10)),
        ("openai/gpt-4o", Usage(100, 10)),
    ],
)
def test_what_has_no_price_makes_that_of_its_answer_unknown(model, usage):
    """A unit that the table lacks, a name that it does not know, parts that exceed the whole: none is 0, or guessed."""
    assert cost_usd(model, usage) is None


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("gpt-5-nano-2025-08-07", Usage(1_000), 50),
        ("gpt-4o-mini-audio-preview-2024-12-17", Usage(1_000), 150),
        ("gpt-5.2-20251211", Usage(1_000), 1_750),
        ("gpt-6-luna-2026-09-01", Usage(1_000), 100),
        ("gpt-image-1.5", Usage(1_000, 10, 500, image_tokens=900, cached_image_tokens=400), 320 + 4_925),
        ("gpt-5.4-mini", Usage(1_000, 0, 500, image_tokens=900, mixed_cached_tokens=500), 412.5),
        ("gpt-6-luna", Usage(10, 10, tools_usd=0.5), 500_006),
        ("whisper-1", Usage(seconds=3_600), 360_000),
    ],
)
def test_what_is_known_is_priced(model, usage, dollars):
    """Snapshots by their dates; cached images apart from cached text; what other models made for it."""
    assert cost_usd(model, usage) == pytest.approx(dollars * MILLION)


def test_prices_are_those_of_the_table():
    """Of every model and kind of token that has one there, in each tier."""
    (openai,) = [one for one in get_snapshot().providers if one.id == "openai"]
    usages = [
        ({"input_tokens": 1_000, "output_tokens": 100}, Usage(1_000, 100)),
        ({"input_tokens": 1_000, "cache_read_tokens": 400}, Usage(1_000, 0, 400)),
        ({"input_tokens": 3_000, "cache_write_tokens": 2_000}, Usage(3_000, cache_write_tokens=2_000)),
        ({"input_tokens": 400_000, "output_tokens": 9}, Usage(400_000, 9)),
        (
            {"input_tokens": 10, "web_searches": 3, "storage_searches": 2},
            Usage(10, searches=3, file_searches=2),
        ),
        ({"audio_seconds": 60}, Usage(seconds=60)),
    ]
    compared = 0
    for model in openai.models:
        for tier in (None, "flex", "priority"):
            for reported, usage in usages:
                cost = cost_usd(model.id, usage, tier=tier)
                if cost is None or model.id.startswith(("gpt-image", "chatgpt-image")):
                    continue
                used = genai_prices.Usage(**reported)
                context = None if tier is None else {"service_tier": tier}
                expected = genai_prices.calc_price(
                    used, model.id, provider_id="openai", price_context=context
                )
                assert cost == pytest.approx(float(expected.total_price), rel=1e-9), (model.id, tier, usage)
                compared += 1
    assert compared > 500


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("gpt-6-luna", Usage(1_000, 1_000, decisions=1), 0.0001),
        ("gpt-6-luna-2026-10-01", Usage(1_000, decisions=1), 0.0001),
        ("gpt-6-luna", Usage(1_000, 0, 900, decisions=1), 0.0001),
        ("gpt-6-luna", Usage(2_000, cache_write_tokens=1_500, decisions=1), 0.0002),
        ("gpt-6-luna", Usage(300_000, decisions=1), 0.06),
        ("gpt-6-luna", Usage(0, 10, decisions=1), 0.0),
    ],
)
def test_decisions_cost_what_is_read(model, usage, dollars):
    """At one price, cached or not, twice that of a long input; what is answered is free."""
    assert cost_usd(model, usage) == pytest.approx(dollars)


@pytest.mark.parametrize(("model", "processing"), [("gpt-6-sol", "standard"), ("gpt-6-luna", "batch")])
def test_other_decisions_have_no_price(model, processing):
    """Of models that the API does not answer questions with, and by ways that it does not have."""
    assert cost_usd(model, Usage(1_000, decisions=1), processing) is None
