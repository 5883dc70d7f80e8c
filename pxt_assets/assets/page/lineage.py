"""The graph of the columns that a column is made of, down to the source columns, and an image of it."""

from __future__ import annotations

import base64
import html
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from pxt_assets.assets.page.sentence import field_text, sentence_of
from pxt_assets.expressions.expr import Call, Path
from pxt_assets.expressions.walk import calls, references
from pxt_assets.index.lookup import lookups, read_columns
from pxt_assets.index.spec import IndexSpec

_MAX_COLUMNS = 40
"""How many columns are drawn: those nearest to the one whose graph it is."""
_MAX_LINE_CHARACTERS = 34
"""Characters of a line in a box."""
_CHARACTER_WIDTH, _LINE_HEIGHT, _PADDING, _BOX_GAP, _LAYER_GAP = 6.7, 15, 10, 14, 56
"""In pixels: a character's width, a line's height, inside a box, between boxes one above the other, between layers."""


@dataclass(frozen=True)
class ColumnNode:
    """A column, and the columns that it is made of."""

    name: str
    """`tickets.summary`"""
    computation: str = ""
    """`chat_completions gpt-6-luna`, `field parsed.urgent`; empty for a source column."""
    sources: tuple[ColumnNode, ...] = ()
    sentence: str = ""
    """What it is, in words; empty for a source column."""
    read: tuple[str, ...] = ()
    """The columns that it reads as its user wrote it: a text that is looked up, where `sources` have its vectors."""


def column_node(table: dg.AssetKey, name: str, expr: object, known: Mapping[str, ColumnNode]) -> ColumnNode:
    """The node of a computed column; `known` are the nodes of the table's computed columns."""
    read = [known.get(ref._column) or ColumnNode(repr(ref)) for ref in references(expr)]
    indexes = {lookup.index.key: _index_node(lookup.index) for lookup in lookups(expr)}
    return ColumnNode(
        f"{'.'.join(table.path)}.{name}",
        computation_text(expr),
        (*read, *indexes.values()),
        sentence_of(expr, table),
        tuple(read_columns(expr)),
    )


def _index_node(index: IndexSpec) -> ColumnNode:
    searched = ColumnNode(repr(index.column))
    return ColumnNode(f"{'.'.join(index.table.path)}.{index.name}", f"index, {index.metric}", (searched,))


def computation_text(expr: object) -> str:
    """The functions that an expression applies, with their models: `chat_completions gpt-6-luna`."""
    call_texts = [_call_text(call) for call in calls(expr)]
    if call_texts:
        return " of ".join(call_texts)
    if isinstance(expr, Path):
        return f"field {field_text(expr)}"
    return "columns" if references(expr) else "constant"


def _call_text(call: Call) -> str:
    model = call._arguments.get("model")
    return f"{call._function.name} {model}" if isinstance(model, str) else call._function.name


def graph_markdown(column: ColumnNode) -> str:
    """The graph as a Markdown image: sources on the left, the column itself on the right."""
    encoded = base64.b64encode(graph_svg(column).encode()).decode()
    return f"![made of](data:image/svg+xml;base64,{encoded})"


def graph_svg(column: ColumnNode) -> str:
    """The graph as SVG; of a large one the nearest columns and the number of the others."""
    shown, left_out = nearest_columns(column)
    boxes, width, height = _layout(shown)
    marks = [
        _arrow_svg(boxes[source.name], boxes[one.name])
        for one in shown
        for source in one.sources
        if source.name in boxes
    ]
    marks += [_box_svg(boxes[one.name], one, is_last=one.name == column.name) for one in shown]
    if left_out:
        marks.append(
            f'<text x="10" y="{height + 4}" class="by">and {left_out} more columns before these</text>'
        )
        height += 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        "<style>text{font:12px sans-serif;fill:#1f2937}.by{font-size:11px;fill:#6b7280}"
        "rect{fill:#f8fafc;stroke:#94a3b8}.last{fill:#e0e7ff;stroke:#4f46e5}path{fill:none;stroke:#94a3b8}</style>"
        f'<rect width="{width}" height="{height}" rx="6" style="fill:#fff;stroke:none"/>{"".join(marks)}</svg>'
    )


