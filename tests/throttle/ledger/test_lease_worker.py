"""The thread that runs the exchanges of a process."""

import math
import threading
from collections.abc import Iterator

import pytest

from pxt_assets.throttle.ledger import lease_worker
from pxt_assets.throttle.ledger.lease_worker import STUCK_THREADS, LeaseWorker
from pxt_assets.throttle.ledger.ledger_share import LedgerShare
from pxt_assets.throttle.ledger.messages import ExchangeAnswer, ExchangeRequest, LedgerFault

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


ALONE = "it has not answered within 0.05 s"
IN_TIME = 5.0


class Leases(LedgerShare):
    """A share that tells of its failures."""

    def __init__(self, key: str, worker: LeaseWorker) -> None:
        super().__init__(key, worker)
        self.failed = threading.Event()
        self.reasons: list[str] = []

    def fail(self, reason: str, now: float, **more: object) -> None:
        super().fail(reason, now, **more)  # type: ignore[arg-type]
        self.reasons.append(reason)
        self.failed.set()


class SilentDatabase:
    """Answers nothing until it `speaks`; then with an answer that is told by its number of rows."""

    def __init__(self) -> None:
        self.speaks = threading.Event()
        self.asked: list[str] = []
        self.severed = 0

    def exchange(self, key: str, _request: ExchangeRequest) -> ExchangeAnswer:
        self.asked.append(key)
        assert self.speaks.wait(SECONDS)
        return ExchangeAnswer({}, 0.0, 7)

    def sever(self) -> None:
        self.severed += 1


@pytest.fixture
def database() -> Iterator[SilentDatabase]:
    database = SilentDatabase()
    yield database
    database.speaks.set()


@pytest.fixture
def worker(database: SilentDatabase) -> LeaseWorker:
    return LeaseWorker(database.exchange, database.sever, exchange_seconds=0.05, close_seconds=0.05)


def due(share: LedgerShare, worker: LeaseWorker) -> None:
    with share.lock:
        share.schedule_exchange(worker.time())


def test_an_exchange_without_an_answer_is_given_up(worker: LeaseWorker, database: SilentDatabase) -> None:
    """Its share goes on alone, and the connection is ended."""
    share = Leases("pool", worker)
    due(share, worker)
    assert share.failed.wait(IN_TIME)
    assert share.reasons == [ALONE]
    assert share.wait(0.0) == 0.0
    while not database.severed:  # it is ended right after
        assert share.failed.wait(IN_TIME)


def test_an_answer_that_comes_too_late_is_dropped(worker: LeaseWorker, database: SilentDatabase) -> None:
    """What it tells of is long past."""
    share = Leases("pool", worker)
    due(share, worker)
    assert share.failed.wait(IN_TIME)
    (stuck,) = worker._stuck
    database.speaks.set()
    stuck.join(IN_TIME)
    assert not stuck.is_alive()
    assert share.processes == 1


def test_the_other_pools_of_a_silent_ledger_are_not_held_up_one_after_another(
    worker: LeaseWorker, database: SilentDatabase
) -> None:
    """Ten pools do not wait ten times as long."""
    shares = [Leases(str(number), worker) for number in range(10)]
    for share in shares:
        due(share, worker)
    for share in shares:
        assert share.failed.wait(IN_TIME)
    assert len(database.asked) < 10


def test_few_threads_wait_for_a_silent_ledger(
    worker: LeaseWorker, database: SilentDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is tried again."""
    monkeypatch.setattr(lease_worker, "FIRST_PAUSE_SECONDS", 0.0)
    for number in range(STUCK_THREADS + 4):
        share = Leases(str(number), worker)
        due(share, worker)
        assert share.failed.wait(IN_TIME)
    assert len(database.asked) <= STUCK_THREADS


def test_closing_does_not_wait_for_a_silent_ledger(worker: LeaseWorker, database: SilentDatabase) -> None:
    """Nor for each of its pools."""
    shares = [Leases(str(number), worker) for number in range(10)]
    for share in shares:
        due(share, worker)
    closing = threading.Thread(target=worker.close)
    closing.start()
    closing.join(IN_TIME)
    assert not closing.is_alive()
    assert len(database.asked) < 10


def test_a_fault_in_the_thread_is_raised_where_the_pool_asks() -> None:
    """So that the pool goes on without the share, and does not wait for ever."""

    def exchange(_key: str, _request: ExchangeRequest) -> ExchangeAnswer:
        raise LedgerFault from ZeroDivisionError()

    worker = LeaseWorker(exchange)
    share = Leases("pool", worker)
    woken = threading.Event()
    share.join(woken.set, lambda: 0)
    due(share, worker)
    assert woken.wait(IN_TIME)
    with pytest.raises(LedgerFault):
        share.wait(0.0)
