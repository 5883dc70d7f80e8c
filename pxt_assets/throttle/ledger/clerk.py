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

    def _run(self) -> None:
        while (share := self._next()) is not None:
            sent = self.time()
            request = share.request(sent)
            try:
                answer = self._exchange(share.key, request)
            except LedgerUnavailable as error:
                share.fail(str(error), self.time())
            except Exception as error:  # whatever it is, requests must not wait for ever for a thread that died
                share.fail(f"{type(error).__name__}: {error}", self.time())
            else:
                share.settle(request, answer, sent, self.time())

    def _next(self) -> LedgerShare | None:
        """Wait for the share that is due first; None when there has been none for a while."""
        idle_since = self.time()
        with self._condition:
            while True:
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
