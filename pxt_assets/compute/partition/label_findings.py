"""How the answers to one question compare with labels: how often they are right, and whether probabilities mean what they say.

All figures come of counts and sums, so that those of partitions add up.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

STEPS = 1_000
"""How finely confidences are counted."""
_DIGITS = 3
"""Of thresholds, counted from 0 or from 1, whichever is nearer: that is where probabilities crowd."""
_LEAST = 1e-9
"""What is nearer to 0 or 1 counts as it."""
DECILES = 10
_UNKNOWN_NAMED = 5


@dataclass
class Decile:
    """Rows whose probability is in one of ten equal parts of 0 to 1."""

    rows: int = 0
    probability: float = 0.0
    """The sum of their probabilities."""
    right: int = 0
    """Rows that are true, of a predicate; rows that are answered as they are labelled, of other questions."""


@dataclass
class NamedRow:
    """A row, and an answer to look at."""

    key: str
    question: str
    answer: str
    probability: float
    """How sure the answer is."""
    row: int
    """Its position."""
    input: str = ""
    label: str = ""
    """What it was labelled, where that is another answer."""


class FirstRows:
    """The first rows by a rank, of which there are at most `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, NamedRow]] = []

    def add(self, rank: float, row: int, named: Callable[[], NamedRow]) -> None:
        """Adds a row of that position, which is named only where it is among the first."""
        place = (-rank, -row)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (*place, named()))
        elif place > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (*place, named()))

    @property
    def rows(self) -> list[NamedRow]:
        """The rows, in their order."""
        return [row for *_, row in sorted(self._heap, key=lambda one: one[:2], reverse=True)]


@dataclass
class LabelFindings:
    """Counts and sums are over rows that have both a label and an answer.

    What is compared is the probability of a predicate, and that of the answer that is given of a choice or a score.
    """

    kind: str
    rows: int = 0
    right: int = 0
    """Rows that are answered as they are labelled: predicates at 0.5, scores by the nearest level."""
    squares: float = 0.0
    """The sum of squared differences between probabilities and what is so: over all choices, or levels, of a question."""
    distance: float = 0.0
    """The sum of differences between scores and the labels' levels."""
    deciles: list[Decile] = field(default_factory=lambda: [Decile() for _ in range(DECILES)])
    true: Counter[float] = field(default_factory=Counter)
    """Rows labelled true, by the highest threshold that their probability reaches."""
    false: Counter[float] = field(default_factory=Counter)
    unanswered: int = 0
    """Rows that have a label and no answer."""
    unknown: int = 0
    """Rows whose label is no answer that the question has."""
    unknown_labels: list[str] = field(default_factory=list)
    """The first such labels."""
    wrong: list[NamedRow] = field(default_factory=list)
    """Rows that are answered otherwise than labelled, those first whose answer is the surest."""

    def add(self, probability: float, *, right: bool, squares: float, distance: float = 0.0) -> None:
        """Adds a row's probability, whether it came true or is answered as it is labelled, and how far off it is."""
        self.rows += 1
        self.right += right
        self.squares += squares
        self.distance += distance
        decile = self.deciles[decile_of(probability)]
        decile.rows += 1
        decile.probability += probability
        decile.right += right

    def add_predicate(self, probability: float, *, is_true: bool) -> None:
        """Adds a row of a predicate."""
        self.add(probability, right=is_true, squares=(probability - is_true) ** 2)
        self.right += ((probability >= 0.5) == is_true) - is_true
        (self.true if is_true else self.false)[threshold_of(probability)] += 1

    def add_unknown(self, label: str) -> None:
        """Adds a row whose label is none of the answers."""
        self.unknown += 1
        if len(self.unknown_labels) < _UNKNOWN_NAMED and label not in self.unknown_labels:
            self.unknown_labels.append(label)

    def __add__(self, other: LabelFindings) -> LabelFindings:
        labels = dict.fromkeys([*self.unknown_labels, *other.unknown_labels])
        pairs = zip(self.deciles, other.deciles, strict=True)
        summed = {
            name: getattr(self, name) + getattr(other, name)
            for name in (
                "rows",
                "right",
                "squares",
                "distance",
                "true",
                "false",
                "unanswered",
                "unknown",
            )
        }
        return LabelFindings(
            self.kind,
            **summed,
            deciles=[
                Decile(a.rows + b.rows, a.probability + b.probability, a.right + b.right) for a, b in pairs
            ],
            unknown_labels=[*labels][:_UNKNOWN_NAMED],
            wrong=[*self.wrong, *other.wrong],
        )

    @property
    def accuracy(self) -> float:
        """The share of rows that are answered as they are labelled."""
        return self.right / self.rows

    @property
    def brier(self) -> float:
        """The mean of `squares`, 0 at best: up to 1 of a predicate, up to 2 of a question with several answers."""
        return self.squares / self.rows

    @property
    def calibration_error(self) -> float:
        """How far probabilities are from the shares that came true, on average over the rows, by decile."""
        return sum(abs(one.right - one.probability) for one in self.deciles) / self.rows

    @property
    def mean_distance(self) -> float:
        """How many levels a score is off, on average."""
        return self.distance / self.rows

    @property
    def best_threshold(self) -> tuple[float, float] | None:
        """The probability from which on a predicate is best taken for true, and the F1 it has then.

        The lowest of those with the highest F1; None where no row is labelled true.
        """
        best: tuple[float, float] | None = None
        true, wrong = self.true.total(), self.false.total()
        found = true
        for threshold in sorted({*self.true, *self.false}):
            f1 = 2 * found / (found + wrong + true) if true else 0.0
            if f1 > (best[1] if best else 0.0):
                best = threshold, f1
            found -= self.true[threshold]
            wrong -= self.false[threshold]
        return best

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        more = {
            "deciles": [[one.rows, one.probability, one.right] for one in self.deciles],
            "wrong": [list(vars(one).values()) for one in self.wrong],
        }
        return {name: value for name, value in {**vars(self), **more}.items() if value}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> LabelFindings:
        """The inverse of `to_json`."""
        known = {one.name for one in fields(cls)}
        given = {name: value for name, value in stored.items() if name in known}
        counters = {
            name: Counter({float(threshold): count for threshold, count in given.get(name, {}).items()})
            for name in ("true", "false")
        }
        deciles = [Decile(*one) for one in given["deciles"]]
        wrong = [NamedRow(*one) for one in given.get("wrong", ())]
        return cls(**{**given, **counters, "deciles": deciles, "wrong": wrong})


def step_of(probability: float) -> int:
    """The step of a probability, rounded down; one that is a step but for the last binary digits counts as it."""
    return int(probability * STEPS + 1e-6)


def threshold_of(probability: float) -> float:
    """The threshold at a probability or just below it, so that there are few of them however many rows there are."""
    if probability < _LEAST:
        return 0.0
    if probability < 0.5:
        return _cut(probability, math.floor, 1e-6)
    rest = 1 - probability
    return 1.0 if rest < _LEAST else round(1 - _cut(rest, math.ceil, -1e-6), 15)


def _cut(share: float, to_whole: Callable[[float], int], within: float) -> float:
    """A share with so many digits; one that has these but for the last binary digits stays as it is."""
    decimals = _DIGITS - 1 - math.floor(math.log10(share))
    scale = 10.0**decimals
    return round(to_whole(share * scale + within) / scale, decimals)


def decile_of(probability: float) -> int:
    """0 to 9; a whole 1 is in the last one."""
    return min(int(probability * DECILES), DECILES - 1)
