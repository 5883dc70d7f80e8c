"""Findings about the answers of `decisions`: how they are distributed, and which rows are the least sure ones.

They take as much memory for a million rows as for one: counts, sums, and a few rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pxt_assets.compute.partition.label_findings import LabelFindings, NamedRow, step_of

MOST_NAMED = 20
"""How many of the least sure rows are named, and of those that are answered otherwise than labelled, of each question."""


@dataclass
class QuestionFindings:
    """The answers to one question. Sums are over `answered` rows."""

    kind: str
    options: list[str | bool]
    """The choices, or the labels of the levels."""
    counts: list[int]
    """Rows by decile of their probability, by choice, or by the level that is nearest to their score."""
    answered: int = 0
    refused: int = 0
    true: int = 0
    """Rows whose probability is 0.5 or more."""
    score: float = 0.0
    """The sum of their scores."""
    confidence: float = 0.0
    """The sum of their confidences: of a predicate the probability of what is likelier."""
    confidences: Counter[int] = field(default_factory=Counter)
    """Rows by their confidence, in steps."""

    def below(self, confidence: float) -> int:
        """Rows whose answer is less sure than that, a step."""
        return _below(self.confidences, confidence)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> QuestionFindings:
        """The inverse of its fields as JSON."""
        return cls(**{**stored, "confidences": _counter(stored.get("confidences", {}))})


@dataclass
class AnswerFindings:
    """Findings about a column of decisions, by the name of each question."""

    questions: dict[str, QuestionFindings] = field(default_factory=dict)
    confidences: Counter[int] = field(default_factory=Counter)
    """Rows by the confidence of their least sure answer, in steps."""
    doubtful: list[NamedRow] = field(default_factory=list)
    """The least sure rows of each question, the least sure one first."""
    labels: dict[str, LabelFindings] = field(default_factory=dict)
    """How the answers compare with labels, of the questions that have such."""

    def below(self, confidence: float) -> int:
        """Rows whose least sure answer is less sure than that, a step."""
        return _below(self.confidences, confidence)

    @property
    def named_rows(self) -> list[NamedRow]:
        """All rows that are named."""
        return [*self.doubtful, *(row for one in self.labels.values() for row in one.wrong)]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "questions": {name: vars(one) for name, one in self.questions.items()},
            "confidences": dict(self.confidences),
            "doubtful": [list(vars(one).values()) for one in self.doubtful],
            "labels": {name: one.to_json() for name, one in self.labels.items()},
        }


def answer_findings_from_json(stored: Mapping[str, Any]) -> AnswerFindings:
    """The inverse of `to_json`."""
    return AnswerFindings(
        {name: QuestionFindings.from_json(one) for name, one in stored["questions"].items()},
        _counter(stored["confidences"]),
        [NamedRow(*one) for one in stored["doubtful"]],
        {name: LabelFindings.from_json(one) for name, one in stored["labels"].items()},
    )


def _below(confidences: Mapping[int, int], confidence: float) -> int:
    return sum(count for step, count in confidences.items() if step < step_of(confidence))


def _counter(stored: Mapping[str, int]) -> Counter[int]:
    return Counter({int(step): count for step, count in stored.items()})
