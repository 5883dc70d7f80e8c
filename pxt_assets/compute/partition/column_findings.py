"""The findings about a column, collected while it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pxt_assets.compute.partition.answer_findings import AnswerFindings
from pxt_assets.compute.partition.column import Column
from pxt_assets.compute.partition.findings import Findings, row_key_text
from pxt_assets.compute.partition.inputs import Inputs
from pxt_assets.compute.partition.label_findings import NamedRow
from pxt_assets.compute.partition.labels import label_reader
from pxt_assets.compute.partition.read_answers import AnswerReader
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.values.conversion import json_texts
from pxt_assets.values.media import Media
from pxt_assets.values.types import has_media, is_media

if TYPE_CHECKING:
    import pyarrow as pa

_INPUT_CHARACTERS = 300
_ROWS = 8_192


def finding_collector(column: Column, findings: Findings) -> Callable[[pa.Table], None]:
    """A function that adds the next rows of the column's file to its findings, beginning with the first."""
    if not column.questions:
        return lambda rows: findings.add(rows, column.name, column.inputs.key, moderates=column.moderates)
    findings.answers = AnswerFindings()
    reader = AnswerReader(findings.answers, column.questions, column.labels)
    next_labels = label_reader(column.inputs, column.labels)

    def add(rows: pa.Table) -> None:
        first = findings.rows
        findings.add(rows, column.name, column.inputs.key, moderates=False, questions=column.questions)
        texts = json_texts(rows[column.name]).to_pylist()
        key = column.inputs.key
        reader.add(texts, first, lambda i: row_key_text(rows, key, i, first), next_labels(rows.num_rows))

    return add


def add_inputs(findings: Findings, inputs: Inputs) -> None:
    """Adds to the rows that are named what they were asked about, as far as that is no image or sound."""
    rows = [] if findings.answers is None else findings.answers.named_rows
    refs = [ref for ref in inputs.columns if not _holds_media(ref, inputs)]
    if not rows or not refs:
        return
    try:
        texts = _texts(sorted(rows, key=lambda one: one.row), replace(inputs, columns=refs))
    except Exception:  # the column is paid for: it does not fail for what a check shows
        return
    for row in rows:
        row.input = texts[row.row]


def _holds_media(ref: ColumnRef, inputs: Inputs) -> bool:
    schema = inputs.rows[ref._asset].schema
    is_there = ref._column in schema.names
    return is_media(ref._type) or not is_there or has_media(schema.field(ref._column).type)


def _texts(rows: Sequence[NamedRow], inputs: Inputs) -> Mapping[int, str]:
    """By the position of each row, of which `rows` are in order."""
    names = [ref._column for ref in inputs.columns]
    texts: dict[int, str] = {}
    start = 0
    for arrays, count in inputs.arrays(_ROWS, rows[-1].row + 1):
        here = [one.row for one in rows if start <= one.row < start + count]
        values = inputs.rows_at(arrays, [row - start for row in here])
        texts |= {row: _input_text(names, value) for row, value in zip(here, values, strict=True)}
        start += count
    return texts


def _input_text(names: Sequence[str], values: Sequence[Any]) -> str:
    """The values of a row, cut to what a table shows; of several columns each with its name."""
    most = _INPUT_CHARACTERS // len(values)
    texts = ["" if value is None or isinstance(value, Media) else str(value)[:most] for value in values]
    if len(texts) == 1:
        return texts[0]
    return "; ".join(f"{name}: {text}" for name, text in zip(names, texts, strict=True) if text)
