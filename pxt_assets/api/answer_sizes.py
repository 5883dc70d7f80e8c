"""How large answers are expected to be, so that those in flight are bounded by their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pxt_assets.api.request import Endpoint, Request

_SMALL = 4_096
"""Bytes that an answer is expected to have where neither its endpoint nor an earlier answer says more."""
_MARGIN = 1.25
"""By what the first answer is exceeded by others."""
_FORGETTING = 1 / 32
"""Of an expectation that answers stay below, this share of the difference is given up at each."""


class AnswerSize:
    """The expected bytes of the answer to one cell, of one kind of request."""

    __slots__ = ("_is_known", "_sizes", "cells", "expected")

    def __init__(self, sizes: AnswerSizes, expected: float) -> None:
        self.expected = expected
        self.cells = 0
        """The cells of the kind that are in flight."""
        self._sizes = sizes
        self._is_known = False

    def note(self, nbytes: float) -> None:
        """Learns from an answer of `nbytes` a cell: the largest one counts, and is forgotten bit by bit."""
        if not self._is_known:
            self._is_known, expected = True, _MARGIN * nbytes
        else:
            expected = max(nbytes, self.expected - (self.expected - nbytes) * _FORGETTING)
        self._sizes.in_flight += self.cells * (expected - self.expected)
        self.expected = expected

    def acquire(self) -> None:
        """Counts a cell as in flight."""
        self.cells += 1
        self._sizes.in_flight += self.expected

    def release(self) -> None:
        """Counts a cell as finished."""
        self.cells -= 1
        self._sizes.in_flight -= self.expected


class AnswerSizes:
    """The sizes of a run's answers, by endpoint, model and, for images, how many are asked for."""

    def __init__(self) -> None:
        self.in_flight = 0.0
        """Bytes that the answers to all cells in flight are expected to have."""
        self._sizes: dict[tuple[str, str, Any], AnswerSize] = {}

    def of(self, request: Request) -> AnswerSize:
        """What is known of such requests."""
        return self.of_call(
            request.endpoint, request.model, request.body if request.endpoint.answer_bytes else {}
        )

    def of_call(self, endpoint: Endpoint, model: str, arguments: Any) -> AnswerSize:
        """The same of a call whose request is not made yet."""
        number = arguments.get("n") if endpoint.answer_bytes else None
        number = number if type(number) is int and number > 0 else 1
        key = (endpoint.path, model, number)
        if key not in self._sizes:
            self._sizes[key] = AnswerSize(self, number * endpoint.answer_bytes or _SMALL)
        return self._sizes[key]

    def note(self, request: Request, nbytes: int) -> None:
        """Learns from the answer to a request of one or more cells."""
        self.of(request).note(nbytes / request.cells)
