"""What is computed: one partition of one column, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pxt_assets.compute.inputs import Inputs
from pxt_assets.compute.plan import Plan
from pxt_assets.errors import CellError, RunError
from pxt_assets.meter import Meter
from pxt_assets.parquet import ParquetFile
from pxt_assets.types import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

FAILURES_KEPT = 20
"""Failed rows that a failure tells of."""


@dataclass(frozen=True)
class Options:
    """How to run."""

    on_error: Literal["abort", "ignore"] = "abort"
    """Whether a failed row fails the run, or is stored as an error beside the others' results."""
    limit: int | None = None
    """Only the first rows: a trial that leaves the stored column as it is."""
    refresh: bool = False
    """Whether every row is computed anew."""
    retry_errors: bool = True
    """Whether rows that failed in an earlier run are tried again."""


@dataclass(frozen=True)
class Column:
    """One partition of one computed column: what to compute, from what, to where."""

    label: str
    """`tickets/response[2027-03-01]`, for messages."""
    name: str
    plan: Plan
    column_type: type[ColumnType] | None
    """None for a copy of a source column, whose type only the rows tell."""
    inputs: Inputs
    file: ParquetFile
    options: Options = field(default_factory=Options)
    file_metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Rows to compute."""
        rows = self.inputs.num_rows
        return rows if self.options.limit is None else min(rows, self.options.limit)


@dataclass(frozen=True)
class Outcome:
    """What a computation did. Counts are of rows."""

    rows: int
    computed: int
    reused: int
    failed: int
    errors: Mapping[str, int]
    """Failed rows by error type."""
    seconds: float
    meter: Meter
    simulated: bool
    """Whether any of the rows comes from a simulator, through whichever column."""
    schema: pa.Schema
    sample: pa.Table
    """The first rows, as they are stored."""
    trial: bool
    """Whether this was a trial, which left the stored column as it was."""


class CellsFailedError(RunError):
    """Cells failed under on_error="abort"; what is finished is journaled, the stored column is as it was."""

    def __init__(self, message: str, failures: list[tuple[str, CellError]]) -> None:
        super().__init__(message)
        self.failures = failures
        """(row key, error) of the first ones."""


def cells_failed(column: Column, failures: Sequence[tuple[int, CellError]], failed: int) -> CellsFailedError:
    """The error of a column with on_error="abort" of which `failed` rows failed, `failures` (by row number) first."""
    named = [(column.inputs.key_of(row), error) for row, error in failures]
    shown = "; ".join(f"{key}: {error.errortype}: {error.message}" for key, error in named[:3])
    more = f"; and {failed - 3} more" if failed > 3 else ""
    msg = (
        f"{column.label}: {failed} of {column.total} rows failed: {shown}{more}. "
        "What is finished is kept and will not be computed again. Correct the rows upstream, or give the column "
        'on_error="ignore" to store errors beside the rows; then materialize again.'
    )
    return CellsFailedError(msg, named)
