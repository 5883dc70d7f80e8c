"""What a user declares of a computed column, checked while definitions load."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any, Literal, get_args

import dagster as dg

from pxt_assets.assets.declarations.checks import Checks
from pxt_assets.assets.declarations.confidences import check_confident_questions
from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.asset_options import ASSET_OPTIONS, is_like_option, unknown_option
from pxt_assets.expressions.expr import Call, Expr
from pxt_assets.expressions.walk import expression_text, holds_media, nodes, references
from pxt_assets.functions.questions import questions_of

OnError = Literal["abort", "ignore"]
Cache = Literal["auto", "off"]
"""Whether the API is told which part of the prompts all rows have in common, for its cache."""


def only_column(columns: Mapping[str, Any], where: str) -> tuple[str, Any]:
    """The name and expression of the one column that was given. Raises DefinitionError that begins with `where`.

    Whatever is no option comes as a column: what is no expression either was meant as an option.
    """
    others = {name: value for name, value in columns.items() if not _is_expression(value)}
    for name, value in others.items():
        if len(others) < len(columns) or (len(columns) == 1 and is_like_option(name)):
            raise unknown_option(where, name, value, ASSET_OPTIONS)
    if not columns:
        options = ", ".join(sorted(ASSET_OPTIONS))
        msg = f"{where}: got no column; add one a call, name=expression, under a name that is no option's ({options})"
        raise DefinitionError(msg)
    if len(columns) != 1:
        msg = f"{where}: got the columns {', '.join(columns)}; add exactly one a call: name=expression"
        raise DefinitionError(msg)
    ((name, expr),) = columns.items()
    return name, expr


def _is_expression(value: object) -> bool:
    return isinstance(value, Expr) or any(True for _ in nodes(value))


def check_column(
    name: str, expr: object, table: dg.AssetKey, reserved: Set[str], conflict: str | None, where: str
) -> None:
    """Refuses what can be no column's name or expression, with a DefinitionError that begins with `where`, the table.

    `conflict` is what has that name already, None where nothing has.
    """
    if conflict is not None:
        msg = f"{where}: {name!r} is {conflict}; choose another name"
        raise DefinitionError(msg)
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        msg = f"{where}: {name!r} is no column name; write it with letters, digits and _"
        raise DefinitionError(msg)
    if name.startswith("_") or name.endswith(("_errortype", "_errormsg")) or name in reserved:
        msg = (
            f"{where}: {name!r} is a reserved name (names that begin with _, that end with _errortype or "
            f"_errormsg, and {', '.join(sorted(reserved))}); choose another"
        )
        raise DefinitionError(msg)
    _check_expression(expr, table, f"{where}.{name}")


def _check_expression(expr: object, table: dg.AssetKey, where: str) -> None:
    """Refuses what is no expression over the table's columns; the DefinitionError begins with `where`."""
    if not _is_expression(expr):
        msg = (
            f"{where}: got {type(expr).__name__} {expr!r:.60}, allowed: a function call, a column reference, "
            "or a dict or list of these"
        )
        raise DefinitionError(msg)
    if holds_media(expr):
        msg = (
            f"{where}: a dict or list is stored as JSON, which holds no images or sounds; give each of "
            "them a column of its own"
        )
        raise DefinitionError(msg)
    for ref in references(expr):
        if ref._table != table:
            msg = (
                f"{where}: {ref!r} is a column of another table; join the tables upstream, in an asset "
                "that gives both as rows"
            )
            raise DefinitionError(msg)
    try:
        expression_text(expr)
    except (TypeError, ValueError) as e:
        msg = f"{where}: {e}"
        raise DefinitionError(msg) from e


def check_options(
    where: str,
    expr: object,
    table: dg.AssetKey,
    on_error: object,
    partition_mapping: dg.PartitionMapping | None,
    checks: Checks,
    max_cost_usd: float | None,
    cache: object,
) -> None:
    """Refuses options that do not suit the column; the DefinitionError begins with `where`."""
    if on_error not in get_args(OnError):
        msg = f"{where}: got on_error={on_error!r}, allowed: 'abort' or 'ignore'"
        raise DefinitionError(msg)
    if cache not in get_args(Cache):
        msg = f"{where}: got cache={cache!r}, allowed: 'auto' or 'off'"
        raise DefinitionError(msg)
    read = references(expr)
    if partition_mapping is not None and read and all(ref._asset != table for ref in read):
        msg = (
            f"{where}: partition_mapping maps to the upstream asset's partitions, but this column reads "
            "computed columns alone, whose partitions are its own; leave it out"
        )
        raise DefinitionError(msg)
    if checks.none_flagged and not is_moderation(expr):
        msg = f"{where}: got none_flagged=True, allowed for a column that is a call of moderations alone"
        raise DefinitionError(msg)
    looks_at_answers = {"min_confidence": checks.min_confidence, "labels": checks.labels}
    given = next(
        (f"{name}={value!r:.60}" for name, value in looks_at_answers.items() if value is not None), ""
    )
    if given and not questions_of(expr):
        msg = f"{where}: got {given}, allowed for a column that is a call of decisions alone"
        raise DefinitionError(msg)
    check_confident_questions(checks.min_confidence, [one.name for one in questions_of(expr)], where)
    if max_cost_usd is not None and not max_cost_usd > 0:
        msg = f"{where}: got max_cost_usd={max_cost_usd!r}, allowed: US dollars above 0, or None for no limit"
        raise DefinitionError(msg)


def is_moderation(expr: object) -> bool:
    """Whether the expression is a call of moderations and nothing more."""
    if not isinstance(expr, Call):
        return False
    return expr._function.name == "moderations" and not expr._function.local
