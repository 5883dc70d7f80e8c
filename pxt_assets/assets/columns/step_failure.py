"""How a step fails: the error of a run in which some partitions failed, and what Dagster shows of it."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from pxt_assets.api.budget import BudgetReachedError
from pxt_assets.assets.step.failed_partitions import PartitionsFailedError
from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.partition.column import CellsFailedError
from pxt_assets.errors import FatalApiError, PartitionError, RunError

Partition = str | None
Failures = Mapping[Partition, PartitionError]


def cell_failures(failures: Failures) -> dict[Partition, CellsFailedError]:
    """The errors of the partitions in which rows failed."""
    return {key: one for key, one in failures.items() if isinstance(one, CellsFailedError)}


def step_error(
    error: BaseException | None, failures: Failures, *, stored: int, of: int
) -> BaseException | None:
    """The error of a step of `of` partitions: what ended it, or the partitions that failed, or both; None for neither."""
    if not failures:
        return error
    if of == 1:
        return error or next(iter(failures.values()))
    failed = PartitionsFailedError(failures, stored=stored, of=of)
    if error is None:
        return failed
    if isinstance(error, RunError):
        error.args = (f"{error}\nBesides: {failed}",)
    return error


def dagster_failure(
    error: RunError, key: dg.AssetKey, failures: Failures, unfinished: Mapping[Partition, Progress]
) -> dg.Failure:
    """The error as Dagster takes it, with the failed rows and what unfinished partitions took."""
    from pxt_assets.assets.page.metadata import failure_metadata

    error.locate(key.to_user_string())
    # a retry after either of these would fail again, or spend as much again
    allow_retries = not isinstance(error, FatalApiError | BudgetReachedError)
    metadata = failure_metadata(cell_failures(failures), unfinished)
    return dg.Failure(str(error), metadata=metadata, allow_retries=allow_retries)
