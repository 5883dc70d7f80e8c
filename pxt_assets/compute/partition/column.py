"""What is computed: one partition of one column, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pxt_assets.api.budget import Budget
from pxt_assets.api.meter import Meter
from pxt_assets.compute.partition.findings import Findings
from pxt_assets.compute.partition.inputs import Inputs
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.errors import CellError, PartitionError
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.types import ColumnType

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
    provenance: bool = True
    """Whether a sidecar says where each cell comes from."""


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
    run_id: str | None = None
    """Marks what is computed."""
    budget: Budget | None = None
    """What the run may cost, over all partitions."""
    moderates: bool = False
    """Whether the values are moderations."""
    code_version: str | None = None
    """Changes with what the column computes."""
    file_metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asset_name(self) -> str:
        """`tickets/response`."""
        return "/".join(self.file_metadata.get("asset", ())) or self.label

    @property
    def partition_key(self) -> str | None:
        """None for all of an asset without partitions."""
        return self.file_metadata.get("partition")

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
    findings: Findings
    seconds: float
    meter: Meter
    simulated: bool
    """Whether any of the rows comes from a simulator, through whichever column."""
    schema: pa.Schema
    sample: pa.Table
    """The first rows, as they are stored."""
    data_version: str
    """Changes with the rows' keys, values and error types."""
    trial: bool
    """Whether this was a trial, which left the stored column as it was."""

    @property
    def errors(self) -> Mapping[str, int]:
        """Failed rows by error type."""
        return self.findings.errors

    @property
    def span_attributes(self) -> Mapping[str, Any]:
        """What a span of OpenTelemetry says of it."""
        return {
            "pxt.rows_computed": self.computed,
            "pxt.rows_reused": self.reused,
            "pxt.rows_failed": self.failed,
            "pxt.requests": self.meter.requests,
            "pxt.cost_usd": self.meter.cost_usd,
            "pxt.simulated": self.simulated,
        }


class CellsFailedError(PartitionError):
    """Cells failed under on_error="abort"; what is finished is journaled, the stored column is as it was."""

    def __init__(
        self, message: str, failures: list[tuple[str, CellError]], errors: Counter[str], rows: int
    ) -> None:
        super().__init__(message)
        self.failures = failures
        """(row key, error) of the first ones."""
        self.errors = errors
        """Failed rows by error type."""
        self.rows = rows
        """All of the partition's rows."""


def cells_failed_error(
    column: Column,
    failures: Sequence[tuple[int, CellError]],
    errors: Counter[str],
    *,
    all_tried: bool = True,
) -> CellsFailedError:
    """The error of a column with on_error="abort" of which rows failed, `failures` (by row number) first.

    `all_tried` says whether all rows were tried, before that ended the run.
    """
    failed = errors.total()
    keys = column.inputs.key_texts([row for row, _ in failures])
    named = [(key, error) for key, (_, error) in zip(keys, failures, strict=True)]
    shown = "; ".join(f"{key}: {error.errortype}: {error.message}" for key, error in named[:3])
    more = f"; and {failed - min(len(named), 3)} more" if failed > min(len(named), 3) else ""
    so_far = "" if all_tried else ", and the run ended before the others were tried"
    msg = (
        f"{column.label}: {failed} of {column.total} rows failed{so_far}: {shown}{more}. "
        "What is finished is kept and will not be computed again. Correct the rows upstream, or give the column "
        'on_error="ignore" to store errors beside the rows; then materialize again.'
    )
    return CellsFailedError(msg, named, errors, column.total)
