"""Answers of decisions as findings count them, read from what cells hold."""

import json
from typing import Any

import pytest

from pxt_assets.compute.partition.answer_findings import AnswerFindings, answer_findings_from_json
from pxt_assets.compute.partition.read_answers import AnswerReader
from pxt_assets.functions.questions import Question

URGENT = Question("urgent", "predicate")
ANGER = Question("anger", "score", levels=("calm", "annoyed", "furious"))


def found(
    question: Question, cells: list[Any], *batches: int, labels: list[Any] | None = None
) -> AnswerFindings:
    """The findings about cells with one answer each, read in batches that end at these rows."""
    findings = AnswerFindings()
    name = str(question.name)
    reader = AnswerReader(findings, [question], [name] if labels else [])
    texts = [None if cell is None else json.dumps({"answers": [], "parsed": {name: cell}}) for cell in cells]
    for start, end in zip((0, *batches), (*batches, len(cells)), strict=True):
        here = {name: labels[start:end]} if labels else {}
        reader.add(texts[start:end], start, lambda i, start=start: f"id={start + i}", here)  # type: ignore[misc]
    return findings


def anger(score: float, first: int) -> dict[str, Any]:
    each = [
        {"label": label, "value": i + first, "probability": 1 / 3} for i, label in enumerate(ANGER.levels)
    ]
    return {"score": score + first, "confidence": 0.5, "probabilities": each[::-1]}


@pytest.mark.parametrize("first", [0, 1])
def test_levels_are_numbered_from_0_or_from_1(first: int) -> None:
    """The level that is nearest to a score is the same, and so is how far that is from the label."""
    findings = found(
        ANGER, [anger(score, first) for score in (0, 0.4, 0.5, 2)], labels=["calm", "annoyed", None, 2]
    )
    assert findings.questions["anger"].counts == [2, 1, 1]
    assert findings.labels["anger"].mean_distance == pytest.approx((0 + 0.6 + 0) / 3)
    assert findings.labels["anger"].right == 2


def test_the_least_sure_rows_are_kept_of_very_many() -> None:
    """Twenty of them, in whatever batches they come; of equal ones the first."""
    cells = [{"probability": 0.5 + (i * 37 % 100) / 250} for i in range(300)]
    findings = found(URGENT, cells, 7, 150)
    sure = sorted((cell["probability"], i) for i, cell in enumerate(cells))
    assert [(one.probability, one.key) for one in findings.doubtful] == [(p, f"id={i}") for p, i in sure[:20]]
    assert findings.below(0.6) == sum(cell["probability"] < 0.6 for cell in cells)


def test_a_confidence_is_below_another_as_written() -> None:
    """One that is 0.68 is not below 0.68, whatever binary digits it has: 1 - 0.32 is 0.6799…."""
    findings = found(URGENT, [{"probability": p} for p in (0.68, 0.32, 0.679)])
    assert (findings.below(0.68), findings.below(0.681)) == (1, 3)


def test_findings_are_kept_as_json() -> None:
    """With the rows that they name."""
    findings = found(
        URGENT, [{"probability": 0.9}, None, {"probability": 0.2}], labels=[False, True, "maybe"]
    )
    assert findings.labels["urgent"].wrong
    assert answer_findings_from_json(json.loads(json.dumps(findings.to_json()))) == findings


@pytest.mark.parametrize(
    "cell",
    [
        {"probability": None},
        {"probability": -3.0},
        {"probability": 9},
        {"probability": "0.5"},
        {"probability": True},
        {},
        "text",
        7,
        {"choice": "a"},
    ],
)
def test_what_nobody_can_read_is_left_out(cell: Any) -> None:
    """A cell is paid for: figures about it do not fail its column."""
    findings = found(URGENT, [cell, {"probability": 0.9}])
    assert findings.questions["urgent"].answered == 1


def test_a_score_of_which_no_level_is_told_counts() -> None:
    """By the numbers that the API gives levels; one that is beyond them does not."""
    cells = [{"score": score, "confidence": 0.5, "probabilities": []} for score in (0.2, 1.7, 3, 1e300)]
    findings = found(ANGER, [*cells, {**cells[0], "confidence": -5}])
    assert findings.questions["anger"].counts == [1, 0, 1]
    assert findings.below(0.6) == 2
