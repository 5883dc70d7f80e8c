"""How answers compare with labels: the figures of a few rows, counted by hand."""

import json
from decimal import Decimal

import pytest

from pxt_assets.compute.partition.label_findings import LabelFindings, threshold_of
from pxt_assets.compute.partition.labels import UNKNOWN, label_of
from pxt_assets.functions.questions import Question

ROWS = [
    (0.9, True),
    (0.8, True),
    (0.7, False),
    (0.6, True),
    (0.4, True),
    (0.3, False),
    (0.2, False),
    (0.1, False),
]
URGENT = Question("urgent", "predicate")
TOPIC = Question("topic", "choice", ("delivery", "defect", "1"))
SURE = Question("sure", "choice", (True, False))
STARS = Question("stars", "score", levels=("1", "2", "3"))
ANGER = Question("anger", "score", levels=("calm", "annoyed", "furious"))


def predicate(rows: list[tuple[float, bool]] = ROWS) -> LabelFindings:
    found = LabelFindings("predicate")
    for probability, is_true in rows:
        found.add_predicate(probability, is_true=is_true)
    return found


def test_figures_of_a_predicate() -> None:
    """At 0.5 two of eight are wrong; the squares are 0.01 + 0.04 + 0.49 + 0.16 + 0.36 + 0.09 + 0.04 + 0.01 = 1.2."""
    found = predicate()
    assert (found.rows, found.right) == (8, 6)
    assert found.accuracy == 0.75
    assert found.brier == pytest.approx(0.15)


def test_calibration_compares_by_decile() -> None:
    """A row a decile: 0.1 + 0.2 + 0.7 + 0.4 + 0.6 + 0.3 + 0.2 + 0.1 = 2.6 of 8; two of one decile make up for each other."""
    assert predicate().calibration_error == pytest.approx(2.6 / 8)
    assert predicate([(0.5, True), (0.5, False)]).calibration_error == pytest.approx(0)
    assert [one.rows for one in predicate([(0.7, True), (1.0, True), (0.0, False)]).deciles] == [
        *(1, 0, 0, 0, 0, 0, 0, 1, 0, 1)  # 0.7 is no 0.6999…, and a whole 1 has no decile of its own
    ]


def test_the_threshold_of_the_best_f1() -> None:
    """From 0.4 on all four true rows are found, with one wrong one: 8 / 9. A higher one loses true rows."""
    assert predicate().best_threshold == (0.4, pytest.approx(8 / 9))
    assert predicate([(0.2, False), (0.3, True)]).best_threshold == (0.3, 1.0)
    assert predicate([(0.2, False)]).best_threshold is None


def test_thresholds_are_fine_where_probabilities_crowd() -> None:
    """Near 0 and 1 three digits tell apart what thousandths do not; elsewhere they are thousandths, and few."""
    rare = [(0.0001, False), (0.0004, False), (0.0008, True), (0.0009, True)]
    assert predicate(rare).best_threshold == (0.0008, 1.0)
    sure = [(0.9991, False), (0.9995, False), (0.99991, True), (0.99995, True)]
    assert predicate(sure).best_threshold == (0.99991, 1.0)
    assert [threshold_of(p) for p in (0.4008, 0.7, 1 / 3, 2 / 3, 1.0, 1e-12)] == [
        *(0.4, 0.7, 0.333, 0.666, 1.0, 0.0)
    ]


def test_partitions_add_up_and_are_kept_as_json() -> None:
    """Figures of two halves are those of the whole."""
    halves = [
        LabelFindings.from_json(json.loads(json.dumps(predicate(part).to_json())))
        for part in (ROWS[:3], ROWS[3:])
    ]
    joined = halves[0] + halves[1]
    assert joined.best_threshold == predicate().best_threshold
    assert (joined.accuracy, joined.brier) == (0.75, pytest.approx(0.15))
    assert joined.deciles == predicate().deciles


@pytest.mark.parametrize(
    ("question", "label", "says"),
    [
        (URGENT, True, True),
        (URGENT, 0, False),
        (URGENT, "TRUE ", True),
        (URGENT, "yes", UNKNOWN),
        (URGENT, 2, UNKNOWN),
        (TOPIC, "defect", 1),
        (TOPIC, 1, 2),  # a file of digits is read as numbers
        (TOPIC, "defekt", UNKNOWN),
        (TOPIC, True, UNKNOWN),
        (SURE, False, 1),
        (SURE, "True", 0),
        (ANGER, "furious", 2),
        (ANGER, 1.0, 1),
        (ANGER, 3, UNKNOWN),
        (ANGER, float("inf"), UNKNOWN),
        (ANGER, "1", 1),
        (ANGER, "9" * 5000, UNKNOWN),
        (ANGER, Decimal(2), 2),
        (ANGER, Decimal("0.5"), UNKNOWN),
        (STARS, 1, 0),
        (STARS, 0, UNKNOWN),
        (SURE, 0, 1),
        (SURE, 1.0, 0),
        (SURE, 2, UNKNOWN),
        (SURE, Decimal(1), 0),
        (URGENT, Decimal(0), False),
        (URGENT, Decimal("NaN"), None),
        *((question, empty, None) for question in (URGENT, TOPIC, ANGER) for empty in (None, " ", float("nan"))),
    ],
)  # fmt: skip
def test_what_a_label_says(question: Question, label: object, says: object) -> None:
    """Of a predicate true or false, of others the place of the answer; no label is no mistake."""
    found = label_of(label, question)
    assert found is says or (found == says and type(found) is type(says))
