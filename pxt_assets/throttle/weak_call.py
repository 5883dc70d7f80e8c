"""Callbacks that do not keep alive whom they call."""

import weakref
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def weak_call(method: Callable[[], Result], otherwise: Result) -> Callable[[], Result]:
    """Return a function that calls a bound method, and returns `otherwise` once its object is gone."""
    reference = weakref.WeakMethod(method)

    def call() -> Result:
        bound = reference()
        return otherwise if bound is None else bound()

    return call
