"""The limit that a refusal for the queue's tokens names."""

import pytest

from pxt_assets.api.batches import read_queue_limit


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        (
            "Enqueued token limit reached for gpt-4o in organization org-1234567. Limit: 90,000 enqueued tokens. Please "
            "try again once some in_progress batches have been completed.",
            90_000,
        ),
        (
            "Enqueued token limit reached for gpt-4.1-mini-2025-04-14 in project p. Limit: 2000000 enqueued tokens.",
            2_000_000,
        ),
        (
            "Enqueued token limit reached for text-embedding-3-small. Limit: 3.000.000 enqueued tokens.",
            3_000_000,
        ),
        (
            "Enqueued token limit reached for gpt-4o in organization org-9. Limit: 1.35M enqueued tokens",
            1_350_000,
        ),
        ("Enqueued token limit reached for gpt-4o. Limit: 90k enqueued tokens.", 90_000),
        ("The batch has 120,000 tokens, the enqueued token limit is 90,000.", 90_000),
        ("Enqueued tokens 120000 exceed the maximum of 90000 for gpt-4o", 90_000),
        ("Limit: 5_000_000_000 tokens", 5_000_000_000),
        ("Enqueued token limit reached for gpt-4o in organization org-1. Please try again later.", None),
        ("Limit: 0 tokens", None),
        ("", None),
    ],
)
def test_the_tokens_that_it_names(message: str, limit: int | None) -> None:
    """However they are written; a model's name is no number of tokens."""
    assert read_queue_limit(message) == limit
