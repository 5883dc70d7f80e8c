"""One partition of one column, how to compute it, and its outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pxt_assets.api.budget import Budget
from pxt_assets.api.meter import Meter
from pxt_assets.api.server_name import names_text
from pxt_assets.compute.partition.findings import FailedRow, Findings
from pxt_assets.compute.partition.inputs import Inputs
from pxt_assets.compute.partition.labels import Labels
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.errors import CellError, PartitionError
from pxt_assets.functions.questions import Question
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.types import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

FAILURES_KEPT = 20
"""Failed rows that an error keeps."""
AFTER_FAILED_ROWS = (
    "What is finished is kept and will not be computed again. Correct the rows upstream, or give the column "
    'on_error="ignore" to store errors beside the rows; then materialize again.'
)
"""What the error of failed rows ends with."""


@dataclass(frozen=True)
class Options:
    """How to run."""

    on_error: Literal["abort", "ignore"] = "abort"
    """Whether a failed row fails the run, or is stored as an error beside the others' results."""
    limit: int | None = None
    """How many first rows to compute, in a trial that leaves the stored column as it is. None for all rows."""
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
    """None for a copy of a source column, whose type is known only from the rows."""
    inputs: Inputs
    file: ParquetFile
    options: Options = field(default_factory=Options)
    run_id: str | None = None
    """Recorded with the cells that this run computes."""
    budget: Budget | None = None
    """How much the run may cost, over all partitions."""
    moderates: bool = False
    """Whether the values are moderations."""
    questions: tuple[Question, ...] = ()
    """Those that the values answer, of decisions."""
    labels: Labels = field(default_factory=dict)
    """What the answers are compared with."""
    code_version: str | None = None
    """Changes when the column's definition does."""
    file_metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asset_name(self) -> str:
        """`tickets/response`."""
        return "/".join(self.file_metadata.get("asset", ())) or self.label

    @property
    def partition_key(self) -> str | None:
        """None for an asset without partitions."""
        return self.file_metadata.get("partition")

    @property
    def names_files(self) -> bool:
        """Whether cells are made of files that rows or constants may name by their paths, which may change unseen."""
        return self.inputs.holds_media or self.plan.holds_paths

    @property
    def total(self) -> int:
        """Rows to compute."""
        rows = self.inputs.num_rows
        return rows if self.options.limit is None else min(rows, self.options.limit)


@dataclass(frozen=True)
class OtherServers:
    """Rows whose answers are of other servers than the one that is asked."""

    asked: str
    rows: int
    names: Sequence[str]

    def __str__(self) -> str:
        return (
            f"{self.rows:,} rows hold answers of {names_text(self.names)}, while {self.asked} is asked now. If that is not "
            'meant, set on_other_server="recompute" on the OpenAIResource, which asks for these rows anew, or "fail"'
        )


@dataclass(frozen=True)
class Outcome:
    """The outcome of computing a partition. Counts are of rows: `rows = computed + reused + nulls + failed`."""

    rows: int
    computed: int
    """Rows with a value that this run made."""
    reused: int
    """Rows with a value that was there before."""
    failed: int
    nulls: int
    """Rows that have neither a value nor an error."""
    findings: Findings
    seconds: float
    meter: Meter
    simulated: bool
    """Whether any row comes from a simulator, in this column or in one that it reads."""
    schema: pa.Schema
    sample: pa.Table
    """The first rows, as they are stored."""
    inputs: Mapping[str, Sequence[Any]] | None = field(default=None, kw_only=True)
    """The same rows' values in the columns that are read, by name; None where they cannot be read again."""
    data_version: str
    """Changes with the rows' keys, values and error types."""
    trial: bool
    """Whether this was a trial, which left the stored column as it was."""
    answered_by: Mapping[str, int] | None = None
    """Rows with an answer, by server; None for a column that asks none."""
    other_servers: OtherServers | None = None
    """Whose answers were reused, though another server is asked now."""

    @property
    def errors(self) -> Mapping[str, int]:
        """Failed rows by error type."""
        return self.findings.errors

    @property
    def span_attributes(self) -> Mapping[str, Any]:
        """The outcome as attributes of an OpenTelemetry span."""
        return {
            "pxt.rows_computed": self.computed,
            "pxt.rows_reused": self.reused,
            "pxt.rows_null": self.nulls,
            "pxt.rows_failed": self.failed,
            "pxt.requests": self.meter.requests,
            "pxt.cost_usd": self.meter.cost_usd,
            **({"pxt.rows_unpriced": self.meter.rows_unpriced} if self.meter.rows_unpriced else {}),
            "pxt.simulated": self.simulated,
        }


class CellsFailedError(PartitionError):
    """Cells failed under on_error="abort"; what is finished is journaled, the stored column is as it was."""

    def __init__(
        self, message: str, failures: list[tuple[str, CellError]], errors: Counter[str], rows: int
    ) -> None:
        super().__init__(message)
        self.failures = failures
        """(row key, error) of the first failed rows."""
        self.errors = errors
        """Failed rows by error type."""
        self.rows = rows
        """How many rows the partition has."""

    @property
    def findings(self) -> Findings:
        """What checks say of the partition."""
        failed = [FailedRow(key, one.errortype, one.message) for key, one in self.failures]
        return Findings(rows=self.rows, errors=self.errors, failed=failed)


def cells_failed_error(
    column: Column,
    failures: Sequence[tuple[int, CellError]],
    errors: Counter[str],
    *,
    untried: int = 0,
) -> CellsFailedError:
    """The error for a column with on_error="abort". `failures` are the first failed rows, by row number.

    `untried` is how many rows were not tried any more.
    """
    failed = errors.total()
    keys = column.inputs.key_texts([row for row, _ in failures])
    by_key = [(key, error) for key, (_, error) in zip(keys, failures, strict=True)]
    examples = "; ".join(f"{key}: {error.errortype}: {error.message}" for key, error in by_key[:3])
    more = f"; and {failed - min(len(by_key), 3)} more" if failed > min(len(by_key), 3) else ""
    msg = (
        f"{column.label}: {failed} of {column.total} rows failed{_untried_text(untried, column.total - failed)}: "
        f"{f'{examples}{more}'.rstrip('. ')}. {AFTER_FAILED_ROWS}"
    )
    return CellsFailedError(msg, by_key, errors, column.total)


def _untried_text(untried: int, others: int) -> str:
    if not untried:
        return ""
    which = f"{untried:,} others" if untried < others else "the others" if others > 1 else "the other one"
    if untried == 1 < others:
        which = "another one"
    return f", {which} {'was' if untried == 1 else 'were'} not tried"
