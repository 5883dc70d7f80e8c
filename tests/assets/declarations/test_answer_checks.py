"""Checks of answers as they are declared, and how their results read."""

from typing import Any

import pytest

from pxt_assets import Checks, Table
from pxt_assets.assets.page.checked_partitions import Checked, result_text
from pxt_assets.compute.partition.findings import Findings
from pxt_assets.errors import DefinitionError


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"min_confidence": 0.6}, "allowed for a column that is a call of decisions alone"),
        ({"labels": "topic"}, "allowed for a column that is a call of decisions alone"),
    ],
)
def test_only_decisions_have_answers_to_look_at(options: dict[str, Any], says: str) -> None:
    """Elsewhere the checks could say nothing."""
    with pytest.raises(DefinitionError, match=says):
        Table("tickets", key="id").add_computed_column(
            c={"a": Table("tickets").body}, checks=Checks(**options)
        )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"min_confidence": 1.5}, "min_confidence=1.5, allowed: above 0, up to 1"),
        ({"min_confidence": 0.62345}, "of at most three decimals"),
        ({"min_confidence": "0.6"}, "min_confidence='0.6', allowed: above 0"),
        ({"min_confidence": True}, "min_confidence=True, allowed: above 0"),
        ({"min_confidence": {}}, "a dict of such by question"),
        ({"min_confidence": {"topic": 2}}, "a dict of such by question"),
        ({"labels": "a", "min_accuracy": True}, "min_accuracy=True, allowed: a share"),
        ({"labels": ""}, "labels='', allowed"),
        ({"labels": {}}, "allowed: a dict of columns' names by question"),
        ({"labels": {"topic": 1}}, "allowed: a dict of columns' names by question"),
        ({"min_accuracy": 0.9}, "a share of the rows, 0 to 1, beside labels"),
    ],
)
def test_what_checks_of_answers_take(options: dict[str, Any], says: str) -> None:
    """Anything else is told while definitions load."""
    with pytest.raises(DefinitionError, match=says):
        Checks(**options)


@pytest.mark.parametrize(
    ("count", "says"), [(0, "no rows below 0.8"), (1, "1 row below 0.8"), (2, "2 rows below 0.8")]
)
def test_the_one_other_partition_is_told_of_in_grammar(count: int, says: str) -> None:
    """Of a single row, too."""
    checked = Checked({"a": Findings()}, {"b": Findings()}, ("a",))
    text = result_text(checked, "no row below 0.8", ("row below 0.8", "rows below 0.8"), {"b": count})
    assert text == f"partition a: no row below 0.8; the other stored partition, b, has {says}"
