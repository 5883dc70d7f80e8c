"""The option `within` of a column: how long its answers may take, and whether its function has such a way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pxt_assets.api.within import WITHINS, Within, way_text, ways
from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.expr import Call
from pxt_assets.expressions.walk import calls
from pxt_assets.functions.declare import ApiFunction

GivenWithin = Within | Literal["now", "table"] | None
"""What a user gives for a column: None and "now" are the same, "table" is what the table has for its columns."""

WITHIN_TAG = "pxt/within"
_AT_ONCE = "None or 'now' (answers come at once)"
_NOT_IN_BATCHES = {("/images/edits", "dall-e-2")}
"""Source: `image` of https://platform.openai.com/docs/api-reference/images/createEdit"""
_BACKGROUND: tuple[Within, ...] = ("2h", "8h")


def table_within(given: object, where: str) -> Within | None:
    """What a table has for its columns. Raises DefinitionError, which begins with `where`."""
    if _is_known(given):
        return _read(given)
    times = ", ".join(map(repr, reversed(WITHINS)))
    msg = f"{where}: got within={given!r:.60}, allowed: {_AT_ONCE}, {times}"
    raise DefinitionError(msg)


def column_within(expr: object, given: object, default: Within | None, where: str) -> Within | None:
    """How long a column's answers may take, None for at once. Raises DefinitionError, which begins with `where`.

    A table's `default` is for all columns that have any time but at once: one that has another must say so itself, or
    nobody would know that its answers cost the full price. All others are asked at once.
    """
    has = times(expr)
    if given == "table":
        if default is None or default in has or not has:
            return default if default in has else None
        msg = (
            f"{where}: got within={default!r} of the table, but {_reason_against(expr, default)}; say what this column has: "
            f"within={has[-1]!r}, or within=None for answers at once"
        )
        raise DefinitionError(msg)
    if not _is_known(given):
        named = ", ".join([_AT_ONCE, *(f"{one!r} ({way_text(one)})" for one in has)])
        why = f"allowed: {named}" if has else f"but {_reason_against(expr, '24h')}"
        msg = f"{where}: got within={given!r:.60}, {why}"
        raise DefinitionError(msg)
    within = _read(given)
    if within is not None:
        check_within(expr, within, where)
    return within


def within_tags(within: Within | None) -> dict[str, str]:
    """The tag by which a column is found whose answers come later."""
    return {} if within is None else {WITHIN_TAG: within}


def check_within(expr: object, within: Within, where: str) -> None:
    """Refuses a time that a column cannot be given; the DefinitionError begins with `where`."""
    reason = _reason_against(expr, within)
    if reason is not None:
        msg = f"{where}: got within={within!r}, but {reason}"
        raise DefinitionError(msg)


def can_come_later(expr: object) -> bool:
    """Whether a column can have any time but at once."""
    return bool(times(expr))


def times(expr: object) -> tuple[Within, ...]:
    """What a column can have but at once, the shortest first."""
    return tuple(within for within in WITHINS if _reason_against(expr, within) is None)


def _is_known(given: object) -> bool:
    return given is None or given == "now" or given in WITHINS


def _read(given: object) -> Within | None:
    """What is meant by a time that is known."""
    return next((within for within in WITHINS if given == within), None)


def _reason_against(expr: object, within: Within) -> str | None:
    """Why a column cannot have that time, and what to do; None if it can."""
    found = calls(expr)
    if not found:
        return "this column asks nothing: it copies what is there; leave it out"
    for call in found:
        if not isinstance(call._function, ApiFunction):
            return (
                f"{call._function.name} runs in this process; leave it out, or, where it is a part of a call of the API, give "
                "it a column of its own"
            )
        if inner := calls(call._arguments):
            return (
                f"{call._function.name} is made of what {inner[0]._function.name} answers in the same cell; give each of them "
                "a column of its own"
            )
        reason = _function_reason(call, call._function, within)
        if reason is not None:
            return reason
    if len(found) > 1:
        names = " and ".join(call._function.name for call in found[:2])
        return f"{names} are asked for one cell; give each of them a column of its own"
    return None


def _function_reason(call: Call, function: ApiFunction[...], within: Within) -> str | None:
    has = ways(function.endpoint.path)
    if not has:
        return f"{function.name} has no way that takes longer and costs less; leave it out"
    if within not in has:
        named = ", ".join(f"{one!r} ({way_text(one)})" for one in has)
        return f"{function.name} has only {named}"
    given = dict(_arguments(call))
    if (function.endpoint.path, given.get("model")) in _NOT_IN_BATCHES:
        return f"{given['model']} takes images as files alone, which batches cannot hold; leave it out, or name another model"
    if within in _BACKGROUND:
        if given.get("store") is False:
            return (
                "answers in the background are kept by the server until they are fetched, which store=False forbids; leave one "
                "of them out, or give within='24h'"
            )
        tier = given.get("service_tier")
        if isinstance(tier, str) and tier not in ("auto", "default"):
            return f"an answer in the background has a price of its own, and service_tier={tier!r} another; leave one out"
    return None


def _arguments(call: Call) -> Iterator[tuple[str, Any]]:
    """The arguments of the API, by whichever way they were given."""
    model_kwargs = call._arguments.get("model_kwargs")
    yield from (model_kwargs.items() if isinstance(model_kwargs, Mapping) else ())
    yield from call._arguments.items()
