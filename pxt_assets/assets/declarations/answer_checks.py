"""Asset checks of a column of decisions: rows whose answers are not sure, and how answers compare with labels."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Any

import dagster as dg

from pxt_assets.assets.declarations.check_results import (
    MAX_RECORDS,
    WARN,
    partition_entry,
    partitions_metadata,
    records_table,
)
from pxt_assets.assets.page.answers_page import labels_figures, reliability_metadata
from pxt_assets.assets.page.checked_partitions import Checked, result_text
from pxt_assets.assets.page.figures import percent, rounded_share
from pxt_assets.compute.partition.label_findings import LabelFindings, NamedRow
from pxt_assets.values.wording import counted

NONE_DOUBTFUL = "none_doubtful"
LABELS_MATCH = "labels_match"
_OPTIONS_NAMED = 10


def doubtful_result(key: dg.AssetKey, checked: Checked, min_confidence: float) -> dg.AssetCheckResult:
    """Warns of rows that have an answer of less confidence, and names the least sure ones, with what was asked."""
    answers = {partition: one.answers for partition, one in checked.all.items() if one.answers is not None}
    counts = {partition: one.below(min_confidence) for partition, one in answers.items()}
    of_run = sum(counts.get(partition, 0) for partition in checked.of_run)
    said = f"below {min_confidence:g}"
    text = f"{counted(of_run, 'row')} with a confidence {said}" if of_run else f"no row is {said}"
    rows = [(row, partition) for partition, one in answers.items() for row in one.doubtful]
    least = heapq.nsmallest(MAX_RECORDS, rows, key=lambda one: one[0].probability)
    records = [_record(row, partition, "confidence") for row, partition in least]
    count = sum(counts.values())
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=NONE_DOUBTFUL,
        passed=not count,
        severity=WARN,
        description=result_text(checked, text, f"rows {said}", counts),
        metadata={
            "pxt/rows_doubtful": count,
            **partitions_metadata(checked, counts),
            **records_table("pxt/doubtful_rows", records[:count]),
        },
    )


def labels_result(key: dg.AssetKey, checked: Checked, min_accuracy: float | None) -> dg.AssetCheckResult:
    """Compares the answers with the labels of all stored rows that have one.

    Warns where there are none, where a label is none of its question's answers, and below `min_accuracy`.
    """
    labels = _joined(checked)
    compared = {name: one for name, one in labels.items() if one.rows}
    low = [name for name, one in compared.items() if min_accuracy is not None and one.accuracy < min_accuracy]
    unknown = {name: one for name, one in labels.items() if one.unknown}
    parts = [_compared_text(name, one) for name, one in compared.items()] or ["no row has a label"]
    if low:
        parts.append(f"{', '.join(low)}: at least {percent(min_accuracy or 0)} should be right")
    for name, one in unknown.items():
        which = ", ".join(map(repr, one.unknown_labels))
        are = "that is" if one.unknown == 1 else "that are"
        parts.append(
            f"{name}: {counted(one.unknown, 'label')} {are} none of its answers: {which}{_allowed_text(checked, name)}"
        )
    text = "; ".join(parts)
    if checked.has_partitions:
        text = f"{counted(len(checked.all), 'stored partition')}: {text}"
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=LABELS_MATCH,
        passed=bool(compared) and not low and not unknown,
        severity=WARN,
        description=text,
        metadata={
            **records_table("pxt/wrong_rows", _wrong_rows(checked)),
            **reliability_metadata(labels),
            **labels_figures(labels),
        },
    )


def _record(row: NamedRow, partition: str | None, sure: str) -> dict[str, Any]:
    """A row as a table names it; `sure` is what its probability is called."""
    return {
        "row": row.key,
        "question": row.question,
        **({"label": row.label} if row.label else {}),
        "answer": row.answer,
        sure: rounded_share(row.probability),
        "input": row.input,
        **partition_entry(partition),
    }


def _wrong_rows(checked: Checked) -> list[dict[str, Any]]:
    """Rows that are answered otherwise than labelled, those first whose answer is the surest: there, labels may be wrong."""
    rows = [
        (row, partition)
        for partition, findings in checked.all.items()
        if findings.answers is not None
        for one in findings.answers.labels.values()
        for row in one.wrong
    ]
    first = heapq.nlargest(MAX_RECORDS, rows, key=lambda one: one[0].probability)
    return [_record(row, partition, "probability") for row, partition in first]


def _joined(checked: Checked) -> Mapping[str, LabelFindings]:
    """What is known of the labels of all partitions, by question."""
    parts: dict[str, list[LabelFindings]] = {}
    for findings in checked.all.values():
        for name, one in (findings.answers.labels if findings.answers is not None else {}).items():
            parts.setdefault(name, []).append(one)
    return {name: reduce(add, found) for name, found in parts.items()}


def _allowed_text(checked: Checked, name: str) -> str:
    """What the labels of a question can be: ` (allowed: 'delivery', 'defect')`"""
    all_answers = (one.answers.questions.get(name) for one in checked.all.values() if one.answers is not None)
    question = next((one for one in all_answers if one is not None), None)
    if question is None:
        return ""
    options = [True, False] if question.kind == "predicate" else question.options
    texts = [str(one).lower() if isinstance(one, bool) else repr(one) for one in options[:_OPTIONS_NAMED]]
    if len(options) > len(texts):
        texts.append(f"and {len(options) - len(texts):,} more")
    return f" (allowed: {', '.join(texts)})"


def _compared_text(name: str, one: LabelFindings) -> str:
    """`topic: 18 of 20 rows as labelled (90 %), Brier 0.12`"""
    text = (
        f"{name}: {one.right:,} of {counted(one.rows, 'row')} as labelled ({percent(one.accuracy)}), "
        f"Brier {rounded_share(one.brier):.2g}"
    )
    if (best := one.best_threshold) is not None:
        text += f", best F1 {best[1]:.2f} from {best[0]:g} on"
    return f"{text}, {one.unanswered:,} labelled without an answer" if one.unanswered else text
