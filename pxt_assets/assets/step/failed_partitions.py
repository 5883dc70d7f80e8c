"""The error of a step in which some partitions failed."""

from collections.abc import Mapping

from pxt_assets.errors import PartitionError, RunError

_MAX_PARTITIONS_NAMED = 3


class PartitionsFailedError(RunError):
    """Some partitions of a run could not be computed; the others are stored."""

    def __init__(self, failures: Mapping[str | None, PartitionError], *, stored: int, of: int) -> None:
        names = [str(partition) for partition in failures]
        more = f" and {len(names) - _MAX_PARTITIONS_NAMED} more" if len(names) > _MAX_PARTITIONS_NAMED else ""
        first = next(iter(failures.values()))
        super().__init__(
            f"{first}\n{len(names)} of {of} partitions failed: {', '.join(names[:_MAX_PARTITIONS_NAMED])}{more}; "
            f"stored: {stored}."
        )
