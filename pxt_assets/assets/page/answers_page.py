"""What the page shows of the answers of `decisions`: how each question's are distributed, and figures that plot."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from pxt_assets.assets.page.answer_figures import MAX_QUESTIONS, answer_figures, option_text
from pxt_assets.assets.page.charts import histogram, reliability
from pxt_assets.assets.page.figures import percent, rounded_share
from pxt_assets.assets.page.markdown import (
    BREAKS,
    NO_BREAK,
    behind_a_click,
    escape_markdown,
    fits_inline,
    shortened,
)
from pxt_assets.compute.partition.answer_findings import AnswerFindings, QuestionFindings
from pxt_assets.compute.partition.label_findings import LabelFindings
from pxt_assets.values.wording import counted

_DRAWN = 100
"""Of how many questions the distribution is drawn."""
_TOLD = 5
"""Choices, or levels, whose shares are told in words."""
_NAME = 24


def answers_metadata(findings: AnswerFindings | None) -> dict[str, Any]:
    """The distribution of each question's answers, drawn, and figures about it; nothing of other columns."""
    if findings is None or not any(one.answered or one.refused for one in findings.questions.values()):
        return {}
    return {
        **_entry(
            "pxt/answers", distribution(findings.questions), distribution(findings.questions, short=True)
        ),
        **reliability_metadata(findings.labels),
        **answer_figures(findings),
    }


def distribution(questions: Mapping[str, QuestionFindings], *, short: bool = False) -> str:
    """A table of the questions with a histogram of each: as many as fit, in few words, where it is `short`."""
    asked = {name: one for name, one in questions.items() if one.answered or one.refused}
    rows: list[str] = []
    for name, one in [*asked.items()][:_DRAWN]:
        told = _told(one, 1 if short else _TOLD)
        row = (
            f"| {_shown(name, short=short)} | {_shares_shown(told, short=short)} | {histogram(one.counts)} |"
        )
        if short and not fits_inline("\n".join([*_HEAD, *rows, row, _left_out(len(asked))])):
            break
        rows.append(row)
    more = len(asked) - len(rows)
    return "\n".join([*_HEAD, *rows, *([_left_out(more)] if more else [])])


_HEAD = ("| question | answers | |", "| --- | --- | --- |")


def _left_out(count: int) -> str:
    return f"| … {count:,} more | | |"


def _told(one: QuestionFindings, most: int) -> str:
    """`34 % true`, `delivery 52 %, defect 30 %`, `mean 0.8; calm 61 %`, `34 % true; 2 refused`"""
    told = _told_of_answers(one, most) if one.answered else ""
    return "; ".join([*([told] if told else []), *([f"{one.refused:,} refused"] if one.refused else [])])


def _told_of_answers(one: QuestionFindings, most: int) -> str:
    if one.kind == "predicate":
        return f"{percent(one.true / one.answered)} true"
    ranked = sorted(zip(one.counts, map(option_text, one.options), strict=True), key=lambda pair: -pair[0])
    shares = [f"{shortened(text, _NAME)} {percent(count / one.answered)}" for count, text in ranked if count]
    told = ", ".join(shares[:most])
    return told if one.kind == "choice" else f"mean {rounded_share(one.score / one.answered):.2f}; {told}"


def _shown(text: str, *, short: bool) -> str:
    return BREAKS[0].markdown(shortened(text, _NAME)) if short else escape_markdown(text)


def _shares_shown(text: str, *, short: bool) -> str:
    """Shares with what they are of in one line each."""
    return re.sub(rf" (?=[\d,]+{NO_BREAK}%)", NO_BREAK, _shown(text, short=short))


def _entry(name: str, whole: str, short: str) -> dict[str, dg.MarkdownMetadataValue]:
    """An entry that is shown at once, and the whole where that leaves something out."""
    if fits_inline(whole):
        return {name: dg.MetadataValue.md(whole)}
    return {
        name: dg.MetadataValue.md(short),
        f"{name}_all": dg.MetadataValue.md(behind_a_click(whole)),
    }


def reliability_metadata(
    labels: Mapping[str, LabelFindings], *, at_once: bool = True
) -> dict[str, dg.MarkdownMetadataValue]:
    """How far probabilities came true by decile, drawn for each question that has labelled rows; nothing without.

    The worst calibrated question is the first. `at_once` has a shorter entry beside the whole, where that is long.
    """
    worst = sorted(
        ((name, one) for name, one in labels.items() if one.rows), key=lambda pair: -pair[1].calibration_error
    )
    rows: list[str] = []
    for name, one in worst[:MAX_QUESTIONS]:
        deciles = [(d.rows, d.probability / d.rows, d.right / d.rows) for d in one.deciles if d.rows]
        told = f"{name}: {counted(one.rows, 'row')}, off by {one.calibration_error:.2f}"
        rows.append(f"| {escape_markdown(told)} | {reliability(deciles)} |")
    if not rows:
        return {}
    whole = _reliability_table(rows, len(worst))
    if not at_once:
        return {"pxt/reliability": dg.MetadataValue.md(whole)}
    shown = [_reliability_table(rows[:i], len(worst)) for i in range(len(rows), 0, -1)]
    return _entry("pxt/reliability", whole, next(filter(fits_inline, shown), shown[-1]))


def _reliability_table(rows: Sequence[str], of: int) -> str:
    more = [f"| … {of - len(rows):,} more | |"] if of > len(rows) else []
    head = ("| question | came true (up) over said (across), 0 to 1 |", "| --- | --- |")
    return "\n".join([*head, *rows, *more])
