"""The columns, calls and type of an expression, and the text that identifies it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath

from pxt_assets.api.request import ORDERED_ARGUMENTS
from pxt_assets.expressions.expr import (
    IMAGE_LIST_SHAPE,
    PRIMITIVES,
    Call,
    ColumnFunction,
    ColumnRef,
    Expr,
    Path,
)
from pxt_assets.expressions.path_steps import Shape
from pxt_assets.values.json_text import canonical_json
from pxt_assets.values.media import Media
from pxt_assets.values.types import ColumnType, ImageData, ImageList, Json, is_media


def nodes(expr: object) -> Iterator[Expr]:
    """All references, paths and calls inside an expression or a template of dicts and lists, outermost first."""
    if isinstance(expr, Expr):
        yield expr
        if isinstance(expr, Path):
            yield from nodes(expr._base)
        elif isinstance(expr, Call):
            yield from nodes(expr._arguments)
    elif isinstance(expr, Mapping):
        for value in expr.values():
            yield from nodes(value)
    elif isinstance(expr, list | tuple):
        for value in expr:
            yield from nodes(value)


def references(expr: object) -> list[ColumnRef]:
    """The distinct columns that an expression reads, in the order of first use."""
    found = {(ref._asset, ref._column): ref for ref in nodes(expr) if isinstance(ref, ColumnRef)}
    return list(found.values())


def replace_functions(
    expr: object,
    change: Callable[[ColumnFunction], ColumnFunction],
    change_column: Callable[[ColumnRef], ColumnRef] = lambda ref: ref,
) -> object:
    """The same expression with each function replaced by `change(function)`, each reference by `change_column(ref)`."""

    def replaced(inner: object) -> object:
        return replace_functions(inner, change, change_column)

    if isinstance(expr, ColumnRef):
        return change_column(expr)
    if isinstance(expr, Call):
        return Call(
            change(expr._function), {name: replaced(value) for name, value in expr._arguments.items()}
        )
    if isinstance(expr, Path):
        inner = replaced(expr._base)
        for step in expr._steps:
            inner = Path(inner, step)  # type: ignore[arg-type]
        return inner
    if isinstance(expr, Mapping):
        return {name: replaced(value) for name, value in expr.items()}
    if isinstance(expr, list | tuple):
        return [replaced(value) for value in expr]
    return expr


def calls(expr: object) -> list[Call]:
    """All function calls inside an expression, outermost first."""
    return [node for node in nodes(expr) if isinstance(node, Call)]


def holds_media(expr: object) -> bool:
    """Whether a template of dicts and lists, which makes JSON, has images or sounds among its values."""
    if isinstance(expr, Mapping):
        return any(_is_or_holds_media(v) for v in expr.values())
    return isinstance(expr, list | tuple) and any(_is_or_holds_media(v) for v in expr)


def _is_or_holds_media(expr: object) -> bool:
    if isinstance(expr, Expr):
        return is_media(expr._type) or expr._type in (ImageData, ImageList)
    return holds_media(expr)


def type_of(expr: object) -> tuple[type[ColumnType] | None, Shape]:
    """The column type of an expression, None where only the rows show it, and the shape of its JSON value."""
    if isinstance(expr, Expr):
        return expr._type, IMAGE_LIST_SHAPE if expr._type is ImageList else expr._shape
    if isinstance(expr, Mapping):
        return Json, {"properties": {k: _json_schema(v) for k, v in expr.items()}}
    return Json, {}


def _json_schema(expr: object) -> Shape:
    column_type, shape = type_of(expr)
    names = {t: name for name, t in PRIMITIVES.items()}
    return {"type": names[column_type]} if column_type in names else shape


def expression_text(expr: object) -> str:
    """Text that is equal for expressions that compute the same; code versions are made of it."""
    return canonical_json(_expression_json(expr))


def _expression_json(expr: object, *, ordered: bool = False) -> object:
    """An expression as JSON; with `ordered`, dicts with another order of keys differ."""
    if isinstance(expr, ColumnRef):
        return {"$column": [*expr._asset.path, expr._column]}
    if isinstance(expr, Path):
        steps = [[s.start, s.stop, s.step] if isinstance(s, slice) else s for s in expr._steps]
        return {"$path": steps, "of": _expression_json(expr._base)}
    if isinstance(expr, Call):
        arguments = _expression_json(expr._arguments)
        return {"$call": expr._function.version, "arguments": arguments}
    if isinstance(expr, Mapping):
        items = {k: _expression_json(v, ordered=ordered or k in ORDERED_ARGUMENTS) for k, v in expr.items()}
        return {"$keys": list(items), "items": items} if ordered else items
    if isinstance(expr, list | tuple) and type(expr) is expr.__class__:  # a table only looks like a list
        return [_expression_json(v, ordered=ordered) for v in expr]
    if isinstance(expr, Media):
        return {"$media": expr.digest}
    return {"$file": str(expr)} if isinstance(expr, PurePath) else expr
