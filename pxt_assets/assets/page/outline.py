"""The graph behind a column as a narrow drawing that the UI shows at once: a box below the other, sources first."""

from __future__ import annotations

import html

import dagster as dg

from pxt_assets.assets.page.lineage import ColumnNode, column_depths, graph_markdown, nearest_columns
from pxt_assets.assets.page.markdown import behind_a_click, fits_inline, one_line
from pxt_assets.values.wording import counted

_MAX_COLUMNS = 8
_WIDTH, _GUTTER, _PADDING, _GAP = 236, 14, 6, 12
"""In pixels: of the drawing, which the narrowest page has room for, of the arrows' part, inside a box, between boxes."""
_LINE, _SMALL_LINE = 16, 13
_NAME_CHARACTERS, _COMPUTATION_CHARACTERS = 32, 36


def made_of_metadata(column: ColumnNode) -> dict[str, dg.MarkdownMetadataValue]:
    """`pxt/made_of`, which the UI shows at once, and, where it leaves columns out, all of them as `pxt/made_of_all`."""
    every, left_out = nearest_columns(column)
    for count in range(min(len(every), _MAX_COLUMNS), 0, -1):
        drawn = outline_markdown(every[:count], left_out + len(every) - count)
        if fits_inline(drawn):
            shown = {"pxt/made_of": dg.MetadataValue.md(drawn)}
            whole = {"pxt/made_of_all": dg.MetadataValue.md(behind_a_click(graph_markdown(column)))}
            return shown if count == len(every) + left_out else {**shown, **whole}
    return {"pxt/made_of": dg.MetadataValue.md(graph_markdown(column))}


def outline_markdown(columns: list[ColumnNode], left_out: int) -> str:
    """The columns, the one they are for first, as a Markdown image, with the number of those that are left out."""
    svg = _outline_svg(columns, left_out)
    for sign in "%#<>&\\":  # of URLs, and of Markdown
        svg = svg.replace(sign, f"%{ord(sign):02X}")
    return f"![made of](<data:image/svg+xml,{svg}>)"


def _outline_svg(columns: list[ColumnNode], left_out: int) -> str:
    names = {one.name: one for one in columns}
    depths = column_depths(names)
    rows = sorted(columns, key=lambda one: (one.name == columns[0].name, depths[one.name]))
    tops: dict[str, int] = {}
    boxes, texts, y = [""] * 2, "", 1
    if left_out:
        texts += f"<text y='12' fill='#888'>{counted(left_out, 'column')} before these</text>"
        y += _LINE
    for one in rows:
        tops[one.name] = y
        height = _LINE + _SMALL_LINE * bool(one.computation) + 4
        boxes[one is rows[-1]] += f"M{_GUTTER} {y}h{_WIDTH - _GUTTER - 1}v{height}H{_GUTTER}z"
        by = _cut(one.computation, _COMPUTATION_CHARACTERS)
        by = f"<tspan x='0' dy='{_SMALL_LINE}'>{by}</tspan>" if by else ""
        texts += f"<text y='{y + _LINE - 2}'>{_cut(one.name, _NAME_CHARACTERS)}{by}</text>"
        y += height + _GAP
    arrows = ""
    for row, one in enumerate(rows):
        for source in one.sources:
            if source.name in tops:
                near = row > 0 and rows[row - 1].name == source.name
                arrows += _arrow(tops[source.name], tops[one.name], near=near)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{y - _GAP + 2}'>"
        "<style>text{font:12px sans-serif}tspan{font-size:10px;fill:#555}path{fill:#eef;stroke:#888}</style>"
        f"<path d='{boxes[0]}'/><path d='{boxes[1]}' style='fill:#ccf'/><path d='{arrows}' style='fill:none;stroke-width:1.5'/>"
        f"<g transform='translate({_GUTTER + _PADDING})'>{texts}</g></svg>"
    )


def _arrow(source: int, target: int, *, near: bool) -> str:
    """From a box to the one below it, or past others, on the left."""
    if near:
        return f"M{_GUTTER + 20} {target - _GAP}v{_GAP}l-3-4m3 4l3-4"
    start, end = source + 8, target + 8
    return f"M{_GUTTER} {start}C0 {start} 0 {end} {_GUTTER} {end}l-5-3m5 3l-5 2"


def _cut(text: str, most: int) -> str:
    flat = one_line(text)
    flat = flat if len(flat) <= most else flat[: most - 1] + "…"
    return html.escape(flat, quote=False)
