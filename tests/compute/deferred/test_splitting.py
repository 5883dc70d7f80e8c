"""Files of a batch: within every limit, as few as can be, and even."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.compute.deferred.splitting import even_parts


def parts(sizes: list[float], limit: float) -> list[float]:
    ends = even_parts([np.array(sizes, float)], [limit])
    return [sum(sizes[i:j]) for i, j in zip([0, *ends], ends, strict=False)]


def test_50001_requests_are_two_halves_not_50000_and_one() -> None:
    assert sorted(parts([1] * 50_001, 50_000)) == [25_000, 25_001]


def test_what_fits_is_one_part() -> None:
    assert parts([1] * 50_000, 50_000) == [50_000]


def test_nothing_is_no_part() -> None:
    assert parts([], 10) == []


def test_a_thing_larger_than_the_limit_is_alone() -> None:
    assert parts([1, 99, 1], 10) == [1, 99, 1]


def test_the_others_stay_even_beside_a_thing_that_is_larger_than_the_limit() -> None:
    assert parts([99, *[1.0] * 12], 10) == [99, 6, 6]


def test_each_dimension_is_kept_to() -> None:
    requests, size = np.ones(100), np.full(100, 3.0)
    ends = even_parts([requests, size], [60, 100])
    assert ends == [25, 50, 75, 100]


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(10, 200))
def test_no_part_is_over_the_limit_and_none_can_be_saved(sizes: list[int], limit: int) -> None:
    """Parts follow each other, so the fewest are those of filling each to the brim; sums stay below the limit."""
    found = parts([float(size) for size in sizes], limit)
    brim, filled = 0, 0.0
    for size in sizes:
        if brim == 0 or filled + size > limit:
            brim, filled = brim + 1, 0.0
        filled += size
    assert len(found) == brim
    assert sum(found) == sum(sizes)
    ends = even_parts([np.array(sizes, float)], [limit])
    assert all(sum(sizes[i:j]) <= limit or j - i == 1 for i, j in zip([0, *ends], ends, strict=False))
