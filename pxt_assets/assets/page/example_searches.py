"""A few rows of an embedding index, each with those that are nearest to it, as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import dagster as dg

from pxt_assets.assets.page.cells import is_path, path_tail, plain_text
from pxt_assets.assets.page.markdown import (
    BREAKS,
    behind_a_click,
    escape_markdown,
    fits_inline,
    joined,
    shortened,
    shortened_tail,
)
from pxt_assets.index.search import Search, nearest_rows
from pxt_assets.index.spec import ROW, VECTOR, IndexSpec
from pxt_assets.index.stored_index import StoredIndex

_MAX_EXAMPLES = 3
_MAX_NEIGHBOURS = 3
_MAX_CHARACTERS = 80
_SHORT_KEY = 8
_SIMULATED = "*Simulated vectors: which rows are near to which says nothing about their contents.*"
_HEAD = ("| looked for | nearest | score |", "| --- | --- | --- |")


@dataclass(frozen=True)
class FoundRow:
    """A row, as `{key column: value}` and its text."""

    key: dict[str, Any]
    text: str

    @property
    def wide(self) -> str:
        """As Markdown: its whole key, and the beginning of its text."""
        key = ", ".join(f"{name}={value}" for name, value in self.key.items())
        return f"**{joined(key)}** {escape_markdown(shortened(self.text, _MAX_CHARACTERS))}".strip()

    def narrow(self, most: int) -> str:
        """As Markdown in a narrow column: the end of its key, and `most` characters of its text."""
        texts = [plain_text(value) for value in self.key.values()]
        key = ", ".join(shortened_tail(path_tail(one) if is_path(one) else one, _SHORT_KEY) for one in texts)
        return f"**{joined(key)}** {BREAKS[-1].markdown(shortened(self.text, most))}".strip()


Example = tuple[FoundRow, Sequence[tuple[FoundRow, float]]]
"""A row, and those nearest to it with their scores."""


def example_searches(stored: StoredIndex, rows: int) -> list[Example]:
    """A few of the index's `rows` rows, with the nearest ones to each."""
    if not rows:
        return []
    spec = stored.spec
    searched = spec.column._column
    texts = [searched] if searched in stored.columns else []
    offsets = sorted({rows * i // _MAX_EXAMPLES for i in range(min(_MAX_EXAMPLES, rows))})
    sample = stored.table.take_offsets(offsets).select([*spec.key_columns, *texts, VECTOR, ROW]).to_arrow()
    sample = sample.filter(sample[VECTOR].is_valid())
    vectors = [row.values.to_numpy() for row in sample[VECTOR]]
    found = nearest_rows(stored, vectors, Search(k=_MAX_NEIGHBOURS + 1, columns=tuple(texts))).to_pylist()
    examples: list[Example] = []
    for query, row in enumerate(sample.drop_columns([VECTOR, ROW]).to_pylist()):
        others = [other for other in found if other["query"] == query and not _is_same_row(other, row, spec)]
        near = [(_found_row(other, spec, texts), other["score"]) for other in others[:_MAX_NEIGHBOURS]]
        examples.append((_found_row(row, spec, texts), near))
    return examples


def _is_same_row(other: dict[str, Any], row: dict[str, Any], spec: IndexSpec) -> bool:
    return all(other[name] == row[name] for name in spec.key_columns)


def _found_row(row: dict[str, Any], spec: IndexSpec, columns: Sequence[str]) -> FoundRow:
    text = " ".join(str(row[name]) for name in columns if row[name] is not None)
    return FoundRow({name: row[name] for name in spec.key_columns}, text)


def examples_metadata(
    examples: Sequence[Example], *, simulated: bool = False
) -> dict[str, dg.MarkdownMetadataValue]:
    """`pxt/preview`, which the UI shows at once, and the whole as `pxt/preview_all` where that shows less.

    Both say of simulated vectors that they are.
    """
    if not examples:
        return {"pxt/preview": dg.MetadataValue.md("*no rows*")}
    note = [_SIMULATED, ""] if simulated else []
    whole = "\n".join(
        [
            *note,
            *_HEAD,
            *(_line(row.wide, other.wide, score) for row, near in examples for other, score in near),
        ]
    )
    if fits_inline(whole) and all(
        len(one.text) <= _SHORT_KEY for row, near in examples for one in (row, *(o for o, _ in near))
    ):
        return {"pxt/preview": dg.MetadataValue.md(whole)}
    short = next(filter(fits_inline, _short_tables(examples, note)), "*too long to be shown here*")
    return {
        "pxt/preview": dg.MetadataValue.md(short),
        "pxt/preview_all": dg.MetadataValue.md(behind_a_click(whole)),
    }


def _short_tables(examples: Sequence[Example], note: Sequence[str]) -> list[str]:
    """Tables of fewer and fewer rows, and of shorter and shorter texts."""
    return [
        "\n".join(
            [
                *note,
                *_HEAD,
                *(
                    _line(row.narrow(most) if i == 0 else "", other.narrow(most), score)
                    for row, near in examples[:rows]
                    for i, (other, score) in enumerate(near[:neighbours])
                ),
            ]
        )
        for most, neighbours, rows in product((60, 40, 24, 12), (2, 1), (3, 2, 1))
    ]


def _line(looked_for: str, nearest: str, score: float) -> str:
    return f"| {looked_for} | {nearest} | {escape_markdown(f'{score:.2f}')} |"
