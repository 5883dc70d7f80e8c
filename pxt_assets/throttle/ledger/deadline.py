"""Calls that may never return, and are given up then."""

import threading
from collections.abc import Callable
from typing import TypeVar

from pxt_assets.throttle.ledger.messages import LedgerUnavailable

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result], sever: Callable[[], None]) -> Result:
    """Return what `call` returns or raises; after `seconds` call `sever` to end it, and raise `LedgerUnavailable`."""
    results: list[Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="pxt-ledger-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if results:
        return results[0]
    sever()
    raise LedgerUnavailable(f"it has not answered within {seconds:g} s")
