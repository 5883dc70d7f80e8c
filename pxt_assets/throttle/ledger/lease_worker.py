"""The thread that runs the exchanges with a ledger for all pools of a process."""

import math
import threading
import time
from collections.abc import Callable

from pxt_assets.throttle.ledger.ledger_share import LedgerShare
from pxt_assets.throttle.ledger.messages import ExchangeAnswer, ExchangeRequest, LedgerUnavailable

IDLE_SECONDS = 10.0
"""Time without a due share after which the thread ends; the next due share starts it again."""


class LeaseWorker:
    """Runs the exchanges of shares, one after another, when they are due. It wakes for nothing else."""

    def __init__(self, exchange: Callable[[str, ExchangeRequest], ExchangeAnswer]) -> None:
        self._exchange = exchange
        self._condition = threading.Condition()
        self._shares: set[LedgerShare] = set()
        self._exchanging: set[LedgerShare] = set()  # the one whose exchange is under way
        self._thread: threading.Thread | None = None
        self._closing: set[LedgerShare] = set()  # shares to run at once
        self._closed: list[threading.Event] = []  # set once they have run

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

    def close(self) -> bool:
        """Run the outstanding exchanges at once, so that leases are given back.

        The thread then ends, unless somebody still draws on a pool. Returns whether it has ended.
        """
        closed = threading.Event()
        with self._condition:
            thread = self._thread
            if thread is None or not thread.is_alive():  # no thread lives on in a forked process
                return True
            self._closing = self._shares | self._exchanging  # what is under way may lease more
            self._closed.append(closed)
            self._condition.notify()
        closed.wait()
        with self._condition:
            ended = self._thread is not thread
        if ended:
            thread.join()
        return ended

    def _run(self) -> None:
        while (share := self._next()) is not None:
            sent, closing = self.time(), bool(self._closed)
            try:
                request = share.request(sent, closing=closing)
                share.settle(request, self._exchange(share.key, request), sent, self.time())
            except LedgerUnavailable as error:
                share.fail(str(error), self.time(), closing=closing)
            except Exception as error:
                # Requests must not wait for ever for a thread that died.
                share.fail(f"{type(error).__name__}: {error}", self.time(), closing=closing)

    def _next(self) -> LedgerShare | None:
        """Wait for the next due share and return it; None after `IDLE_SECONDS` without one, or on closing."""
        idle_since = self.time()
        with self._condition:
            self._exchanging = set()
            while True:
                if self._closing:
                    share = self._closing.pop()
                    self._shares.discard(share)
                    return share
                if self._closed:
                    while self._closed:
                        self._closed.pop().set()
                    if not self._shares:
                        self._thread = None
                        return None
                now = self.time()
                self._shares = {share for share in self._shares if share.due < math.inf}
                due = min(self._shares, key=lambda share: share.due, default=None)
                if due is not None and due.due <= now:
                    self._shares.discard(due)
                    self._exchanging = {due}
                    return due
                end = idle_since + IDLE_SECONDS
                if due is not None:
                    end = min(due.due, now + threading.TIMEOUT_MAX)
                if end <= now:
                    self._thread = None
                    return None
                self._condition.wait(end - now)