def nearest_columns(column: ColumnNode) -> tuple[list[ColumnNode], int]:
    """The columns to draw, the given one first, and the number of columns that are left out."""
    found: dict[str, ColumnNode] = {column.name: column}
    queue = [column]
    while queue:
        for source in queue.pop(0).sources:
            if source.name not in found:
                found[source.name] = source
                queue.append(source)
    every = list(found.values())
    return every[:_MAX_COLUMNS], max(len(every) - _MAX_COLUMNS, 0)


@dataclass(frozen=True)
class _Box:
    x: float
    y: float
    width: float
    height: float


def _layout(columns: Iterable[ColumnNode]) -> tuple[dict[str, _Box], int, int]:
    """The box of each column by name, in layers from left to right by depth, and the width and height of the image."""
    names = {one.name: one for one in columns}
    depths = column_depths(names)
    layers: defaultdict[int, list[ColumnNode]] = defaultdict(list)
    for one in names.values():
        layers[depths[one.name]].append(one)
    boxes: dict[str, _Box] = {}
    x = float(_PADDING)
    tallest = 0.0
    for depth in sorted(layers):
        layer = sorted(layers[depth], key=lambda one: (_mean_source_y(one, boxes), one.name))
        width = max(_box_width(one) for one in layer)
        y = float(_PADDING)
        for one in layer:
            height = _PADDING + _LINE_HEIGHT * len(_box_lines(one))
            boxes[one.name] = _Box(x, y, width, height)
            y += height + _BOX_GAP
        tallest = max(tallest, y - _BOX_GAP)
        x += width + _LAYER_GAP
    return boxes, round(x - _LAYER_GAP + _PADDING), round(tallest + _PADDING)


def column_depths(names: Mapping[str, ColumnNode]) -> dict[str, int]:
    """The length of the longest path from each column to a source, of columns that are drawn, by name."""
    depths: dict[str, int] = {}
    for one in reversed(list(names.values())):  # sources tend to come first then
        _column_depth(one, names, depths)
    return depths


def _column_depth(column: ColumnNode, names: Mapping[str, ColumnNode], depths: dict[str, int]) -> int:
    """The length of the longest path from a column to a source, of columns that are drawn; a loop, as paths may be long."""
    stack = [column]
    while stack:
        one = stack[-1]
        sources = [source for source in one.sources if source.name in names]
        unknown = [source for source in sources if source.name not in depths]
        if unknown:
            stack += unknown
            continue
        depths[one.name] = 1 + max((depths[source.name] for source in sources), default=-1)
        stack.pop()
    return depths[column.name]


def _mean_source_y(column: ColumnNode, boxes: Mapping[str, _Box]) -> float:
    at = [boxes[source.name].y for source in column.sources if source.name in boxes]
    return sum(at) / len(at) if at else 0.0


def _box_lines(column: ColumnNode) -> list[str]:
    lines = [column.name, column.computation] if column.computation else [column.name]
    return [
        line if len(line) <= _MAX_LINE_CHARACTERS else line[: _MAX_LINE_CHARACTERS - 1] + "…"
        for line in lines
    ]


def _box_width(column: ColumnNode) -> float:
    return 2 * _PADDING + _CHARACTER_WIDTH * max(len(line) for line in _box_lines(column))


def _box_svg(box: _Box, column: ColumnNode, *, is_last: bool) -> str:
    name, *by = [html.escape(line, quote=False) for line in _box_lines(column)]
    x, y = box.x + _PADDING, box.y + _LINE_HEIGHT
    texts = f'<text x="{x:.0f}" y="{y:.0f}">{name}</text>'
    if by:
        texts += f'<text x="{x:.0f}" y="{y + _LINE_HEIGHT:.0f}" class="by">{by[0]}</text>'
    kind = ' class="last"' if is_last else ""
    return (
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" rx="4"{kind}/>'
        f"{texts}"
    )


def _arrow_svg(source: _Box, target: _Box) -> str:
    x1, y1 = source.x + source.width, source.y + source.height / 2
    x2, y2 = target.x, target.y + target.height / 2
    bend = (x2 - x1) / 2
    return (
        f'<path d="M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"/>'
        f'<path d="M{x2 - 5:.0f} {y2 - 3:.0f}L{x2:.0f} {y2:.0f}L{x2 - 5:.0f} {y2 + 3:.0f}"/>'
    )
