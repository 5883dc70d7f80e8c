"""The error of a run in which partitions failed."""

from collections import Counter

import pytest

from pxt_assets.assets.step.failed_partitions import PartitionsFailedError
from pxt_assets.compute.partition.column import AFTER_FAILED_ROWS, CellsFailedError
from pxt_assets.errors import PartitionError


@pytest.mark.parametrize(
    ("stored", "of", "end"),
    [
        (8, 10, "the other 8 are stored"),
        (1, 3, "the other one is stored"),
        (3, 10, "3 of the other 8 are stored"),
        (1, 10, "1 of the other 8 is stored"),
        (0, 10, "nothing was stored"),
        (0, 2, "nothing was stored"),
    ],
)
def test_it_begins_with_how_many_failed(stored: int, of: int, end: str) -> None:
    """Which they are, with their failed rows, and what is stored of the others; then why, and last what to do."""
    rows = CellsFailedError(f"t/c[a]: 3 of 9 rows failed: no. {AFTER_FAILED_ROWS}", [], Counter(no=3), 9)
    failures = {"a": rows, "b": PartitionError("t/c[b]: not there")}
    error = PartitionsFailedError(failures, stored=stored, of=of)
    error.locate("t/c")
    assert str(error).splitlines() == [
        f"2 of {of} partitions failed: a (3 rows), b; {end}.",
        "t/c[a]: 3 of 9 rows failed: no.",
        "t/c[b]: not there",
        AFTER_FAILED_ROWS,
    ]


def test_the_first_five_are_named() -> None:
    """Of many the others are counted."""
    failures = {str(i): PartitionError(f"t/c[{i}]: not there") for i in range(1_200)}
    first, *reasons = str(PartitionsFailedError(failures, stored=300, of=1_500)).splitlines()
    assert first == (
        "1,200 of 1,500 partitions failed: 0, 1, 2, 3, 4 and 1,195 more; the other 300 are stored."
    )
    assert reasons == [f"t/c[{i}]: not there" for i in range(5)]
