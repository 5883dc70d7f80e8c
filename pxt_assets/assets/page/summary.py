"""What a run did, in sentences that wrap: what came of the rows, what was asked and paid, how long it took."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from pxt_assets.api.budget import BudgetReachedError
from pxt_assets.api.meter import Meter, cost_text, spent_text
from pxt_assets.assets.page.figures import duration, percent
from pxt_assets.assets.page.markdown import behind_a_click, escape_markdown, fits_inline, joined, shortened
from pxt_assets.compute.asking.progress import Progress
from pxt_assets.compute.asking.run_state import StoppedError
from pxt_assets.compute.partition.column import CellsFailedError, Outcome
from pxt_assets.errors import PartitionError
from pxt_assets.values.wording import counted, dollars

Partition = str | None

_MAX_TABLE_ROWS = 200
_WIDTH = 28
"""Characters that the narrowest page has for a table in place, of which each column takes two for itself."""
_PARTITION_CHARACTERS = 40
_ERROR_CHARACTERS = 300
_MAX_NAMED = 5
"""How many partitions a sentence names."""
_COUNTS = ("computed", "reused", "null", "failed")
_IMPORTANT = ("partition", "failed", "rows", "cost", "null", "requests")
"""Columns of the table, those first that stay where there is little room."""


def outcome_summary(outcome: Outcome, partition: Partition = None, *, of: int = 1) -> str:
    """One partition as Markdown: "60 rows: 54 computed, 6 null · 47 requests, no 429 · 1,356 → 783 tokens · …".

    Where the asset is partitioned, it begins with the partition: the UI's overview shows the newest one's. `of` is how
    many the run selected.
    """
    parts = [_sentence([outcome], [outcome.meter], outcome.seconds)]
    if partition is not None:
        parts.insert(0, f"Partition **{joined(_name(partition)) or '?'}**")
        if of > 1:
            parts.append(f"one of {counted(of, 'partition')} of this run")
    return " · ".join(parts)


def unfinished_summary(progress: Progress | None, error: BaseException) -> str:
    """A partition that was not finished: "**stopped by its budget**: 8 of 16 rows finished, $0.0001 spent; nothing stored"."""
    parts = []
    if progress is not None:
        of = "" if isinstance(error, CellsFailedError) else f" of {counted(progress.total, 'row')}"
        parts.append(f"{progress.done - progress.failed:,}{of} finished")
        cost, unpriced = progress.meter.cost_usd, progress.meter.rows_unpriced
        if progress.meter.requests:
            more = f", and {counted(unpriced, 'row')} of unknown price" if unpriced else ""
            parts.append("cost unknown" if cost is None else f"{dollars(cost)} spent{more}")
    elif str(error) and not isinstance(error, CellsFailedError):
        parts.append(escape_markdown(shortened(str(error).rstrip(". "), _ERROR_CHARACTERS)))
    done = f"{', '.join(parts)}; " if parts else ""
    return f"**{_why_unfinished(error)}**: {done}nothing stored"


def _why_unfinished(error: BaseException) -> str:
    if isinstance(error, CellsFailedError):
        return f"{error.errors.total():,} of {counted(error.rows, 'row')} failed"
    if isinstance(error, BudgetReachedError):
        return "stopped by its budget"
    if isinstance(error, PartitionError):
        return "failed"
    if isinstance(error, StoppedError):
        return "not finished, since the run ended"
    return "ended by an error" if isinstance(error, Exception) else "interrupted"


def partitions_metadata(
    outcomes: Mapping[Partition, Outcome],
    failures: Mapping[Partition, PartitionError],
    unfinished: Mapping[Partition, Progress],
    *,
    of: int,
    seconds: float,
) -> dict[str, dg.MarkdownMetadataValue]:
    """`pxt/summary` of a run of several partitions, and all figures of each as `pxt/partitions`; arguments as below."""
    summary = partitions_summary(outcomes, failures, unfinished, of=of, seconds=seconds)
    rows = _rows(outcomes, failures, unfinished)
    table = "\n".join(_table(rows, _told_of_any(rows), _MAX_TABLE_ROWS))
    return {
        "pxt/summary": dg.MetadataValue.md(summary),
        "pxt/partitions": dg.MetadataValue.md(behind_a_click(table)),
    }


def partitions_summary(
    outcomes: Mapping[Partition, Outcome],
    failures: Mapping[Partition, PartitionError],
    unfinished: Mapping[Partition, Progress],
    *,
    of: int,
    seconds: float,
) -> str:
    """A run of several partitions as Markdown: how many are stored, a sentence about all, and a table of each.

    The table has as many columns and rows as the UI shows at once. `unfinished` is what partitions took that were not
    finished, failed ones included; `of` is how many the run selected, and `seconds` how long all took, since partitions
    overlap and theirs do not add up.
    """
    cut_off = [partition for partition in unfinished if partition not in failures]
    meters = [*(one.meter for one in outcomes.values()), *(one.meter for one in unfinished.values())]
    lines = [
        _partitions_sentence(outcomes, failures, cut_off, of),
        "",
        _sentence(list(outcomes.values()), meters, seconds, is_part=len(outcomes) < of),
        "",
    ]
    rows = _rows(outcomes, failures, unfinished)
    names = _narrow_columns(rows)
    for most in range(len(rows), -1, -1):
        summary = "\n".join([*lines, *_table(rows, names, most)]).rstrip()
        if fits_inline(summary):
            return summary
    return "\n".join(lines).rstrip()


def _partitions_sentence(
    outcomes: Mapping[Partition, Outcome],
    failures: Mapping[Partition, PartitionError],
    cut_off: Sequence[Partition],
    of: int,
) -> str:
    """ "8 of 10 partitions stored; 2 failed: 2026-11-26 (1 row), 2026-11-27 (3 rows)"."""
    tried = any(one.trial for one in outcomes.values())
    done = len(outcomes)
    count = counted(of, "partition")
    parts = [
        f"{count if done == of else f'{done:,} of {count}'} {'tried, nothing stored' if tried else 'stored'}"
    ]
    if failures:
        names = [
            f"{joined(_name(partition))}{_failed_rows_text(error)}" for partition, error in failures.items()
        ]
        parts.append(f"**{len(failures):,} failed**: {_named(names)}")
    if cut_off:
        parts.append(f"**{len(cut_off):,} not finished**: {_named([joined(_name(one)) for one in cut_off])}")
    not_begun = of - done - len(failures) - len(cut_off)
    if not_begun > 0:
        parts.append(f"{not_begun:,} not begun")
    return "; ".join(parts)


def _failed_rows_text(error: PartitionError) -> str:
    return f" ({counted(error.errors.total(), 'row')})" if isinstance(error, CellsFailedError) else ""


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _name(partition: Partition) -> str:
    return shortened(str(partition), _PARTITION_CHARACTERS)


def _sentence(
    outcomes: Sequence[Outcome], meters: Sequence[Meter], seconds: float, *, is_part: bool = False
) -> str:
    """`is_part` says that other partitions, of which there is no outcome, have rows too."""
    asks = any(one.answered_by is not None for one in outcomes) or any(meter.requests for meter in meters)
    done = " tried" if any(one.trial for one in outcomes) else " stored"
    parts = [_rows_text(outcomes, done if is_part else ""), *_refused_parts(outcomes)]
    if asks:
        reuses = any(one.reused for one in outcomes)
        parts += _asked_parts(meters, " in this run" if reuses else "")
    parts.append(duration(seconds))
    used = [meter.limit_utilization for meter in meters if meter.limit_utilization is not None]
    if used:
        parts.append(f"{percent(max(used))} of the limit")
    if any(one.simulated for one in outcomes):
        parts.append("**simulated**")
    if any(one.trial for one in outcomes):
        parts.append("**trial, nothing stored**")
    return " · ".join(parts)


def _rows_text(outcomes: Sequence[Outcome], said: str = "") -> str:
    """`said` is what came of them, where they are not all rows of the run: "64 rows stored: …"."""
    rows, *counts = _counts(outcomes)
    if not rows:
        return f"no rows{said}"
    told = [_told(count, name) for count, name in zip(counts, _COUNTS, strict=True) if count]
    return f"{counted(rows, 'row')}{said}: {', '.join(told)}"


def _refused_parts(outcomes: Sequence[Outcome]) -> list[str]:
    """ "**2 of 192 questions refused**", where any was."""
    refused = sum(one.findings.questions_refused for one in outcomes)
    asked = sum(one.findings.questions for one in outcomes)
    return [f"**{refused:,} of {counted(asked, 'question')} refused**"] if refused else []


def _told(count: int, name: str) -> str:
    return f"**{count:,} {name}**" if name == "failed" else f"{count:,} {name}"


def _counts(outcomes: Iterable[Outcome]) -> list[int]:
    """Rows, and what came of them, in the order of _COUNTS."""
    each = [(one.rows, one.computed, one.reused, one.nulls, one.failed) for one in outcomes]
    return [sum(counts) for counts in zip(*each, strict=True)] or [0] * (1 + len(_COUNTS))


def _asked_parts(meters: Sequence[Meter], of_what: str) -> list[str]:
    """What was asked and paid; `of_what` follows the cost, which is not that of answers that earlier runs paid for."""
    cost = f"**{spent_text(meters)}**{of_what}"
    requests, rate_limited = sum(one.requests for one in meters), sum(one.rate_limited for one in meters)
    if not requests:
        return ["no requests", cost]
    lost = sum(one.requests_unknown for one in meters)
    parts = [f"{counted(requests, 'request')}, {rate_limited or 'no'} 429{'' if rate_limited < 2 else 's'}"]
    if lost:
        was = "was" if lost == 1 else "were"
        parts.append(f"**{counted(lost, 'answer')} {was} lost and may have been paid for**")
    tokens = tokens_text(meters)
    noun = "token" if tokens == "1" else "tokens"
    return [*parts, *([f"{tokens} {noun}"] if tokens else []), cost]


def tokens_text(meters: Sequence[Meter]) -> str:
    """Tokens into and out of a model: "1,356 → 783"; of one that makes none "1,356"; nothing for none."""
    tokens_in = sum(one.usage.input_tokens for one in meters)
    tokens_out = sum(one.usage.output_tokens for one in meters)
    if not tokens_out:
        return f"{tokens_in:,}" if tokens_in else ""
    return f"{tokens_in:,} → {tokens_out:,}"


def _rows(
    outcomes: Mapping[Partition, Outcome],
    failures: Mapping[Partition, PartitionError],
    unfinished: Mapping[Partition, Progress],
) -> list[dict[str, str]]:
    """A row for each partition, failed and unfinished ones first."""
    order = dict.fromkeys([*failures, *unfinished, *outcomes])
    return [_table_row(one, outcomes.get(one), failures.get(one), unfinished.get(one)) for one in order]


def _told_of_any(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The columns that say something of any partition."""
    return [name for name in rows[0] if any(row[name] for row in rows)] if rows else []


