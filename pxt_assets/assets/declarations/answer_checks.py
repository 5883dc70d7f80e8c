"""Asset checks of a column of decisions: rows whose answers are not sure, and how answers compare with labels."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import dagster as dg

from pxt_assets.assets.declarations.check_results import (
    MAX_RECORDS,
    WARN,
    partitions_metadata,
    records_table,
)
from pxt_assets.assets.declarations.confidences import MinConfidence
from pxt_assets.assets.page.answer_figures import labels_figures
from pxt_assets.assets.page.answers_page import reliability_metadata
from pxt_assets.assets.page.checked_partitions import Checked, result_text
from pxt_assets.assets.page.figures import percent, rounded_share
from pxt_assets.assets.page.markdown import shortened
from pxt_assets.compute.partition.answer_findings import AnswerFindings
from pxt_assets.compute.partition.label_findings import LabelFindings, NamedRow, step_of
from pxt_assets.values.wording import counted

NONE_DOUBTFUL = "none_doubtful"
LABELS_MATCH = "labels_match"
_INPUT_CHARACTERS = 160
_QUESTIONS_TOLD = 5
_OPTIONS_NAMED = 10


def doubtful_result(key: dg.AssetKey, checked: Checked, min_confidence: MinConfidence) -> dg.AssetCheckResult:
    """Warns of answers of less confidence, and names the least sure ones, with what was asked.

    Rows are counted where all questions have the same confidence, else answers: of each question by itself.
    """
    answers = {partition: one.answers for partition, one in checked.all.items() if one.answers is not None}
    in_run = [answers[partition] for partition in checked.of_run if partition in answers]
    if isinstance(min_confidence, Mapping):
        counts = {partition: _doubtful(one, min_confidence).total() for partition, one in answers.items()}
        kind, found = "answers", ("answer of too little confidence", "answers of too little confidence")
    else:
        counts = {partition: one.below(min_confidence) for partition, one in answers.items()}
        kind, found = "rows", (f"row below {min_confidence:g}", f"rows below {min_confidence:g}")
    of_run = sum(counts.get(partition, 0) for partition in checked.of_run)
    text = _doubtful_text(in_run, min_confidence, of_run) if of_run else f"no {found[0]}"
    records = [
        _record(row, partition, "confidence") for row, partition in _least_sure(answers, min_confidence)
    ]
    count = sum(counts.values())
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=NONE_DOUBTFUL,
        passed=not count,
        severity=WARN,
        description=result_text(checked, text, found, counts),
        metadata={
            f"pxt/{kind}_doubtful": count,
            **partitions_metadata(checked, counts),
            **records_table("pxt/doubtful_rows", records),
        },
    )


def _least_of(name: str, min_confidence: MinConfidence) -> float:
    """The confidence of a question's answers, from which on they are no doubtful ones."""
    return min_confidence.get(name, 0.0) if isinstance(min_confidence, Mapping) else min_confidence


def _doubtful(answers: AnswerFindings, min_confidence: MinConfidence) -> Counter[str]:
    """How many answers are below, by question."""
    return Counter(
        {name: one.below(_least_of(name, min_confidence)) for name, one in answers.questions.items()}
    )


def _doubtful_text(answers: Sequence[AnswerFindings], min_confidence: MinConfidence, count: int) -> str:
    """`195 of 200 rows with a confidence below 0.4: mood 190, topic 87`"""
    below = sum((_doubtful(one, min_confidence) for one in answers), Counter[str]())
    answered = Counter[str]()
    for one in answers:
        answered.update({name: found.answered for name, found in one.questions.items()})
    worst = [*below.most_common(_QUESTIONS_TOLD)]
    more = len(+below) - len(worst)
    rest = [f"{more:,} more"] if more > 0 else []
    if isinstance(min_confidence, Mapping):
        said = [
            f"{name} {n:,} of {answered[name]:,} below {min_confidence[name]:g}" for name, n in worst if n
        ]
        return f"{counted(count, 'answer')} of too little confidence: {', '.join([*said, *rest])}"
    said = [f"{name} {n:,}" for name, n in worst if n]
    of = counted(sum(one.confidences.total() for one in answers), "row")
    return f"{count:,} of {of} with a confidence below {min_confidence:g}: {', '.join([*said, *rest])}"


def _least_sure(
    answers: Mapping[str | None, AnswerFindings], min_confidence: MinConfidence
) -> list[tuple[NamedRow, str | None]]:
    """The least sure answers that are below, the least sure one first: of each question as many as of another."""
    by_question: dict[str, list[tuple[NamedRow, str | None]]] = {}
    for partition, one in answers.items():
        for row in one.doubtful:
            if step_of(row.probability) < step_of(_least_of(row.question, min_confidence)):
                by_question.setdefault(row.question, []).append((row, partition))
    ranked = [
        (rank, row.probability, place, (row, partition))
        for place, rows in enumerate(by_question.values())
        for rank, (row, partition) in enumerate(sorted(rows, key=lambda one: one[0].probability))
    ]
    chosen = heapq.nsmallest(MAX_RECORDS, ranked, key=lambda one: one[:3])
    return [named for *_, named in sorted(chosen, key=lambda one: one[1])]


def labels_result(key: dg.AssetKey, checked: Checked, min_accuracy: float | None) -> dg.AssetCheckResult:
    """Compares the answers with the labels of all stored rows that have one.

    Warns where there are none, where a label is none of its question's answers, and below `min_accuracy`.
    """
    labels = _joined(checked)
    compared = {name: one for name, one in labels.items() if one.rows}
    low = [name for name, one in compared.items() if min_accuracy is not None and one.accuracy < min_accuracy]
    unknown = {name: one for name, one in labels.items() if one.unknown}
    parts = [_compared_text(name, one) for name, one in labels.items() if one.rows or one.unanswered]
    parts = parts or ["no row has a label"]
    unlabelled = [name for name, one in labels.items() if not (one.rows or one.unanswered or one.unknown)]
    if unlabelled and len(unlabelled) < len(labels):
        parts.append(f"{', '.join(unlabelled)}: no row has a label")
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
            **reliability_metadata(labels, at_once=False),
            **labels_figures(labels, _questions(checked)),
        },
    )


def _record(row: NamedRow, partition: str | None, sure: str) -> dict[str, Any]:
    """A row as a table names it, in few columns, for which there is room; `sure` is what its probability is called."""
    return {
        "row": row.key if partition is None else f"{row.key} in {partition}",
        "question": row.question,
        **({"label → answer": f"{row.label} → {row.answer}"} if row.label else {"answer": row.answer}),
        sure: rounded_share(row.probability),
        "input": shortened(row.input, _INPUT_CHARACTERS),
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


def _questions(checked: Checked) -> list[str]:
    """The questions of all partitions."""
    answers = [one.answers for one in checked.all.values() if one.answers is not None]
    return [*dict.fromkeys(name for one in answers for name in one.questions)]


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
    if not one.rows:
        return f"{name}: {one.unanswered:,} labelled without an answer"
    text = (
        f"{name}: {one.right:,} of {counted(one.rows, 'row')} as labelled ({percent(one.accuracy)}), "
        f"Brier {rounded_share(one.brier):.2g}"
    )
    if (best := one.best_threshold) is not None:
        text += f", best F1 {best[1]:.2f} from {best[0]:g} on"
    return f"{text}, {one.unanswered:,} labelled without an answer" if one.unanswered else text
