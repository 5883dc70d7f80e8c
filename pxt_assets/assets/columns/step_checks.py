"""The check results of a column's step: true to what is stored, whatever kind of run it is and however it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from pxt_assets.api.meter import Meter, total_cost
from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.assets.columns.stored_checks import StoredPartitions
from pxt_assets.assets.declarations.checks import COST_WITHIN, cost_check_result
from pxt_assets.assets.page.checked_partitions import Checked
from pxt_assets.assets.step.invocation import selected_checks
from pxt_assets.assets.step.last_checks import (
    CheckEvent,
    about_what_is_stored,
    last_result,
    last_results_below,
    unevaluated,
)
from pxt_assets.assets.step.partition_order import in_order
from pxt_assets.compute.partition.column import CellsFailedError
from pxt_assets.compute.partition.findings import Findings

Partition = str | None


class StepChecks:
    """The checks that a step evaluates; `stored` is None where nothing is kept after it, as in a direct call."""

    def __init__(
        self,
        spec: ColumnSpec,
        context: dg.AssetExecutionContext,
        partitions: Sequence[Partition],
        stored: StoredPartitions | None,
    ) -> None:
        self.names = selected_checks(context)
        """Of the selected checks."""
        self._spec, self._context, self._stored = spec, context, stored
        self._partitions = partitions if stored is None else stored.of_run

    def at_end(
        self,
        stored: Mapping[Partition, Findings],
        failures: Mapping[Partition, CellsFailedError],
        meters: Sequence[Meter],
        *,
        reached: bool = False,
        failed: bool = False,
        is_waiting: bool = False,
    ) -> Iterator[CheckEvent]:
        """The results at the end of a run that computed something.

        Args:
            stored: the findings of the partitions that it stored.
            failures: the errors of those in which rows failed. What is stored of one is as it was before; if it was never
                stored, its failed rows are all there is.
            meters: what the run used.
            reached: whether the column's budget ended it.
            failed: whether anything did.
            is_waiting: whether it ended without its last rows, so that no step downstream begins.
        """
        results = [
            *self._of_cells(stored, failures),
            *self._of_cost(meters, reached=reached, is_stored=bool(stored)),
        ]
        yield from results if stored else about_what_is_stored(self._context, results)
        if not failed:
            yield from self._without_result(one.check_name for one in results)
        if failed or is_waiting or not stored:
            yield from self._below()

    def _of_cells(
        self, stored: Mapping[Partition, Findings], failures: Mapping[Partition, CellsFailedError]
    ) -> list[dg.AssetCheckResult]:
        """The results of checks that look at cells: none where nothing is stored, and no row failed."""
        checked = self._checked(stored, failures)
        return self._spec.checks.results(self._spec.key, self.names, checked) if checked else []

    def _checked(
        self, computed: Mapping[Partition, Findings], failures: Mapping[Partition, CellsFailedError]
    ) -> Checked:
        before: Mapping[Partition, Findings] = {}
        others: Mapping[Partition, Findings] = {}
        unread = 0
        if self._stored is not None:
            before = self._stored.find_of_run(computed)
            others, unread = self._stored.find_others()
        failed = {key: error.findings for key, error in failures.items()}
        return Checked(
            in_order(self._partitions, {**failed, **before, **computed}),
            others,
            run_partitions=tuple(self._partitions),
            unread=unread,
            unstored=frozenset(failed.keys() - before.keys()),
            failed_unstored=sum(failed[key].errors.total() for key in failed if key in before),
        )

    def _of_cost(
        self, meters: Sequence[Meter], *, reached: bool, is_stored: bool
    ) -> Iterator[dg.AssetCheckResult]:
        """The result of the cost check: what this run cost, and whether a budget ended it.

        A run that stored nothing, and cost no more than it may, leaves the result of the last one as it is.
        """
        if COST_WITHIN not in self.names or self._spec.max_cost_usd is None:
            return
        cost, unpriced = total_cost(meters), sum(meter.rows_unpriced for meter in meters)
        own = cost_check_result(self._spec.key, self._spec.max_cost_usd, cost, unpriced, reached=reached)
        last = None if is_stored or not own.passed else self._last_cost()
        yield last or own

    def of_stored(self, *, alone: bool = False) -> Iterator[CheckEvent]:
        """All results in a run that computes nothing: over what is stored, and the cost of the run before.

        Where nothing is stored, checks that were asked for `alone` warn of it; others have no result, which Dagster
        shows as skipped.
        """
        results = self._of_cells({}, {})
        if alone and not results:
            results = self._spec.checks.results(self._spec.key, self.names, Checked({}))
        if COST_WITHIN in self.names and (last := self._last_cost()) is not None:
            results.append(last)
        yield from about_what_is_stored(self._context, results)
        yield from self._without_result(one.check_name for one in results)
        if not alone:
            yield from self._below()

    def _below(self) -> Iterator[dg.AssetCheckEvaluation]:
        """What the checks of columns and indexes say that this run cannot reach, as this one gives no rows."""
        yield from last_results_below(self._context, self._spec.key)

    def _without_result(self, evaluated: Iterable[str | None]) -> Iterator[dg.Output[Any]]:
        """Ends the checks that have nothing to look at, so that Dagster does not miss their results."""
        done = {*evaluated}
        rest = [name for name in self.names if name not in done]
        yield from unevaluated(self._context, self._spec.key, rest)

    def _last_cost(self) -> dg.AssetCheckResult | None:
        return last_result(self._context, dg.AssetCheckKey(self._spec.key, COST_WITHIN))