def _narrow_columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Those for which there is room, the most important first, in the order of the table."""
    chosen: list[str] = []
    left = _WIDTH + 1
    told = _told_of_any(rows)
    for name in sorted(
        told, key=lambda name: _IMPORTANT.index(name) if name in _IMPORTANT else len(_IMPORTANT)
    ):
        width = 2 + max(len(name), *(len(_shown(row[name])) for row in rows))
        if width <= left or not chosen:
            chosen.append(name)
            left -= width
    return [name for name in told if name in chosen]


def _shown(markdown: str) -> str:
    return html.unescape(markdown).replace("*", "").replace("\u2060", "")


def _table(rows: Sequence[Mapping[str, str]], names: Sequence[str], most: int) -> list[str]:
    """The table's lines, of at most `most` rows; none for none."""
    if not rows or not most:
        return []
    lines = [f"| {' | '.join(names)} |", f"| --- |{' ---: |' * (len(names) - 1)}"]
    lines += [f"| {' | '.join(row[name] for name in names)} |" for row in rows[:most]]
    if len(rows) > most:
        lines.append(f"| {len(rows) - most:,} more{' |' * len(names)}")
    return lines


def _table_row(
    partition: Partition,
    outcome: Outcome | None,
    error: PartitionError | None,
    progress: Progress | None,
) -> dict[str, str]:
    """The cells of a partition by their columns, empty where there is nothing to say."""
    counts = dict.fromkeys(("rows", *_COUNTS), 0)
    meter = progress.meter if progress is not None else None
    seconds = progress.seconds if progress is not None else None
    if outcome is not None:
        counts = dict(zip(counts, _counts([outcome]), strict=True))
        meter, seconds = outcome.meter, outcome.seconds
    elif isinstance(error, CellsFailedError):
        counts["failed"] = error.errors.total()
    state = "" if outcome is not None else "**failed**" if error is not None else "not finished"
    cells = {name: f"{count:,}" if count else "" for name, count in counts.items()}
    # rows of these are told apart from those that are stored
    if isinstance(error, CellsFailedError):
        cells["failed"] += f" of {error.rows:,}"
    elif state == "not finished" and progress is not None:
        cells["rows"] = f"{progress.done - progress.failed:,} of {progress.total:,}"
    if counts["failed"] or state.startswith("**"):
        cells["failed"] = f"**{cells['failed'] or '⚠'}**"
    return {
        "partition": escape_markdown(_name(partition)),
        "state": state,
        **cells,
        **_meter_cells(meter),
        "time": "" if seconds is None else duration(seconds),
    }


def _meter_cells(meter: Meter | None) -> dict[str, str]:
    if meter is None:
        return dict.fromkeys(("requests", "429s", "tokens", "cost", "limit"), "")
    used = meter.limit_utilization
    return {
        "requests": f"{meter.requests:,}" if meter.requests else "",
        "429s": f"{meter.rate_limited:,}" if meter.rate_limited else "",
        "tokens": tokens_text([meter]),
        "cost": _cost_cell(meter),
        "limit": "" if used is None else percent(used),
    }


def _cost_cell(meter: Meter) -> str:
    """`$0.12`, with a plus where some rows have no price that is known."""
    if meter.cost_usd is None:
        return "unknown"
    return f"{cost_text(meter.cost_usd)}{' +' if meter.rows_unpriced else ''}" if meter.requests else ""
