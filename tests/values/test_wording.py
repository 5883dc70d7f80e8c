"""Numbers in sentences."""

import pytest

from pxt_assets.values.wording import counted, dollars


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


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (0.5, "$0.50"),
        (12, "$12.00"),
        (0, "$0.00"),
        (0.0001, "$0.0001"),
        (0.00010440000000000001, "$0.0001044"),
        (4.275e-05, "$0.00004275"),
        (1e-9, "$0.000000001"),
        (1.2345678, "$1.23457"),
    ],
)
def test_dollars_are_exact(cost: float, text: str) -> None:
    """As far as anybody pays them, without an exponent."""
    assert dollars(cost) == text
