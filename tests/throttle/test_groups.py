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
    ],
)
def test_snapshots_and_aliases_share_the_pool_of_their_family(model, group):
    """A date or `-latest` at the end of a name does not make a family."""
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
        "-latest",
        "",
    ],
)
def test_other_names_are_families(model):
    """Sizes, versions and numbers that are no date stay part of the name."""
    assert model_group(model) == model
