"""Reads the answers of `decisions` for findings about them, some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic_core import from_json

from pxt_assets.compute.partition.answer_findings import MOST_NAMED, AnswerFindings, QuestionFindings
from pxt_assets.compute.partition.label_findings import (
    DECILES,
    FirstRows,
    LabelFindings,
    NamedRow,
    decile_of,
    step_of,
)
from pxt_assets.compute.partition.labels import UNKNOWN, label_of, label_text
from pxt_assets.functions.decision_answers import ROUNDING
from pxt_assets.functions.questions import Question

_LABEL_CHARACTERS = 40
_NAMED = 400
"""How many of the least sure rows are named of all questions together."""


def question_names(questions: Sequence[Question]) -> list[str]:
    """What each question is called: by its name, or by its place among all."""
    names: list[str] = []
    taken = {question.name for question in questions}
    for i, question in enumerate(questions, 1):
        name = question.name or f"question {i}"
        while question.name is None and name in taken:
            name += "'"
        names.append(name)
    return names


class AnswerReader:
    """Adds answers to findings; `labelled` are the questions whose answers have labels."""

    def __init__(
        self, findings: AnswerFindings, questions: Sequence[Question], labelled: Iterable[str]
    ) -> None:
        self._findings = findings
        self._questions = [*zip(question_names(questions), questions, strict=True)]
        most = max(min(MOST_NAMED, _NAMED // max(len(questions), 1)), 1)
        self._least: dict[str, FirstRows] = {}
        self._by_name = dict(self._questions)
        for name, question in self._questions:
            options = question.choices if question.kind == "choice" else question.levels
            count = DECILES if question.kind == "predicate" else len(options)
            findings.questions[name] = QuestionFindings(question.kind, [*options], [0] * count)
            self._least[name] = FirstRows(most)
        findings.labels.update({name: LabelFindings(self._by_name[name].kind) for name in labelled})
        self._wrong = {name: FirstRows(MOST_NAMED) for name in findings.labels}

    def add(
        self,
        texts: Iterable[str | None],
        first: int,
        key_text: Callable[[int], str],
        labels: Mapping[str, Sequence[Any]],
    ) -> None:
        """Adds rows from the position `first` on: the JSON of each, None where it has no answers.

        `key_text` names a row by its place among these; `labels` are theirs, by question.
        """
        for i, text in enumerate(texts):
            value = None if text is None else from_json(text)
            answers = {} if value is None else dict(self._answers(value))
            row = _Row(first + i, i, key_text)
            for name, values in labels.items():
                self._compare(name, answers.get(name), values[i], row)
            if answers:
                least = min(answer.confidence for answer in answers.values())
                self._findings.confidences[step_of(least)] += 1
            for name, answer in answers.items():
                sure = answer.confidence
                self._findings.questions[name].confidences[step_of(sure)] += 1
                self._least[name].add(sure, row.position, partial(row.named, name, answer))
        self._findings.doubtful = [named for one in self._least.values() for named in one.rows]
        for name, wrong in self._wrong.items():
            self._findings.labels[name].wrong = wrong.rows

    def _answers(self, value: Mapping[str, Any]) -> Iterator[tuple[str, _Answer]]:
        """The answers of a row by question, counted."""
        for i, (name, question) in enumerate(self._questions):
            found = self._findings.questions[name]
            try:
                given = value["answers"][i] if question.name is None else value["parsed"][question.name]
                is_refused = given is None or given.get("type") == "refusal"
                answer = None if is_refused else _Answer(question, given)
            except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
                continue  # whatever a cell holds is no reason to fail what was paid for
            if answer is None:
                found.refused += 1
                continue
            found.answered += 1
            found.confidence += answer.confidence
            found.counts[answer.bar] += 1
            found.true += answer.is_true
            found.score += answer.score
            yield name, answer

    def _compare(self, name: str, answer: _Answer | None, given: Any, row: _Row) -> None:
        found, question = self._findings.labels[name], self._by_name[name]
        label = label_of(given, question)
        if label is None:
            return
        if label is UNKNOWN:
            found.add_unknown(label_text(given)[:_LABEL_CHARACTERS])
            return
        if answer is None:
            found.unanswered += 1
            return
        if question.kind == "predicate":
            found.add_predicate(answer.probability, is_true=label)
            sure, is_right = answer.confidence, answer.is_true == label
        else:
            chances = answer.chances
            sure, is_right = chances[answer.bar], answer.bar == label
            found.add(
                sure,
                right=is_right,
                squares=sum((one - (i == label)) ** 2 for i, one in enumerate(chances)),
                distance=answer.distance(label),
            )
        if not is_right:
            said = label_text(given)[:_LABEL_CHARACTERS]
            self._wrong[name].add(-sure, row.position, lambda: row.named(name, answer, sure, said))


@dataclass(frozen=True, slots=True)
class _Row:
    position: int
    place: int
    """Among the rows that are read together."""
    key_text: Callable[[int], str]

    def named(self, name: str, answer: _Answer, sure: float | None = None, label: str = "") -> NamedRow:
        sure = answer.confidence if sure is None else sure
        return NamedRow(self.key_text(self.place), name, answer.text, sure, self.position, label=label)


class _Answer:
    """An answer to a question, read."""

    __slots__ = ("_given", "_lowest", "_question", "bar", "confidence", "is_true", "probability", "score")

    def __init__(self, question: Question, given: Mapping[str, Any]) -> None:
        self._question, self._given = question, given
        self.probability = self.score = 0.0
        self.is_true, self._lowest = False, 0
        if question.kind == "predicate":
            self.probability = _number(given["probability"], 0, 1)
            self.is_true = self.probability >= 0.5
            self.confidence = max(self.probability, 1 - self.probability)
            self.bar = decile_of(self.probability)
            return
        self.confidence = _number(given["confidence"], 0, 1)
        if question.kind == "choice":
            self.bar = question.choices.index(given["choice"])
        else:
            highest = len(question.levels) - 1
            for one in given["probabilities"][:1]:
                self._lowest = int(one["value"]) - question.levels.index(one["label"])
            self.score = _number(given["score"], self._lowest, self._lowest + highest)
            self.bar = min(max(int(self.score - self._lowest + 0.5), 0), highest)

    @property
    def text(self) -> str:
        """What was answered, in a word."""
        if self._question.kind == "predicate":
            return str(self.is_true).lower()
        if self._question.kind == "choice":
            choice = self._question.choices[self.bar]
            return str(choice).lower() if isinstance(choice, bool) else choice
        return self._question.levels[self.bar]

    def distance(self, level: int) -> float:
        """How far a score is from a level; not all servers number them from 0."""
        return abs(self.score - self._lowest - level) if self._question.kind == "score" else 0.0

    @property
    def chances(self) -> list[float]:
        """The probabilities of the choices, or of the levels, in their order."""
        options: Sequence[str | bool] = self._question.choices or self._question.levels
        named = "value" if self._question.kind == "choice" else "label"
        found = {one[named]: float(one["probability"]) for one in self._given["probabilities"]}
        return [found.get(option, 0.0) for option in options]


def _number(value: Any, least: float, most: float) -> float:
    """A number between two. Raises ValueError for anything else: not all that cells hold was looked at."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least - ROUNDING <= value <= most + ROUNDING:
        raise ValueError(value)
    return float(min(max(value, least), most))
