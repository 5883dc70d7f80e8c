"""The thread that asks a ledger for all the pools of a process."""

import threading
import time
from collections.abc import Callable

from pxt_assets.throttle.ledger.share import LedgerShare
from pxt_assets.throttle.ledger.terms import Answer, LedgerUnavailable, Request

IDLE_SECONDS = 10.0
"""Time with nothing to ask after which the thread ends; it is started again when there is."""


class Clerk:
    """Runs the exchanges of shares, one after another, when they are due. Wakes for nothing else."""

    def __init__(self, exchange: Callable[[str, Request], Answer]) -> None:
        self._exchange = exchange
        self._condition = threading.Condition()
        self._shares: set[LedgerShare] = set()
        self._thread: threading.Thread | None = None
        self._closing: set[LedgerShare] | None = None  # those to run before the thread ends

    def time(self) -> float:
        """Return the seconds of the clock by which shares are due: that of event loops."""
        return time.monotonic()

    def notify(self, share: LedgerShare) -> None:
        """Take note that a share is due earlier."""
        with self._condition:
            self._shares.add(share)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="pxt-ledger", daemon=True)
                self._thread.start()
            self._condition.notify()

    def close(self) -> None:
        """Run the exchanges that are outstanding at once, so that leases are given back, and end the thread.

        A share that is due later starts it again.
        """
        with self._condition:
            thread, self._closing = self._thread, set(self._shares)
            self._condition.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while (share := self._next()) is not None:
            sent = self.time()
            request = share.request(sent)
            try:
                answer = self._exchange(share.key, request)
            except LedgerUnavailable as error:
                share.fail(str(error), self.time())
            except (
                Exception
            ) as error:  # whatever it is, requests must not wait for ever for a thread that died
                share.fail(f"{type(error).__name__}: {error}", self.time())
            else:
                share.settle(request, answer, sent, self.time())

    def _next(self) -> LedgerShare | None:
        """Wait for the share that is due first; None when there has been none for a while, or on closing."""
        idle_since = self.time()
        with self._condition:
            while True:
                if self._closing is not None:
                    return self._next_to_close(self._closing)
                now = self.time()
                share = min(self._shares, key=lambda share: share.due, default=None)
                if share is not None and share.due <= now:
                    self._shares.discard(share)
                    return share
                end = idle_since + IDLE_SECONDS
                if share is not None:
                    end = min(share.due, now + threading.TIMEOUT_MAX)
                if end <= now:
                    self._thread = None
                    return None
                self._condition.wait(end - now)

    def _next_to_close(self, shares: set[LedgerShare]) -> LedgerShare | None:
        if shares:
            share = shares.pop()
            self._shares.discard(share)
            return share
        self._closing = self._thread = None
        return None
