"""How a function of the API is declared: the decorator, and what all their bodies share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

from pxt_assets.expr import Shape
from pxt_assets.request import Endpoint, Usage
from pxt_assets.types import ColumnType
from pxt_assets.udf import Function

P = ParamSpec("P")


def api_function(
    endpoint: Endpoint, returns: type[ColumnType], shape: Shape | None = None
) -> Callable[[Callable[P, Mapping[str, Any]]], Function[P]]:
    """Makes a function of the API out of a plain function that builds its request's body."""

    def declare(build: Callable[P, Mapping[str, Any]]) -> Function[P]:
        return Function(build, endpoint=endpoint, returns=returns, shape=shape)

    return declare


def shown(value: object) -> str:
    """A value as an error message shows it: its type and its beginning."""
    text = repr(value)
    return f"{type(value).__name__} {text[:60]}{'…' if len(text) > 60 else ''}"


def with_kwargs(body: Mapping[str, Any], model_kwargs: object, extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with the API's other arguments added. Raises TypeError for `model_kwargs` that are no dict."""
    if model_kwargs is None:
        return {**body, **extra}
    if not isinstance(model_kwargs, Mapping):
        msg = f"model_kwargs: got {shown(model_kwargs)}, allowed: a dict of the API's arguments, or null"
        raise TypeError(msg)
    twice = sorted(model_kwargs.keys() & body.keys())
    if twice:
        msg = f"model_kwargs: {', '.join(twice)} is an argument of its own; leave it out of model_kwargs"
        raise TypeError(msg)
    return {**body, **model_kwargs, **extra}


def text_of(value: object, argument: str) -> str:
    """The value, if it is text. Raises TypeError."""
    if not isinstance(value, str):
        msg = f"{argument}: got {shown(value)}, allowed: text or null; convert the column to text upstream"
        raise TypeError(msg)
    return value


def usage_of(answer: Mapping[str, Any]) -> Usage | None:
    """The tokens that an answer states, None where it states none: a missing bill is no reason to lose the answer."""
    usage = answer.get("usage")
    if not isinstance(usage, Mapping) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, Mapping) else 0
    read = _count(usage["prompt_tokens"])
    return Usage(read, _count(usage.get("completion_tokens")), min(cached, read))


def model_of(answer: Mapping[str, Any]) -> str | None:
    """The model snapshot that an answer states."""
    model = answer.get("model")
    return model if isinstance(model, str) else None


def _count(value: object) -> int:
    return max(value, 0) if isinstance(value, int) else 0
