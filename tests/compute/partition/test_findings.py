"""What is found in a column's cells, and kept with its file."""

import json
from typing import Any

import pyarrow as pa
import pytest
from upath import UPath

from pxt_assets.compute.partition.findings import (
    FINDINGS,
    FailedRow,
    Findings,
    findings_from_metadata,
    stored_findings,
)
from pxt_assets.functions.questions import Question
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.conversion import to_arrow
from pxt_assets.values.types import Json


def rows(*cells: tuple[Any, str | None, bool]) -> pa.Table:
    """Of (value, error, whether it has a digest); keys are 0, 1, ..."""
    return pa.table(
        {
            "id": range(len(cells)),
            "c": to_arrow([value for value, _, _ in cells], Json),
            "c_errortype": pa.array([error for _, error, _ in cells], pa.string()),
            "c_errormsg": pa.array([error and f"it is {error}" for _, error, _ in cells], pa.string()),
            "_digest": pa.array([b"d" * 16 if named else None for _, _, named in cells], pa.binary(16)),
        }
    )


def found_in(
    *cells: tuple[Any, str | None, bool], key: list[str] | None = None, moderates: bool = False
) -> Findings:
    findings = Findings()
    findings.add(rows(*cells), "c", ["id"] if key is None else key, moderates=moderates)
    return findings


def flagged(*flags: bool) -> dict[str, Any]:
    return {"results": [{"flagged": flag, "categories": {"said": '"flagged": true'}} for flag in flags]}


def test_failed_rows_are_counted_and_named() -> None:
    """By type; the first ones with their keys and messages."""
    findings = found_in((1, None, True), (None, "Bad", True), (None, "Bad", True), (2, "Worse", True))
    assert findings.rows == 4
    assert dict(findings.errors) == {"Bad": 2, "Worse": 1}
    assert findings.failed[0] == FailedRow("id=1", "Bad", "it is Bad")
    assert [one.key for one in findings.failed] == ["id=1", "id=2", "id=3"]
    assert findings.nulls == 0


def test_nulls_without_a_reason() -> None:
    """A row without a digest is made of a null, and a failed one has an error: neither is unexpected."""
    findings = found_in((None, None, True), (None, None, False), (None, "Bad", True), (0, None, True))
    assert (findings.nulls, findings.null_keys) == (1, ["id=0"])
    assert findings.skipped == 1


@pytest.mark.parametrize(
    ("value", "is_flagged"),
    [
        (flagged(True), True),
        (flagged(False), False),
        (flagged(False, True), True),
        ({"results": []}, False),
        (None, False),
    ],
    ids=str,
)
def test_flagged_rows(value: Any, is_flagged: bool) -> None:
    """Told by the results themselves, whatever else is in the answer."""
    findings = found_in((value, None, True), moderates=True)
    assert (findings.flagged, findings.flagged_keys) == ((1, ["id=0"]) if is_flagged else (0, []))
    assert found_in((value, None, True)).flagged == 0


def test_rows_without_a_key_are_numbered_over_all_parts() -> None:
    """As messages number them."""
    findings = Findings()
    for _ in range(3):
        findings.add(rows((1, None, True), (None, "Bad", True)), "c", [], moderates=False)
    assert [one.key for one in findings.failed] == ["row 1", "row 3", "row 5"]


def test_only_the_first_are_named() -> None:
    """Counts are of all."""
    findings = found_in(*[(None, "Bad", True)] * 500, *[(None, None, True)] * 300)
    assert (findings.errors["Bad"], len(findings.failed)) == (500, 20)
    assert (findings.nulls, len(findings.null_keys)) == (300, 20)


def test_they_are_read_back_as_they_were() -> None:
    """From a file's metadata, which says nothing of what was not found."""
    findings = found_in((flagged(True), None, True), (None, "Bad", True), (None, None, True), moderates=True)
    assert findings_from_metadata({FINDINGS: findings.to_json()}) == findings
    assert json.loads(found_in((1, None, True)).to_json()) == {"rows": 1}
    assert findings_from_metadata({}) is None


def test_a_file_that_says_nothing_is_read(tmp_path: Any) -> None:
    """Those that an earlier version of this package wrote."""
    cells = [(flagged(True), None, True), (None, "Bad", True), (None, None, True), (None, None, False)]
    file = ParquetFile(UPath(tmp_path / "c.parquet"))
    file.write(rows(*cells).schema, [rows(*cells)], {})
    assert stored_findings(file, "c", ["id"], moderates=True) == found_in(*cells, moderates=True)
    said = Findings(rows=4, nulls=17)
    file.write(rows(*cells).schema, [rows(*cells)], {FINDINGS: said.to_json()})
    assert stored_findings(file, "c", ["id"], moderates=True) == said


def test_refused_questions_are_counted() -> None:
    """Those of answered rows, with or without a name, and all of the rows of which all were refused."""
    refused, chosen = {"type": "refusal"}, {"type": "choice", "choice": "refusal"}
    findings = Findings()
    table = rows(
        ({"answers": [chosen, refused]}, None, True),
        ({"answers": [chosen, chosen]}, None, True),
        (None, "RefusalError", True),
        (None, "InvalidAnswer", True),
        (None, None, False),
    )
    questions = [Question("a", "choice"), Question(None, "choice")]
    findings.add(table, "c", ["id"], moderates=False, questions=questions)
    assert (findings.questions, findings.questions_refused) == (6, 3)
    assert findings_from_metadata({FINDINGS: findings.to_json()}) == findings
