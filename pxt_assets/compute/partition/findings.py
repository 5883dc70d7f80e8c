"""What there is to say of a column's cells: which failed, which are null without a reason, which were flagged.

It is found while the column is written and kept with its file, so that the checks need not read the cells again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pxt_assets.compute.partition.keys import key_text
from pxt_assets.storage.parquet import ParquetFile
from pxt_assets.values.conversion import json_texts

if TYPE_CHECKING:
    import pyarrow as pa

FINDINGS = "findings"
"""Their name in a file's metadata."""
_MAX_NAMED_ROWS = 20
"""Rows that are named, of each kind."""
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
    """Rows that are null because a required input is: they make no request."""
    nulls: int = 0
    """Rows that have neither a value nor an error, though nothing that the column needs is null."""
    null_keys: list[str] = field(default_factory=list)
    flagged: int = 0
    """Rows whose moderation is flagged."""
    flagged_keys: list[str] = field(default_factory=list)

    def add(self, rows: pa.Table, name: str, key: Sequence[str], *, moderates: bool) -> None:
        """Takes in some rows of the column `name`; `moderates` says that its values are moderations."""
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
                        _row_key_text(rows, key, i, first), errortype[i].as_py(), message[:_LONGEST_MESSAGE]
                    )
                )
        if value.null_count:
            absent = pc.and_(value.is_null(), errortype.is_null())
            is_named = rows["_digest"].is_valid()
            self.skipped += pc.sum(pc.and_not(absent, is_named)).as_py() or 0
            found = pc.indices_nonzero(pc.and_(absent, is_named))
            self.nulls += len(found)
            for i in found[: _MAX_NAMED_ROWS - len(self.null_keys)].to_pylist():
                self.null_keys.append(_row_key_text(rows, key, i, first))
        if moderates:
            for i in _flagged_rows(value):
                self.flagged += 1
                if len(self.flagged_keys) < _MAX_NAMED_ROWS:
                    self.flagged_keys.append(_row_key_text(rows, key, i, first))

    def to_json(self) -> str:
        """As JSON, for a file's metadata."""
        said = {name: value for name, value in vars(self).items() if value and name != "failed"}
        failed = [[one.key, one.errortype, one.message] for one in self.failed]
        return json.dumps({**said, **({"failed": failed} if failed else {})})


def findings_from_metadata(metadata: Mapping[str, Any]) -> Findings | None:
    """What a file's metadata says, None where it says nothing."""
    if FINDINGS not in metadata:
        return None
    said = json.loads(metadata[FINDINGS])
    errors, failed = Counter(said.pop("errors", {})), [FailedRow(*one) for one in said.pop("failed", [])]
    return Findings(**said, errors=errors, failed=failed)


def stored_findings(file: ParquetFile, name: str, key: Sequence[str], *, moderates: bool) -> Findings:
    """What there is to say of a stored column."""
    import pyarrow as pa

    known = findings_from_metadata(file.metadata)
    if known is None:  # the file is of an earlier version of this package
        known = Findings()
        columns = [*key, name, f"{name}_errortype", f"{name}_errormsg", "_digest"]
        for batch in file.rows().batches(columns, _ROWS):
            known.add(pa.Table.from_batches([batch]), name, key, moderates=moderates)
    return known


def _row_key_text(rows: pa.Table, key: Sequence[str], i: int, first: int) -> str:
    return key_text(key, rows.slice(i, 1)) if key else f"row {first + i}"


def _flagged_rows(moderations: pa.ChunkedArray) -> list[int]:
    """Which of some moderations say that their input is flagged."""
    import pyarrow.compute as pc

    texts = json_texts(moderations)
    may_be = pc.indices_nonzero(pc.fill_null(pc.match_substring(texts, '"flagged"'), False))
    likely = texts.take(may_be)
    some = pc.indices_nonzero(pc.match_substring_regex(likely, r'"flagged"\s*:\s*true'))
    return [
        i
        for i, text in zip(may_be.take(some).to_pylist(), likely.take(some).to_pylist(), strict=True)
        if any(result.get("flagged") for result in json.loads(text).get("results", []))
    ]
