"""The order of a step's partitions."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_order(partitions: Sequence[str | None], of_partitions: Mapping[str | None, T]) -> dict[str | None, T]:
    """The same entries in the order of the step's partitions, not in that of their finishing; others come last."""
    order = dict.fromkeys([*partitions, *of_partitions])
    return {partition: of_partitions[partition] for partition in order if partition in of_partitions}
