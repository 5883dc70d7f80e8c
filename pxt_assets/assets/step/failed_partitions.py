"""The error of a step in which some partitions failed."""

from collections.abc import Mapping

from pxt_assets.compute.partition.column import AFTER_FAILED_ROWS, CellsFailedError
from pxt_assets.errors import PartitionError, RunError
from pxt_assets.values.wording import counted

_MAX_PARTITIONS_NAMED = 5


class PartitionsFailedError(RunError):
    """Some partitions of a run could not be computed; how many, and then why, a line for each of the first ones."""

    def __init__(self, failures: Mapping[str | None, PartitionError], *, stored: int, of: int) -> None:
        named = list(failures.items())[:_MAX_PARTITIONS_NAMED]
        unnamed = len(failures) - len(named)
        names = ", ".join(f"{partition}{_failed_rows_text(error)}" for partition, error in named)
        more = f" and {unnamed:,} more" if unnamed else ""
        reasons = [str(error) for _, error in named]
        lines = [reason.removesuffix(AFTER_FAILED_ROWS).rstrip() for reason in reasons]
        if lines != reasons:
            lines.append(AFTER_FAILED_ROWS)
        first = f"{len(failures):,} of {counted(of, 'partition')} failed: {names}{more}; "
        super().__init__("\n".join([f"{first}{_stored_text(stored, of - len(failures))}.", *lines]))

    def locate(self, where: str) -> None:
        """Leaves the message as it is, which begins with the figures: each reason names its asset and partition."""


def _failed_rows_text(error: PartitionError) -> str:
    return f" ({counted(error.errors.total(), 'row')})" if isinstance(error, CellsFailedError) else ""


def _stored_text(stored: int, others: int) -> str:
    if not stored:
        return "nothing was stored"
    which = f"{stored:,} of the other {others:,}" if stored < others else f"the other {stored:,}"
    if stored == others == 1:
        which = "the other one"
    return f"{which} {'is' if stored == 1 else 'are'} stored"
