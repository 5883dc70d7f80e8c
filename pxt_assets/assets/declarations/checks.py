"""Asset checks of a computed column: their names, when they warn or fail, and which rows they name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import dagster as dg

from pxt_assets.api.meter import priced_text
from pxt_assets.assets.declarations.answer_checks import (
    LABELS_MATCH,
    NONE_DOUBTFUL,
    doubtful_result,
    labels_result,
)
from pxt_assets.assets.declarations.check_results import (
    ERROR,
    WARN,
    partition_entry,
    partitions_metadata,
    records_table,
    rows_warning,
)
from pxt_assets.assets.declarations.confidences import MinConfidence, check_confidence, confidence_text
from pxt_assets.assets.page.checked_partitions import Checked, result_text
from pxt_assets.assets.page.figures import rounded
from pxt_assets.errors import DefinitionError
from pxt_assets.values.wording import counted, dollars

NO_FAILED_CELLS = "no_failed_cells"
NO_UNEXPECTED_NULLS = "no_unexpected_nulls"
COST_WITHIN = "cost_within"
NONE_FLAGGED = "none_flagged"


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

    Of decisions, `none_doubtful` warns of rows that have an answer of a confidence below `min_confidence`, and names the
    least sure ones with what was asked about; the confidence of a predicate is the probability of what is likelier, 0.5 at
    least, that of a choice or a score the API's, so that `min_confidence={"topic": 0.4, "urgent": 0.8}` has one for each. With
    `labels={"topic": "topic_by_hand"}`, the names of questions and of columns of the table (of a single question just the
    column's), `labels_match` says how often the answers are as labelled, and how far to trust their probabilities; it
    warns below the share `min_accuracy`. Rows without a label do not count.
    """

    max_failed: float | None = None
    unexpected_nulls: bool = False
    none_flagged: bool = False
    min_confidence: MinConfidence | None = None
    labels: Mapping[str, str] | str | None = None
    min_accuracy: float | None = None

    def __post_init__(self) -> None:
        if self.max_failed is not None and not _is_share(self.max_failed):
            msg = f"Checks: got max_failed={self.max_failed!r}, allowed: a share of the rows, 0 to 1, or None"
            raise DefinitionError(msg)
        if self.min_confidence is not None:
            check_confidence(self.min_confidence)
        if not _are_labels(self.labels):
            msg = (
                f"Checks: got labels={self.labels!r:.80}, allowed: a dict of columns' names by question, "
                '{"topic": "topic_by_hand"}, of a single question the name of its column, or None'
            )
            raise DefinitionError(msg)
        if self.min_accuracy is not None and (not _is_share(self.min_accuracy) or self.labels is None):
            msg = f"Checks: got min_accuracy={self.min_accuracy!r}, allowed: a share of the rows, 0 to 1, beside labels, or None"
            raise DefinitionError(msg)

    def specs(self, key: dg.AssetKey, *, has_budget: bool) -> list[dg.AssetCheckSpec]:
        """The specs of the checks of the column with that key."""
        descriptions = {
            NO_FAILED_CELLS: "Expects that every row has a result: none is stored as an error.",
            NO_UNEXPECTED_NULLS: "Expects that every row has a value, unless it failed or is made of a null.",
            NONE_FLAGGED: "Expects that no row's text or image is flagged.",
            NONE_DOUBTFUL: f"Expects that no answer has a confidence below {confidence_text(self.min_confidence or 0.0)}.",
            LABELS_MATCH: "Compares the answers with the labels of the rows that have some.",
            COST_WITHIN: "Expects that a run costs no more than max_cost_usd.",
        }
        absent = {
            NO_UNEXPECTED_NULLS: self.unexpected_nulls,
            NONE_FLAGGED: not self.none_flagged,
            NONE_DOUBTFUL: self.min_confidence is None,
            LABELS_MATCH: self.labels is None,
            COST_WITHIN: not has_budget,
        }
        return [
            dg.AssetCheckSpec(name, asset=key, description=text)
            for name, text in descriptions.items()
            if not absent.get(name)
        ]

    def results(self, key: dg.AssetKey, names: Iterable[str], checked: Checked) -> list[dg.AssetCheckResult]:
        """The results of those of the checks `names` that look at cells."""
        checks: dict[str, Callable[[dg.AssetKey, Checked], dg.AssetCheckResult]] = {
            NO_FAILED_CELLS: self._failed_cells_result,
            NO_UNEXPECTED_NULLS: _nulls_result,
            NONE_FLAGGED: _flagged_result,
            NONE_DOUBTFUL: partial(doubtful_result, min_confidence=self.min_confidence or 0.0),
            LABELS_MATCH: partial(labels_result, min_accuracy=self.min_accuracy),
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
            ("failed row", "failed rows"),
            failed,
        )
        if checked.failed_unstored:
            text += f"; {counted(checked.failed_unstored, 'row')} failed in this run, which left what is stored as it was"
        if too_many:
            text += f"; at most {share:.2%}{' of a partition' if checked.has_partitions else ''} may"
        records = [
            {"row": each.key, "error": each.errortype, "message": each.message, **partition_entry(partition)}
            for partition, one in checked.all.items()
            for each in one.failed
        ]
        return dg.AssetCheckResult(
            asset_key=key,
            check_name=NO_FAILED_CELLS,
            passed=not errors,
            severity=ERROR if too_many else WARN,
            description=text,
            metadata={
                "pxt/rows_failed": errors.total(),
                **({"pxt/errors": dict(errors)} if errors else {}),
                **partitions_metadata(checked, failed),
                **records_table("pxt/failed_rows", records),
            },
        )


def _is_share(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 1


def _are_labels(given: object) -> bool:
    if isinstance(given, Mapping):
        return bool(given) and all(isinstance(one, str) and one for pair in given.items() for one in pair)
    return given is None or (isinstance(given, str) and given != "")


def _nulls_result(key: dg.AssetKey, checked: Checked) -> dg.AssetCheckResult:
    nulls = {partition: one.nulls for partition, one in checked.all.items()}
    row_keys = {partition: one.null_keys for partition, one in checked.all.items()}
    of_run = sum(nulls[partition] for partition in checked.of_run)
    text = (
        f"{counted(of_run, 'row')} without a value or an error, though nothing that they are made of is null"
    )
    text = result_text(
        checked, text if of_run else "no unexpected null", ("unexpected null", "unexpected nulls"), nulls
    )
    return rows_warning(key, NO_UNEXPECTED_NULLS, "null", checked, nulls, row_keys, text)


def _flagged_result(key: dg.AssetKey, checked: Checked) -> dg.AssetCheckResult:
    flagged = {partition: one.flagged for partition, one in checked.all.items()}
    row_keys = {partition: one.flagged_keys for partition, one in checked.all.items()}
    of_run = sum(flagged[partition] for partition in checked.of_run)
    text = f"{counted(of_run, 'row')} flagged" if of_run else "no row is flagged"
    text = result_text(checked, text, ("flagged row", "flagged rows"), flagged)
    return rows_warning(key, NONE_FLAGGED, "flagged", checked, flagged, row_keys, text)


def _nothing_stored_result(key: dg.AssetKey, check: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=check,
        passed=False,
        severity=WARN,
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
        severity=ERROR if reached else WARN,
        description=f"{priced_text(cost_usd, unpriced)} of {dollars(max_cost_usd)}{more}",
        metadata={
            "pxt/cost_usd": "unknown" if cost_usd is None else rounded(cost_usd),
            "pxt/rows_unpriced": unpriced,
            "pxt/max_cost_usd": max_cost_usd,
        },
    )
