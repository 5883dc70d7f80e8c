"""The thread that runs the exchanges of a process."""

import math
import threading

from pxt_assets.throttle.ledger.lease_worker import LeaseWorker

SECONDS = 30


class Share:
    """A share that is due again later after each exchange, but for the last one."""

    def __init__(self, worker: LeaseWorker) -> None:
        self.key = "pool"
        self.due = 0.0
        self.closings: list[bool] = []
        self._worker = worker

    def request(self, _sent: float, *, closing: bool) -> bool:
        self.closings.append(closing)
        self.due = math.inf
        return closing

    def settle(self, closing: bool, _answer: None, _sent: float, now: float) -> None:
        if not closing:
            self.due = now + 1_000
            self._worker.notify(self)  # type: ignore[arg-type]


class Signalling(list[threading.Event]):
    """A list that tells of what is added."""

    def __init__(self, added: threading.Event) -> None:
        super().__init__()
        self._added = added

    def append(self, event: threading.Event) -> None:
        super().append(event)
        self._added.set()


def test_an_exchange_that_is_under_way_at_closing_is_followed_by_one_that_gives_back():
    """What it leased meanwhile would be lost for a while to all processes, and its thread would live on."""
    under_way, closing = threading.Event(), threading.Event()

    def exchange(_key: str, _request: object) -> None:
        under_way.set()
        assert closing.wait(SECONDS)

    worker = LeaseWorker(exchange)  # type: ignore[arg-type]
    worker._closed = Signalling(closing)
    share = Share(worker)
    worker.notify(share)  # type: ignore[arg-type]
    assert under_way.wait(SECONDS)
    assert worker.close()
    assert share.closings == [False, True]
