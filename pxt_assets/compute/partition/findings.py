"""Findings about a column's cells: which failed, which are null without a reason, which were flagged, what was refused.

They are collected while the column is written, and stored with its file, so that the asset checks need not read it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pxt_assets.compute.partition.answer_findings import AnswerFindings, answer_findings_from_json
from pxt_assets.compute.partition.keys import key_text
from pxt_assets.functions.decision_answers import ALL_REFUSED, REFUSAL
from pxt_assets.functions.questions import Question
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.conversion import json_texts

if TYPE_CHECKING:
    import pyarrow as pa

FINDINGS = "findings"
"""Their name in a file's metadata."""
_MAX_NAMED_ROWS = 20
"""How many rows of each kind are named."""
_LONGEST_MESSAGE = 300
_ROWS = 8_192


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A failed row."""

    key: str
    errortype: str
    message: str


@dataclass
class Findings:
    """Counts are of rows; of each kind the first rows are named, as `id=17`."""

    rows: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Failed rows by error type."""
    failed: list[FailedRow] = field(default_factory=list)
    skipped: int = 0
    """Rows that are null because a required input is null: they make no request."""
    nulls: int = 0
    """Rows that have neither a value nor an error, though no required input is null."""
    null_keys: list[str] = field(default_factory=list)
    flagged: int = 0
    """Rows whose moderation is flagged."""
    flagged_keys: list[str] = field(default_factory=list)
    questions: int = 0
    """Questions about the rows that were answered or refused."""
    questions_refused: int = 0
    """Those of them that the model refused."""
    answers: AnswerFindings | None = None
    """Of a column of decisions."""

    @property
    def absent(self) -> int:
        """Rows that have neither a value nor an error, for whatever reason."""
        return self.skipped + self.nulls

    def add(
        self,
        rows: pa.Table,
        name: str,
        key: Sequence[str],
        *,
        moderates: bool,
        questions: Sequence[Question] = (),
    ) -> None:
        """Adds some rows of the column `name`; `moderates` says that its values are moderations, `questions` what they answer."""
        import pyarrow.compute as pc

        value, errortype = rows[name], rows[f"{name}_errortype"]
        first, self.rows = self.rows, self.rows + rows.num_rows
        if errortype.null_count < rows.num_rows:
            for entry in errortype.drop_null().value_counts().to_pylist():
                self.errors[entry["values"]] += entry["counts"]
            for i in pc.indices_nonzero(errortype.is_valid())[
                : _MAX_NAMED_ROWS - len(self.failed)
            ].to_pylist():
                message = rows[f"{name}_errormsg"][i].as_py() or ""
                self.failed.append(
                    FailedRow(
                        row_key_text(rows, key, i, first), errortype[i].as_py(), message[:_LONGEST_MESSAGE]
                    )
                )
        if value.null_count:
            absent = pc.and_(value.is_null(), errortype.is_null())
            has_digest = rows["_digest"].is_valid()
            self.skipped += pc.sum(pc.and_not(absent, has_digest)).as_py() or 0
            unexplained = pc.indices_nonzero(pc.and_(absent, has_digest))
            self.nulls += len(unexplained)
            for i in unexplained[: _MAX_NAMED_ROWS - len(self.null_keys)].to_pylist():
                self.null_keys.append(row_key_text(rows, key, i, first))
        if moderates:
            for i in _flagged_rows(value):
                self.flagged += 1
                if len(self.flagged_keys) < _MAX_NAMED_ROWS:
                    self.flagged_keys.append(row_key_text(rows, key, i, first))

        if questions:
            asked = len(questions)
            all_refused = asked * (pc.sum(pc.equal(errortype, ALL_REFUSED)).as_py() or 0)
            self.questions += asked * (rows.num_rows - value.null_count) + all_refused
            self.questions_refused += _refused_questions(value) + all_refused

    def to_json(self) -> str:
        """As JSON, for a file's metadata."""
        fields = {name: value for name, value in vars(self).items() if value}
        if self.failed:
            fields["failed"] = [[row.key, row.errortype, row.message] for row in self.failed]
        if self.answers is not None:
            fields["answers"] = self.answers.to_json()
        return json.dumps(fields)


def findings_from_metadata(metadata: Mapping[str, Any]) -> Findings | None:
    """The findings in a file's metadata, None if it has none."""
    if FINDINGS not in metadata:
        return None
    fields = json.loads(metadata[FINDINGS])
    errors, failed = Counter(fields.pop("errors", {})), [FailedRow(*row) for row in fields.pop("failed", [])]
    answers = fields.pop("answers", None)
    return Findings(
        **fields,
        errors=errors,
        failed=failed,
        answers=None if answers is None else answer_findings_from_json(answers),
    )


def stored_findings(
    file: ParquetFile, name: str, key: Sequence[str], *, moderates: bool, questions: Sequence[Question] = ()
) -> Findings:
    """The findings about a stored column, from its metadata or else from its cells."""
    import pyarrow as pa

    findings = findings_from_metadata(file.metadata)
    if findings is None:  # an earlier version of this package wrote the file
        findings = Findings()
        columns = [*key, name, f"{name}_errortype", f"{name}_errormsg", "_digest"]
        for batch in file.rows().batches(columns, _ROWS):
            rows = pa.Table.from_batches([batch])
            findings.add(rows, name, key, moderates=moderates, questions=questions)
    return findings


def row_key_text(rows: pa.Table, key: Sequence[str], i: int, first: int) -> str:
    """The key of a row as a message shows it; `first` is the position of the first of `rows`."""
    return key_text(key, rows.slice(i, 1)) if key else f"row {first + i}"


def _refused_questions(decisions: pa.ChunkedArray) -> int:
    """How many of the answers in these cells are refusals."""
    import pyarrow.compute as pc

    texts = json_texts(decisions)
    likely = texts.filter(pc.fill_null(pc.match_substring(texts, f'"{REFUSAL}"'), False))
    return sum(
        one.get("type") == REFUSAL for text in likely.to_pylist() for one in json.loads(text)["answers"]
    )


def _flagged_rows(moderations: pa.ChunkedArray) -> list[int]:
    """The positions of the moderations that flag their input."""
    import pyarrow.compute as pc

    texts = json_texts(moderations)
    may_be = pc.indices_nonzero(pc.fill_null(pc.match_substring(texts, '"flagged"'), False))
    likely = texts.take(may_be)
    matching = pc.indices_nonzero(pc.match_substring_regex(likely, r'"flagged"\s*:\s*true'))
    return [
        i
        for i, text in zip(may_be.take(matching).to_pylist(), likely.take(matching).to_pylist(), strict=True)
        if any(result.get("flagged") for result in json.loads(text).get("results", []))
    ]
