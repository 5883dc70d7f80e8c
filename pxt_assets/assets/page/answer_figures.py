"""Figures about the answers of `decisions`, by names that plot across partitions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pxt_assets.assets.page.figures import rounded_share
from pxt_assets.compute.partition.answer_findings import AnswerFindings, QuestionFindings
from pxt_assets.compute.partition.label_findings import LabelFindings

MAX_QUESTIONS = 20
MAX_CHOICES = 10
"""Of how many questions, and choices of each, there are figures of their own."""
_KEY_CHARACTERS = 40
_OF_LABELS = (
    "labelled",
    "accuracy",
    "brier",
    "calibration_error",
    "mean_distance",
    "best_threshold",
    "best_f1",
)


def answer_figures(findings: AnswerFindings) -> dict[str, float]:
    """Figures about the first questions, and about those that are compared with labels."""
    questions, words = findings.questions, words_of(findings.questions)
    told = [*dict.fromkeys([*[*questions][:MAX_QUESTIONS], *[*findings.labels][:MAX_QUESTIONS]])]
    taken = {
        f"{word}_{what}" for name, word in words.items() for what in (*_fixed(questions[name]), *_OF_LABELS)
    }
    figures: dict[str, float] = {}
    for name in told:
        shares = _shares(questions[name])
        keys = [f"{words[name]}_share_{_plain(text)}" for text, _ in shares]
        for key, (_, share) in zip(_numbered(keys, taken), shares, strict=True):
            figures[f"pxt/{key}"] = rounded_share(share)
        found = [*_figures(questions[name])]
        if name in findings.labels:
            found += label_figures(findings.labels[name])
        figures |= {f"pxt/{words[name]}_{what}": _rounded(figure) for what, figure in found}
    return figures


def labels_figures(labels: Mapping[str, LabelFindings], questions: Sequence[str]) -> dict[str, float]:
    """Figures about how answers compare with labels, by the names that they have beside those of all `questions`."""
    words = words_of([*questions, *labels])
    return {
        f"pxt/{words[name]}_{what}": _rounded(figure)
        for name in [*labels][:MAX_QUESTIONS]
        for what, figure in label_figures(labels[name])
    }


def option_text(option: str | bool) -> str:
    """A choice as text: truths as JSON has them."""
    return str(option).lower() if isinstance(option, bool) else option


def _rounded(figure: float) -> float:
    """A share or a mean, rounded; a count as it is."""
    return figure if isinstance(figure, int) else rounded_share(figure)


def _fixed(one: QuestionFindings) -> Iterator[str]:
    """The names of a question's figures, but for those of choices."""
    if one.kind == "predicate":
        yield "share_true"
    elif one.kind == "score":
        yield "mean_score"
    elif len(one.counts) > MAX_CHOICES:
        yield "share_of_others"
    yield "mean_confidence"


def _figures(one: QuestionFindings) -> Iterator[tuple[str, float]]:
    if not one.answered:
        return
    if one.kind == "predicate":
        yield "share_true", one.true / one.answered
    elif one.kind == "score":
        yield "mean_score", one.score / one.answered
    elif len(one.counts) > MAX_CHOICES:
        yield "share_of_others", sum(one.counts[MAX_CHOICES:]) / one.answered
    yield "mean_confidence", one.confidence / one.answered


def _shares(one: QuestionFindings) -> list[tuple[str, float]]:
    """The first choices, and how many of the answered rows each has."""
    if one.kind != "choice" or not one.answered:
        return []
    choices = [*map(option_text, one.options[:MAX_CHOICES])]
    return [(text, count / one.answered) for text, count in zip(choices, one.counts, strict=False)]


def label_figures(one: LabelFindings) -> Iterator[tuple[str, float]]:
    """What there is to say of labelled rows, each with its name."""
    yield "labelled", one.rows
    if not one.rows:
        return
    yield "accuracy", one.accuracy
    yield "brier", one.brier
    yield "calibration_error", one.calibration_error
    if one.kind == "score":
        yield "mean_distance", one.mean_distance
    if (best := one.best_threshold) is not None:
        yield "best_threshold", best[0]
        yield "best_f1", best[1]


def words_of(names: Iterable[str]) -> dict[str, str]:
    """What stands for each name in the names of metadata."""
    different = [*dict.fromkeys(names)]
    return dict(zip(different, _numbered([*map(_plain, different)], set()), strict=True))


def _plain(name: str) -> str:
    """The letters, digits and _ of a name, as many as there is room for."""
    return re.sub(r"\W+", "_", name.strip())[:_KEY_CHARACTERS].strip("_") or "_"


def _numbered(words: Sequence[str], taken: set[str]) -> Iterator[str]:
    """The words, with a number where one is taken; they are taken from then on."""
    for plain in words:
        word, number = plain, 2
        while word in taken:
            word, number = f"{plain}_{number}", number + 1
        taken.add(word)
        yield word
