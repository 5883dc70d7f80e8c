"""Labels that answers are compared with: columns of the same rows, which no cell is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pxt_assets.compute.partition.inputs import Inputs
from pxt_assets.expressions.expr import ColumnRef
from pxt_assets.functions.questions import Question
from pxt_assets.storage.batches import Cursor
from pxt_assets.storage.contents import ContentsDigest
from pxt_assets.values.conversion import to_python
from pxt_assets.values.digest import digest

if TYPE_CHECKING:
    import pyarrow as pa

LABELS = "labels"
"""The digest of the labels that a file's answers were compared with, by its name in the file's metadata."""
UNKNOWN = object()
"""In place of a label that is no answer to its question."""
_ROWS = 8_192
_DIGITS = 4
"""Of the number of a level."""
_WORDS = {"true": True, "false": False}

Labels = Mapping[str, ColumnRef]
"""The column of each question that has labels, by the question's name."""


def labels_metadata(inputs: Inputs, labels: Labels) -> dict[str, str]:
    """A digest of the labels, and of which questions they are for, as the metadata of a file; none where there are none."""
    if not labels:
        return {}
    contents, refs = ContentsDigest(), _columns(inputs, labels)
    for arrays, _ in replace(inputs, columns=refs).arrays(_ROWS, inputs.num_rows):
        for ref, array in zip(refs, arrays, strict=True):
            contents.add_values(repr(ref), array)
    which = repr({name: repr(ref) for name, ref in labels.items()})
    return {LABELS: digest(which.encode(), contents.hexdigest().encode()).hex()}


def are_those_of(inputs: Inputs, labels: Labels, metadata: Mapping[str, object]) -> bool:
    """Whether a file of that metadata tells how its answers compare with these labels."""
    return metadata.get(LABELS) == labels_metadata(inputs, labels).get(LABELS)


def label_reader(inputs: Inputs, labels: Labels) -> Callable[[int], dict[str, list[Any]]]:
    """A function that reads the labels of the next `count` rows, beginning with the first, by question."""
    refs = _columns(inputs, labels)
    places = {(ref._asset, ref._column): i for i, ref in enumerate(refs)}
    rows = Cursor(_batches(replace(inputs, columns=refs), inputs.num_rows)) if refs else None

    def take(count: int) -> dict[str, list[Any]]:
        batches = [] if rows is None else rows.take(count)
        values = [
            [value for batch in batches for value in to_python(batch.column(i), ref._type)]
            for i, ref in enumerate(refs)
        ]
        found = {name: places.get((ref._asset, ref._column)) for name, ref in labels.items()}
        return {name: [None] * count if place is None else values[place] for name, place in found.items()}

    return take


def _columns(inputs: Inputs, labels: Labels) -> list[ColumnRef]:
    """The columns that are read, each once, as far as these rows have them: a partition may be older than its labels."""
    columns = {(ref._asset, ref._column): ref for ref in labels.values()}
    return [ref for ref in columns.values() if ref._column in inputs.rows[ref._asset].schema.names]


def _batches(inputs: Inputs, rows: int) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    names = [str(i) for i in range(len(inputs.columns))]
    for arrays, _ in inputs.arrays(_ROWS, rows):
        yield pa.RecordBatch.from_arrays(list(arrays), names=names)


def label_of(value: Any, question: Question) -> Any:
    """What a label says: true or false, the position of the choice, or that of the level.

    None where there is no label: a null, or a text without letters. UNKNOWN where it is no answer to the question.
    """
    if isinstance(value, Decimal):  # as databases hold numbers
        value = int(value) if value.is_finite() and value == int(value) else float(value)
    is_nan = isinstance(value, float) and math.isnan(value)
    if value is None or is_nan or (isinstance(value, str) and not value.strip()):
        return None
    if question.kind == "predicate":
        return _truth(value)
    if question.kind == "choice":
        return _choice(value, question.choices)
    return _level(value, question.levels)


def _truth(value: Any) -> Any:
    """Of true and false, 1 and 0, and these words."""
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower(), UNKNOWN)
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else UNKNOWN


def _choice(value: Any, choices: Sequence[str | bool]) -> Any:
    """A truth is another choice than its word; where only one of both is a choice, either means it, as 1 and 0 do."""
    for i, choice in enumerate(choices):
        if type(choice) is type(value) and choice == value:
            return i
    words, word = [*map(label_text, choices)], label_text(value)
    for text in (word, word.lower() if word.lower() in _WORDS else word):
        if text in words:
            return words.index(text)
    truth = _truth(value)
    return next((i for i, choice in enumerate(choices) if choice is truth), UNKNOWN)


def _level(value: Any, levels: Sequence[str]) -> Any:
    """By its label, or else by its number, the lowest one being 0."""
    word = label_text(value)
    if word in levels:
        return levels.index(word)
    can_be_number = word.isdecimal() and len(word) <= _DIGITS and not isinstance(value, bool)
    if not can_be_number or any(map(str.isdecimal, levels)):  # of levels that are numbers, these are meant
        return UNKNOWN
    return int(word) if int(word) < len(levels) else UNKNOWN


def label_text(value: Any) -> str:
    """A label in words: truths as JSON has them, whole numbers without a fraction."""
    if isinstance(value, bool):
        return str(value).lower()
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value).strip()
