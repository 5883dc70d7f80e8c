"""What the UI and the log show of a dry run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from pxt_assets.api.known_limits import KnownLimits
from pxt_assets.api.meter import cost_text, priced_text
from pxt_assets.api.processing import Processing
from pxt_assets.assets.page.sentence import plain
from pxt_assets.compute.dry_run import Estimate, ModelUse
from pxt_assets.values.wording import counted

DRY_RUN, TOTAL = "pxt/dry_run", "pxt/dry_run_total"
_COUNTS = {
    "rows": "rows",
    "rows_to_compute": "to_compute",
    "rows_refused": "refused",
    "estimated_requests": "requests",
    "estimated_dependent_requests": "dependent",
    "estimated_input_tokens": "input_tokens",
    "estimated_output_tokens": "output_tokens",
    "rows_unpriced": "unpriced",
    "rows_paid": "paid",
}
"""The figures of an estimate by the names of their metadata."""
_MAX_GROUPS, _MAX_NAME = 20, 60
"""How many groups of models are told of, and in how many characters each: rows may name models."""
_WAYS: Mapping[Processing, str] = {
    "batch": " by batch, within 24 h",
    "background_8h": " in the background, within 8 h",
    "background_2h": " in the background, within 2 h",
}
_RARE = ("rows_refused", "estimated_dependent_requests", "rows_unpriced", "rows_paid")
"""Those that are shown only where there are any."""


@dataclass(frozen=True)
class Duration:
    """How long an estimate takes at the limits: groups of models wait for their own limits, not for one another's."""

    by_group: Mapping[str, float] = field(default_factory=dict)
    """Seconds for each group of models."""
    limits: Mapping[str, str] = field(default_factory=dict)
    """The limits of each group as text."""

    @classmethod
    def of(cls, estimate: Estimate, limits: Mapping[ModelUse, KnownLimits]) -> Duration:
        """The duration of an estimate."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for use, load in estimate.loads.items():
            seconds[limits[use].group] += limits[use].seconds(load.requests, load.tokens)
        return cls(dict(seconds), {known.group: known.text for known in limits.values()})

    @classmethod
    def sum(cls, durations: Iterable[Duration]) -> Duration:
        """The duration of several estimates, whose requests to the same group wait for one another."""
        seconds: defaultdict[str, float] = defaultdict(float)
        limits: dict[str, str] = {}
        for one in durations:
            limits |= one.limits
            for group, taken in one.by_group.items():
                seconds[group] += taken
        return cls(dict(seconds), limits)

    @property
    def seconds(self) -> float:
        """How long the slowest group takes."""
        return max(self.by_group.values(), default=0.0)

    @property
    def text(self) -> str:
        """The seconds, and by which limit."""
        if not self.by_group:
            return ""
        slowest = max(self.by_group, key=lambda group: self.by_group[group])
        limit = self.limits.get(slowest, "its limit")
        model = f" for {_short(slowest)}" if slowest else ""  # a column may name it
        return f"about {duration_text(self.seconds)} at {limit}{model}"


def duration_text(seconds: float) -> str:
    """Seconds as people say them: `0.3 s`, `48 s`, `12 min`, `3.5 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:,.1f} h"


def estimate_metadata(estimate: Estimate, duration: Duration, *, said: str | None = None) -> dict[str, Any]:
    """The metadata of an estimate; `said` is its sentence, where it is not that of a partition."""
    return {
        "pxt/estimate": dg.MetadataValue.md(plain(said or estimate_line(estimate, duration))),
        DRY_RUN: True,
        **_figures_metadata(estimate, duration, "pxt/"),
        **({"pxt/estimated_by_limit": _limits_json(duration)} if duration.by_group else {}),
        "pxt/estimate_is_observed": estimate.has_observations,
    }


def sum_metadata(
    estimate: Estimate, duration: Duration, said: str, columns: Collection[str]
) -> dict[str, Any]:
    """The metadata of the estimate of several columns, by names of its own: the page shows it beside the column's."""
    return {
        "pxt/run_estimate": dg.MetadataValue.md(plain(said)),
        "pxt/run_columns": list(columns),
        **_figures_metadata(estimate, duration, "pxt/run_"),
    }


def _figures_metadata(estimate: Estimate, duration: Duration, prefix: str) -> dict[str, Any]:
    counts = {name: getattr(estimate, count) for name, count in _COUNTS.items()}
    return {
        **{f"{prefix}{name}": count for name, count in counts.items() if count or name not in _RARE},
        f"{prefix}estimated_cost_usd": "unknown"
        if estimate.cost_usd is None
        else _rounded(estimate.cost_usd),
        **(
            {}
            if estimate.now_usd is None
            else {f"{prefix}estimated_cost_now_usd": _rounded(estimate.now_usd)}
        ),
        **(
            {}
            if estimate.processing != "standard"
            else {f"{prefix}estimated_seconds": _rounded(duration.seconds, 3)}
        ),
    }


def read_estimate(metadata: Mapping[str, dg.MetadataValue[Any]]) -> tuple[Estimate, Duration]:
    """The estimate that metadata tells of. Raises KeyError for other metadata."""
    values: dict[str, Any] = {name: value.value for name, value in metadata.items()}
    cost = values["pxt/estimated_cost_usd"]
    estimate = Estimate(
        **{count: values.get(f"pxt/{name}", 0) for name, count in _COUNTS.items()},
        cost_usd=None if isinstance(cost, str) else cost,
        has_observations=bool(values["pxt/estimate_is_observed"]),
        processing="batch" if "pxt/estimated_cost_now_usd" in values else "standard",
        now_usd=values.get("pxt/estimated_cost_now_usd"),
    )
    groups = values.get("pxt/estimated_by_limit") or {}
    return estimate, Duration(
        {group: one["seconds"] for group, one in groups.items()},
        {group: one["limit"] for group, one in groups.items()},
    )


def _limits_json(duration: Duration) -> dg.JsonMetadataValue:
    """The slowest groups."""
    slowest = sorted(duration.by_group.items(), key=lambda item: -item[1])[:_MAX_GROUPS]
    return dg.MetadataValue.json(
        {
            _short(group): {"seconds": _rounded(seconds, 3), "limit": duration.limits.get(group, "")}
            for group, seconds in slowest
        }
    )


def _short(group: str) -> str:
    return group if len(group) <= _MAX_NAME else f"{group[:_MAX_NAME]}…"


def estimate_line(estimate: Estimate, duration: Duration) -> str:
    """The estimate as a sentence."""
    figures = f"dry run, nothing was sent: {_figures(estimate, duration)}"
    if not estimate.requests:
        return f"{figures}{_remarks(estimate)}"
    by = (
        "characters / 4, corrected by what earlier runs of this column used"
        if estimate.has_observations
        else "characters / 4 and a page of text an answer: no earlier run of this column is known"
    )
    return f"{figures} (an estimate, by {by}){_remarks(estimate)}"


def total_line(estimate: Estimate, duration: Duration, partitions: int, failed: int) -> str:
    """The estimate of several partitions together as a sentence."""
    of = counted(partitions, "partition")
    left_out = f"; {counted(failed, 'partition')} could not be estimated" if failed else ""
    return f"dry run of {of}, nothing was sent: {_figures(estimate, duration)} (an estimate){_remarks(estimate)}{left_out}"


def sum_line(
    estimate: Estimate, duration: Duration, columns: Collection[str], left_out: Collection[str]
) -> str:
    """The estimate of several columns together as a sentence; `left_out` are those that could not be estimated."""
    missing = (
        f"; not in it: {', '.join(left_out)}, made of what is not computed in a dry run" if left_out else ""
    )
    return (
        f"dry run of {counted(len(columns), 'column')} ({', '.join(columns)}), nothing was sent: "
        f"{_figures(estimate, duration)} (an estimate){_remarks(estimate)}{missing}"
    )


def _figures(estimate: Estimate, duration: Duration) -> str:
    rows = f"{estimate.to_compute:,} of {counted(estimate.rows, 'row')} to compute"
    if not estimate.requests:
        return f"{rows}{', without any request' if estimate.to_compute else ''}"
    texts = [
        rows,
        f"about {counted(estimate.requests, 'request')}",
        f"{estimate.input_tokens:,} input and {estimate.output_tokens:,} output tokens",
        f"{priced_text(estimate.cost_usd, estimate.unpriced)}{_way_text(estimate)}",
        duration.text,
    ]
    return ", ".join(filter(None, texts))


def _way_text(estimate: Estimate) -> str:
    """By which way, of answers that come later, and what the same would cost now."""
    now = "" if estimate.now_usd is None else f" ({cost_text(estimate.now_usd)} now)"
    return f"{_WAYS.get(estimate.processing, '')}{now}"


def _remarks(estimate: Estimate) -> str:
    refused, dependent, paid = estimate.refused, estimate.dependent, estimate.paid
    return (
        (_paid_text(paid) if paid else "")
        + (f"; {counted(refused, 'row')} would fail without a request" if refused else "")
        + (_dependent_text(dependent) if dependent else "")
    )


def _paid_text(paid: int) -> str:
    return f"; {counted(paid, 'row')} besides {'is' if paid == 1 else 'are'} answered or on the way: nothing more to pay"


def _dependent_text(dependent: int) -> str:
    are = "is" if dependent == 1 else "are"
    return f"; {counted(dependent, 'request')} {are} made of other answers, and not in these tokens and costs"


def _rounded(number: float, digits: int = 6) -> float:
    """A number with so many significant digits, which all can be read."""
    return float(f"{number:.{digits}g}")
