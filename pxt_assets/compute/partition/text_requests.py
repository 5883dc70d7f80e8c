"""Requests of rows whose values are texts: these are put into a template, where a request is else built for each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from pxt_assets.api.request import CellRequest
from pxt_assets.expressions.expr import Call, Expr, RequestOfTexts

RowFunction = Callable[[Sequence[Any]], Any]


def text_requests(
    call: Call, compile_column: Callable[[Expr], RowFunction]
) -> Callable[[Sequence[Any]], CellRequest | None]:
    """A function of a row that gives the call's request, or None where the row takes more than a template.

    It raises what the columns raise. The template is made with the first row: not while definitions load.
    """

    @cache
    def template() -> tuple[list[RowFunction], Callable[[tuple[str, ...]], CellRequest]] | None:
        make = getattr(call._function, "request_of_texts", None)  # of the API's functions
        made: RequestOfTexts | None = None if make is None else make(call._arguments)
        return None if made is None else ([compile_column(column) for column in made.columns], made.fill)

    def request(row: Sequence[Any]) -> CellRequest | None:
        known = template()
        if known is None:
            return None
        columns, fill = known
        texts = [column(row) for column in columns]
        for text in texts:
            if type(text) is not str or not text:
                return None
        try:
            return fill(tuple(texts))
        except UnicodeEncodeError:  # lone surrogates, which are replaced where a request is built
            return None

    return request
