import pytest

from pxt_assets.throttle import model_group


@pytest.mark.parametrize(
    ("model", "group"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4-0613", "gpt-4"),
        ("gpt-3.5-turbo-0125", "gpt-3.5-turbo"),
        ("tts-1-1106", "tts-1"),
        ("omni-moderation-latest", "omni-moderation"),
        ("omni-moderation-2024-09-26", "omni-moderation"),
        ("chatgpt-image-latest", "chatgpt-image"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc123", "gpt-4o-mini"),
        ("ft:gpt-4.1:acme:tickets:abc123:ckpt-step-80", "gpt-4.1"),
    ],
)
def test_snapshots_and_aliases_share_the_pool_of_their_family(model, group):
    """Neither a date nor `-latest` at the end of a name makes a family, nor does fine-tuning."""
    assert model_group(model) == group


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o-mini",
        "gpt-4.1",
        "gpt-4-32k",
        "gpt-4-0125-preview",
        "text-embedding-ada-002",
        "text-embedding-3-small",
        "llama-3-8192",
        "whisper-1",
        "llama-3-20009999",
        "-latest",
        "ft:",
        "",
    ],
)
def test_other_names_are_families(model):
    """Sizes, versions and numbers that are no date stay part of the name."""
    assert model_group(model) == model
