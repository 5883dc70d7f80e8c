"""Asset checks of a computed column: their names, when they warn or fail, and which rows they name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pxt_assets.api.meter import priced_text
from pxt_assets.assets.page.checked_partitions import Checked, result_text
from pxt_assets.assets.page.figures import rounded
from pxt_assets.errors import DefinitionError
from pxt_assets.values.wording import counted, dollars

NO_FAILED_CELLS = "no_failed_cells"
NO_UNEXPECTED_NULLS = "no_unexpected_nulls"
COST_WITHIN = "cost_within"
NONE_FLAGGED = "none_flagged"

_MAX_RECORDS = 20
_WARN, _ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True)
class Checks:
    """Which asset checks a computed column has, and when they are errors rather than warnings.

    Example:
        ```python
        tbl.add_computed_column(
            safety=moderations(tbl.body), on_error="ignore", checks=Checks(max_failed=0.01, none_flagged=True)
        )
        ```

    The results speak of all that is stored, whichever partitions the run was of, and whether it stored any.
    `no_failed_cells` warns as soon as one row failed; above the share `max_failed` of a partition's rows, 0 to 1, it is an
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
            NO_FAILED_CELLS: "Expects that every row has a result: none is stored as an error.",
            NO_UNEXPECTED_NULLS: "Expects that every row has a value, unless it failed or is made of a null.",
            NONE_FLAGGED: "Expects that no row's text or image is flagged.",
            COST_WITHIN: "Expects that a run costs no more than max_cost_usd.",
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

    def results(self, key: dg.AssetKey, names: Iterable[str], checked: Checked) -> list[dg.AssetCheckResult]:
        """The results of those of the checks `names` that look at cells."""
        checks = {
            NO_FAILED_CELLS: self._failed_cells_result,
            NO_UNEXPECTED_NULLS: _nulls_result,
            NONE_FLAGGED: _flagged_result,
        }
        wanted = [name for name in names if name in checks]
        if checked and not checked.is_stored:
            wanted = [name for name in wanted if name == NO_FAILED_CELLS]
        if not checked:
            return [_nothing_stored_result(key, name) for name in wanted]
        return [checks[name](key, checked) for name in wanted]

    def _failed_cells_result(self, key: dg.AssetKey, checked: Checked) -> dg.AssetCheckResult:
        failed = {partition: one.errors.total() for partition, one in checked.all.items()}
        of_run: Counter[str] = Counter()
        for one in checked.of_run.values():
            of_run.update(one.errors)
        errors = sum((one.errors for one in checked.others.values()), of_run.copy())
        share = self.max_failed
        too_many = share is not None and any(
            failed[partition] > share * one.rows for partition, one in checked.all.items()
        )
        counts = ", ".join(f"{count:,} {errortype}" for errortype, count in sorted(of_run.items()))
        text = result_text(
            checked,
            f"{counted(of_run.total(), 'row')} failed: {counts}" if of_run else "no row failed",
            "failed rows",
            failed,
        )
        if checked.failed_unstored:
            text += f"; {counted(checked.failed_unstored, 'row')} failed in this run, which left what is stored as it was"
        if too_many:
            text += f"; at most {share:.2%}{' of a partition' if checked.has_partitions else ''} may"
        records = [
            {"row": each.key, "error": each.errortype, "message": each.message, **_partition_entry(partition)}
            for partition, one in checked.all.items()
            for each in one.failed
        ]
        return dg.AssetCheckResult(
            asset_key=key,
            check_name=NO_FAILED_CELLS,
            passed=not errors,
            severity=_ERROR if too_many else _WARN,
            description=text,
            metadata={
                "pxt/rows_failed": errors.total(),
                **({"pxt/errors": dict(errors)} if errors else {}),
                **_partitions_metadata(checked, failed),
                **_records_table("pxt/failed_rows", records),
            },
        )


def _nulls_result(key: dg.AssetKey, checked: Checked) -> dg.AssetCheckResult:
    nulls = {partition: one.nulls for partition, one in checked.all.items()}
    row_keys = {partition: one.null_keys for partition, one in checked.all.items()}
    of_run = sum(nulls[partition] for partition in checked.of_run)
    text = (
        f"{counted(of_run, 'row')} without a value or an error, though nothing that they are made of is null"
    )
    text = result_text(checked, text if of_run else "no unexpected null", "unexpected nulls", nulls)
    return _rows_warning(key, NO_UNEXPECTED_NULLS, "null", checked, nulls, row_keys, text)


def _flagged_result(key: dg.AssetKey, checked: Checked) -> dg.AssetCheckResult:
    flagged = {partition: one.flagged for partition, one in checked.all.items()}
    row_keys = {partition: one.flagged_keys for partition, one in checked.all.items()}
    of_run = sum(flagged[partition] for partition in checked.of_run)
    text = f"{counted(of_run, 'row')} flagged" if of_run else "no row is flagged"
    text = result_text(checked, text, "flagged rows", flagged)
    return _rows_warning(key, NONE_FLAGGED, "flagged", checked, flagged, row_keys, text)


def _rows_warning(
    key: dg.AssetKey,
    check: str,
    kind: str,
    checked: Checked,
    counts: Mapping[str | None, int],
    row_keys: Mapping[str | None, Sequence[str]],
    description: str,
) -> dg.AssetCheckResult:
    """A result that warns of `counts` rows a partition; `row_keys` are the keys of the first ones in each."""
    records = [
        {"row": row, **_partition_entry(partition)} for partition, rows in row_keys.items() for row in rows
    ]
    count = sum(counts.values())
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=check,
        passed=not count,
        severity=_WARN,
        description=description,
        metadata={
            f"pxt/rows_{kind}": count,
            **_partitions_metadata(checked, counts),
            **_records_table(f"pxt/{kind}_rows", records),
        },
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
    key: dg.AssetKey, max_cost_usd: float, cost_usd: float | None, unpriced: int = 0, *, reached: bool = False
) -> dg.AssetCheckResult:
    """The result of the check that a run cost at most `max_cost_usd`; `reached` says that the budget ended the run.

    It fails where the price of `unpriced` rows is not known, and not in `cost_usd`.
    """
    passed = cost_usd is not None and cost_usd <= max_cost_usd and not unpriced and not reached
    more = ", which ended the run" if reached else ""
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=COST_WITHIN,
        passed=passed,
        severity=_ERROR if reached else _WARN,
        description=f"{priced_text(cost_usd, unpriced)} of {dollars(max_cost_usd)}{more}",
        metadata={
            "pxt/cost_usd": "unknown" if cost_usd is None else rounded(cost_usd),
            "pxt/rows_unpriced": unpriced,
            "pxt/max_cost_usd": max_cost_usd,
        },
    )


def _partition_entry(partition: str | None) -> dict[str, str]:
    return {} if partition is None else {"partition": partition}


def _partitions_metadata(checked: Checked, counts: Mapping[str | None, int]) -> dict[str, Any]:
    """Of how many partitions a result speaks, and in which of them it found rows."""
    if not checked.has_partitions:
        return {}
    found = [partition for partition, count in counts.items() if count and partition is not None]
    return {"pxt/partitions_checked": len(checked.all), **({"pxt/partitions": found} if found else {})}


def _records_table(title: str, records: list[dict[str, str]]) -> dict[str, Any]:
    if not records:
        return {}
    return {title: dg.MetadataValue.table([dg.TableRecord(one) for one in records[:_MAX_RECORDS]])}
