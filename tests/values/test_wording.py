"""Numbers in sentences."""

import pytest

from pxt_assets.values.wording import counted


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1200, "1,200 rows")]
)
def test_a_count_agrees_with_its_noun(count: int, text: str) -> None:
    """One is one, and thousands are told apart."""
    assert counted(count, "row") == text


def test_a_plural_of_its_own() -> None:
    """Where it is more than the noun and an s."""
    assert counted(1, "query", "queries") == "1 query"
    assert counted(3, "query", "queries") == "3 queries"
