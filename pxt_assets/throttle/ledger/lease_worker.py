"""The thread that runs the exchanges with a ledger for all pools of a process, and the one that watches over it."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pxt_assets.throttle.ledger.ledger_share import FIRST_PAUSE_SECONDS, LedgerShare
from pxt_assets.throttle.ledger.messages import ExchangeAnswer, ExchangeRequest, LedgerUnavailable

IDLE_SECONDS = 10.0
"""Time without a due share after which the thread ends; the next due share starts it again."""
EXCHANGE_SECONDS = 5.0
"""Time after which an exchange is given up: a connection that went silent never ends by itself."""
CLOSE_SECONDS = 5.0
"""Time in which closing gives back what is leased; after it, leases expire by themselves."""
STUCK_THREADS = 4
"""Threads whose exchange was given up and has not ended; with as many of them no other exchange begins."""


@dataclass(frozen=True, slots=True)
class _Exchange:
    """An exchange that is under way."""

    share: LedgerShare
    request: ExchangeRequest
    since: float
    closing: bool


class LeaseWorker:
    """Runs the exchanges of shares, one after another, when they are due. It wakes for nothing else.

    An exchange that takes longer than `exchange_seconds` is given up: its share goes on alone, `sever` is called to
    end it, another thread runs the others, and what it answers later is dropped. `close` takes no longer than
    `close_seconds`.
    """

    def __init__(
        self,
        exchange: Callable[[str, ExchangeRequest], ExchangeAnswer],
        sever: Callable[[], None] = lambda: None,
        *,
        exchange_seconds: float = EXCHANGE_SECONDS,
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self._exchange = exchange
        self._sever = sever
        self._exchange_seconds = exchange_seconds
        self._close_seconds = close_seconds
        self._condition = threading.Condition()
        self._changed = threading.Condition(self._condition._lock)  # type: ignore[attr-defined]
        self._shares: set[LedgerShare] = set()
        self._exchanging: set[LedgerShare] = set()  # the one whose exchange is under way
        self._under_way: _Exchange | None = None
        self._thread: threading.Thread | None = None
        self._watcher: threading.Thread | None = None
        self._stuck: list[threading.Thread] = []
        self._silent_until = -math.inf  # until then exchanges fail at once, since one has just been given up
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
                self._start()
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
        if not closed.wait(self._close_seconds):
            self._close_alone(closed)
        with self._condition:
            ended = self._thread is None or not self._thread.is_alive()
            ending = [one for one in (thread, self._watcher) if one is not None and one not in self._stuck]
        for one in ending if ended else ():
            one.join(self._close_seconds)
        return ended

    def _start(self) -> None:
        self._under_way = None
        self._thread = threading.Thread(target=self._run, name="pxt-ledger", daemon=True)
        self._thread.start()
        self._watcher = threading.Thread(
            target=self._watch, args=(self._thread,), name="pxt-ledger-watch", daemon=True
        )
        self._watcher.start()

    def _run(self) -> None:
        thread = threading.current_thread()
        while (share := self._next(thread)) is not None:
            sent, closing = self.time(), bool(self._closed)
            request: ExchangeRequest | None = None
            try:
                request = share.request(sent, closing=closing)
                if self._begin(_Exchange(share, request, sent, closing), thread):
                    share.settle(request, self._exchange(share.key, request), sent, self.time())
            except LedgerUnavailable as error:
                share.fail(str(error), self.time(), request=request, closing=closing)
            except Exception as error:  # requests must not wait for ever for a thread that died
                share.fault(error)

    def _begin(self, exchange: _Exchange, thread: threading.Thread) -> bool:
        """Note that an exchange begins; return whether this thread is to run it. Raises `LedgerUnavailable`."""
        with self._condition:
            if self._thread is not thread:
                return False
            self._stuck = [one for one in self._stuck if one.is_alive()]
            if exchange.since < self._silent_until or len(self._stuck) >= STUCK_THREADS:
                raise LedgerUnavailable(self._silence)
            self._under_way = exchange
        return True

    def _next(self, thread: threading.Thread) -> LedgerShare | None:
        """Wait for the next due share and return it; None after `IDLE_SECONDS` without one, or on closing."""
        idle_since = self.time()
        with self._condition:
            if self._thread is not thread:  # given up
                return None
            self._exchanging, self._under_way = set(), None
            while True:
                if self._closing:
                    share = self._closing.pop()
                    self._shares.discard(share)
                    return share
                if self._closed:
                    while self._closed:
                        self._closed.pop().set()
                    if not self._shares:
                        self._end()
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
                    self._end()
                    return None
                self._condition.wait(end - now)
                if self._thread is not thread:
                    return None

    def _end(self) -> None:
        self._thread = None
        self._changed.notify_all()

    def _watch(self, thread: threading.Thread) -> None:
        """Give up the exchanges of a thread that take too long, for as long as it runs exchanges."""
        while True:
            with self._condition:
                if self._thread is not thread:
                    return
                since = math.inf if self._under_way is None else self._under_way.since
                left = min(self._exchange_seconds, since + self._exchange_seconds - self.time())
                if left > 0:
                    self._changed.wait(left)
                    continue
                exchange = self._give_up(thread)
            self._go_on_without(exchange)

    def _give_up(self, thread: threading.Thread) -> _Exchange | None:
        """Have another thread run what is due from now on, and return the exchange that was given up."""
        exchange, self._under_way = self._under_way, None
        self._stuck.append(thread)
        self._exchanging = set()
        self._silent_until = self.time() + FIRST_PAUSE_SECONDS / 2
        self._thread = None
        if self._shares or self._closing or self._closed:
            self._start()
        self._changed.notify_all()
        return exchange

    def _go_on_without(self, exchange: _Exchange | None) -> None:
        if exchange is not None:
            exchange.share.fail(
                self._silence, self.time(), request=exchange.request, closing=exchange.closing
            )
        self._sever()

    def _close_alone(self, closed: threading.Event) -> None:
        """End what closing waits for: leases that are not given back expire."""
        exchange = None
        with self._condition:
            if closed in self._closed:
                self._closed.remove(closed)
            left, self._closing = self._closing, set()
            if self._under_way is not None and self._thread is not None:
                exchange = self._give_up(self._thread)
        for share in left:
            share.fail(self._silence, self.time(), closing=True)
        self._go_on_without(exchange)

    @property
    def _silence(self) -> str:
        return f"it has not answered within {self._exchange_seconds:g} s"
