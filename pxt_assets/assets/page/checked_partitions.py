"""Which partitions a check's result speaks of, in words: those of the run, and the others that are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pxt_assets.values.wording import counted

if TYPE_CHECKING:
    from pxt_assets.compute.partition.findings import Findings

Partition = str | None
PartitionFindings = Mapping[Partition, "Findings"]
"""The findings in the cells of each partition; None is the key of an asset without partitions."""

_MAX_NAMED = 3


@dataclass(frozen=True)
class Checked:
    """What a check looks at: all that is stored, whichever partitions the run was of."""

    of_run: PartitionFindings
    """Of the run's partitions, those that are stored."""
    others: PartitionFindings = field(default_factory=dict)
    """Further partitions that are stored."""
    run_partitions: tuple[Partition, ...] = (None,)
    """The partitions of the run, stored or not."""
    unread: int = 0
    """Further stored partitions that were not looked at."""
    unstored: frozenset[Partition] = frozenset()
    """Those of `of_run` that are not stored, since rows failed: which ones is all that is known of them."""
    failed_unstored: int = 0
    """Rows that failed in this run, in partitions that are stored as they were before."""

    def __bool__(self) -> bool:
        return bool(self.of_run or self.others)

    @property
    def all(self) -> dict[Partition, Findings]:
        """The findings in all that is stored, those of the run's partitions first."""
        return {**self.of_run, **self.others}

    @property
    def is_stored(self) -> bool:
        """Whether anything is stored."""
        return bool(self.others) or any(one not in self.unstored for one in self.of_run)

    @property
    def has_partitions(self) -> bool:
        """Whether the asset has any."""
        return self.run_partitions != (None,) or any(one is not None for one in self.all)


def result_text(
    checked: Checked, of_run: str, found: tuple[str, str], counts: Mapping[Partition, int]
) -> str:
    """The description of a result: "partition b: no row failed; of the 4 other stored partitions 1 has …: a (1)".

    `of_run` is said of the run's partitions, `found` is what is looked for ("failed row", "failed rows"), and `counts` says how many rows
    it was found in, by partition.
    """
    parts = [of_run]
    if checked.has_partitions:
        parts = [f"{_run_partitions_text(checked)}{f': {of_run}' if checked.of_run else ''}"]
        if checked.others:
            parts.append(_others_text({one: counts.get(one, 0) for one in checked.others}, found))
        if checked.unread:
            parts.append(f"{counted(checked.unread, 'further one was', 'further ones were')} not looked at")
    return "; ".join(parts)


def _run_partitions_text(checked: Checked) -> str:
    if len(checked.run_partitions) == 1 and checked.run_partitions != (None,):
        return f"partition {checked.run_partitions[0]}{'' if checked.of_run else ' is not stored'}"
    stored, of = len(checked.of_run), len(checked.run_partitions)
    if stored == of:
        return counted(of, "partition")
    return f"{stored:,} of {counted(of, 'partition')}{'' if stored else ' stored'}"


def _others_text(counts: Mapping[Partition, int], found: tuple[str, str]) -> str:
    one, several = found
    names = [f"{partition} ({count:,})" for partition, count in counts.items() if count]
    if len(counts) == 1:
        (partition,) = counts
        return f"the other stored partition, {partition}, has {counted(counts[partition], one, several) if counts[partition] else f'no {several}'}"
    more = f" and {len(names) - _MAX_NAMED:,} more" if len(names) > _MAX_NAMED else ""
    those = f"of the {len(counts):,} other stored partitions"
    if not names:
        return f"{those} none has {several}"
    have = f"{len(names):,} {'has' if len(names) == 1 else 'have'}"
    return f"{those} {have} {several}: {', '.join(names[:_MAX_NAMED])}{more}"
