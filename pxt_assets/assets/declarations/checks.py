"""Asset checks of a computed column: their names, when they warn or fail, and which rows they name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from pxt_assets.errors import DefinitionError

if TYPE_CHECKING:
    from pxt_assets.compute.partition.findings import Findings

NO_FAILED_CELLS = "no_failed_cells"
NO_UNEXPECTED_NULLS = "no_unexpected_nulls"
COST_WITHIN = "cost_within"
NONE_FLAGGED = "none_flagged"

_MAX_RECORDS = 20
_WARN, _ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR

PartitionFindings = Mapping[str | None, "Findings"]
"""The findings in the cells of each partition; None is the key of an asset without partitions."""


@dataclass(frozen=True)
class Checks:
    """Which asset checks a computed column has, and when they are errors rather than warnings.

    Example:
        ```python
        tbl.add_computed_column(
            safety=moderations(tbl.body), on_error="ignore", checks=Checks(max_failed=0.01, none_flagged=True)
        )
        ```

    `no_failed_cells` warns as soon as one row failed; above the share `max_failed` of the rows, 0 to 1, it is an
    error. `no_unexpected_nulls` warns of rows that have neither a value nor an error though nothing that they are
    made of is null, such as a path that an answer lacks; `unexpected_nulls=True` allows them, and leaves the check out.
    `none_flagged` warns of rows whose moderation is flagged. A column with `max_cost_usd` has `cost_within`, too.
    """

    max_failed: float | None = None
    unexpected_nulls: bool = False
    none_flagged: bool = False

    def __post_init__(self) -> None:
        if self.max_failed is not None and not 0 <= self.max_failed <= 1:
            msg = f"Checks: got max_failed={self.max_failed!r}, allowed: a share of the rows, 0 to 1, or None"
            raise DefinitionError(msg)

    def specs(self, key: dg.AssetKey, *, has_budget: bool) -> list[dg.AssetCheckSpec]:
        """The specs of the checks of the column with that key."""
        descriptions = {
            NO_FAILED_CELLS: "Every row has a result: none is stored as an error.",
            NO_UNEXPECTED_NULLS: "Only rows have no value that are made of a null, or failed.",
            NONE_FLAGGED: "No row's text or image is flagged.",
            COST_WITHIN: "A run costs no more than max_cost_usd.",
        }
        absent = {
            NO_UNEXPECTED_NULLS: self.unexpected_nulls,
            NONE_FLAGGED: not self.none_flagged,
            COST_WITHIN: not has_budget,
        }
        return [
            dg.AssetCheckSpec(name, asset=key, description=text)
            for name, text in descriptions.items()
            if not absent.get(name)
        ]

    def results(
        self, key: dg.AssetKey, names: Iterable[str], findings: PartitionFindings
    ) -> list[dg.AssetCheckResult]:
        """The results of those of the checks `names` that look at cells."""
        checks = {
            NO_FAILED_CELLS: self._failed_cells_result,
            NO_UNEXPECTED_NULLS: _nulls_result,
            NONE_FLAGGED: _flagged_result,
        }
        wanted = [name for name in names if name in checks]
        if not findings:
            return [_nothing_stored_result(key, name) for name in wanted]
        return [checks[name](key, findings) for name in wanted]

    def _failed_cells_result(self, key: dg.AssetKey, findings: PartitionFindings) -> dg.AssetCheckResult:
        errors: Counter[str] = Counter()
        for one in findings.values():
            errors.update(one.errors)
        rows, failed = sum(one.rows for one in findings.values()), errors.total()
        counts = ", ".join(f"{count} {errortype}" for errortype, count in sorted(errors.items()))
        too_many = self.max_failed is not None and failed > self.max_failed * rows
        allowed = f"; at most {self.max_failed:.2%} may" if too_many else ""
        records = [
            {"row": each.key, "error": each.errortype, "message": each.message, **_partition_entry(partition)}
            for partition, one in findings.items()
            for each in one.failed
        ]
        return dg.AssetCheckResult(
            asset_key=key,
            check_name=NO_FAILED_CELLS,
            passed=not failed,
            severity=_ERROR if too_many else _WARN,
            description=f"{_row_count_text(failed)} failed: {counts}{allowed}" if failed else "no row failed",
            metadata={
                "pxt/rows_failed": failed,
                **({"pxt/errors": dict(errors)} if errors else {}),
                **_partitions_metadata(p for p, one in findings.items() if one.errors),
                **_records_table("pxt/failed_rows", records),
            },
        )


def _nulls_result(key: dg.AssetKey, findings: PartitionFindings) -> dg.AssetCheckResult:
    description = "without a value or an error, though nothing that they are made of is null"
    nulls = sum(one.nulls for one in findings.values())
    row_keys = {partition: one.null_keys for partition, one in findings.items()}
    return _rows_warning(
        key, NO_UNEXPECTED_NULLS, "null", nulls, row_keys, description if nulls else "no unexpected null"
    )


def _flagged_result(key: dg.AssetKey, findings: PartitionFindings) -> dg.AssetCheckResult:
    flagged = sum(one.flagged for one in findings.values())
    row_keys = {partition: one.flagged_keys for partition, one in findings.items()}
    return _rows_warning(
        key, NONE_FLAGGED, "flagged", flagged, row_keys, "flagged" if flagged else "no row is flagged"
    )


def _rows_warning(
    key: dg.AssetKey,
    check: str,
    kind: str,
    count: int,
    row_keys: Mapping[str | None, Sequence[str]],
    description: str,
) -> dg.AssetCheckResult:
    """A result that warns of `count` rows; `row_keys` are the keys of the first ones in each partition."""
    records = [
        {"row": row, **_partition_entry(partition)} for partition, rows in row_keys.items() for row in rows
    ]
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=check,
        passed=not count,
        severity=_WARN,
        description=f"{_row_count_text(count)} {description}" if count else description,
        metadata={f"pxt/rows_{kind}": count, **_records_table(f"pxt/{kind}_rows", records)},
    )


def _nothing_stored_result(key: dg.AssetKey, check: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=check,
        passed=False,
        severity=_WARN,
        description="nothing is stored yet; materialize the column first",
    )


def cost_check_result(
    key: dg.AssetKey, max_cost_usd: float, cost_usd: float | None, *, reached: bool = False
) -> dg.AssetCheckResult:
    """The result of the check that a run cost at most `max_cost_usd`; `reached` says that the budget ended the run."""
    passed = cost_usd is not None and cost_usd <= max_cost_usd and not reached
    more = ", which ended the run" if reached else ""
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=COST_WITHIN,
        passed=passed,
        severity=_ERROR if reached else _WARN,
        description=f"{'cost unknown' if cost_usd is None else f'${cost_usd:.6g}'} of ${max_cost_usd:.6g}{more}",
        metadata={
            "pxt/cost_usd": "unknown" if cost_usd is None else cost_usd,
            "pxt/max_cost_usd": max_cost_usd,
        },
    )


def _row_count_text(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _partition_entry(partition: str | None) -> dict[str, str]:
    return {} if partition is None else {"partition": partition}


def _partitions_metadata(partitions: Iterable[str | None]) -> dict[str, list[str]]:
    keys = [partition for partition in partitions if partition is not None]
    return {"partitions": keys} if keys else {}


def _records_table(title: str, records: list[dict[str, str]]) -> dict[str, Any]:
    if not records:
        return {}
    return {title: dg.MetadataValue.table([dg.TableRecord(one) for one in records[:_MAX_RECORDS]])}
