"""The room in queues of batches: the same rules in memory and in a database."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from pxt_assets.throttle.batch_queue import (
    BATCH_SECONDS,
    CLAIM_SECONDS,
    LIMIT_SECONDS,
    BatchQueue,
    MemoryBatchQueue,
)
from pxt_assets.throttle.ledger.sql import SqlLedger

MODEL = "gpt-6-luna"


class Clock:
    """A clock that a test turns; that of a database is turned by moving what stands in its rows."""

    def __init__(self, moved: Callable[[float], None]) -> None:
        self._moved, self.now = moved, 1_800_000_000.0

    def pass_seconds(self, seconds: float) -> None:
        self.now += seconds
        self._moved(seconds)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def queue_and_clock(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[BatchQueue, Clock]:
    if request.param == "memory":
        clock = Clock(lambda _: None)
        return MemoryBatchQueue(lambda: clock.now), clock
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    else:
        url = str(request.getfixturevalue("postgres_url"))
    ledger = SqlLedger(url)

    def move(seconds: float) -> None:
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE pxt_queued_batches SET since = since - {seconds}"))
            connection.execute(text(f"UPDATE pxt_batch_limits SET learned = learned - {seconds}"))
        engine.dispose()

    return ledger.batch_queue(), Clock(move)


@pytest.fixture
def queue(queue_and_clock: tuple[BatchQueue, Clock]) -> BatchQueue:
    return queue_and_clock[0]


@pytest.fixture
def clock(queue_and_clock: tuple[BatchQueue, Clock]) -> Clock:
    return queue_and_clock[1]


@pytest.fixture
def account() -> str:
    """An account of which nothing is known."""
    return uuid.uuid4().hex


@pytest.fixture
def name(account: str) -> Callable[[str], str]:
    """Names of batches that no other test has."""
    return lambda name: f"{account}-{name}"


def test_there_is_room_for_all_while_no_limit_is_known(
    queue: BatchQueue, account: str, name: Callable[[str], str]
) -> None:
    assert queue.room(account, MODEL) == float("inf") == queue.limit(account, MODEL)
    assert queue.enqueue(name("a"), account, MODEL, 1e12)
    assert queue.enqueue(name("b"), account, MODEL, 1e12)


def test_room_is_what_other_batches_leave(
    queue: BatchQueue, account: str, name: Callable[[str], str]
) -> None:
    """What was enqueued before the limit was known counts; what was released makes room."""
    assert queue.enqueue(name("a"), account, MODEL, 60)
    queue.learn_limit(account, MODEL, 100)
    assert queue.room(account, MODEL) == 40
    assert not queue.enqueue(name("b"), account, MODEL, 41)
    assert queue.room(account, MODEL) == 40
    assert queue.enqueue(name("b"), account, MODEL, 40)
    assert queue.room(account, MODEL) == 0
    queue.release(name("a"))
    assert queue.room(account, MODEL) == 60
    queue.release(name("a"))
    queue.release(name("unknown"))


def test_models_and_accounts_have_queues_of_their_own(
    queue: BatchQueue, account: str, name: Callable[[str], str]
) -> None:
    queue.learn_limit(account, MODEL, 100)
    assert queue.enqueue(name("a"), account, MODEL, 100)
    for other_account, model in ((account, "gpt-6-sol"), (account + "x", MODEL)):
        queue.learn_limit(other_account, model, 100)
        assert queue.room(other_account, model) == 100


def test_a_batch_enqueued_again_keeps_its_place(
    queue: BatchQueue, account: str, name: Callable[[str], str]
) -> None:
    """A follower may claim it for the process that died; its own tokens are not in its way."""
    queue.learn_limit(account, MODEL, 100)
    for tokens in (80, 90):
        assert queue.enqueue(name("a"), account, MODEL, tokens)
        assert queue.room(account, MODEL) == 100 - tokens


def test_an_empty_queue_takes_any_batch(queue: BatchQueue, account: str, name: Callable[[str], str]) -> None:
    """A row larger than the whole limit would wait for ever; the server says what is too much."""
    queue.learn_limit(account, MODEL, 100)
    assert queue.enqueue(name("a"), account, MODEL, 500)
    assert queue.room(account, MODEL) == 0
    assert not queue.enqueue(name("b"), account, MODEL, 1)


def test_a_claim_of_a_dead_process_is_void_after_an_hour(
    queue: BatchQueue, clock: Clock, account: str, name: Callable[[str], str]
) -> None:
    queue.learn_limit(account, MODEL, 100)
    queue.enqueue(name("a"), account, MODEL, 100)
    clock.pass_seconds(CLAIM_SECONDS - 60)
    assert queue.room(account, MODEL) == 0
    clock.pass_seconds(120)
    assert queue.room(account, MODEL) == 100
    assert queue.enqueue(name("b"), account, MODEL, 100)


def test_a_batch_on_its_way_counts_for_25_hours(
    queue: BatchQueue, clock: Clock, account: str, name: Callable[[str], str]
) -> None:
    """It has ended by then, whether somebody said so or not."""
    queue.learn_limit(account, MODEL, 100)
    queue.enqueue(name("a"), account, MODEL, 100)
    queue.submitted(name("a"))
    queue.submitted(name("unknown"))
    clock.pass_seconds(BATCH_SECONDS - 60)
    assert not queue.enqueue(name("b"), account, MODEL, 1)
    clock.pass_seconds(120)
    assert queue.room(account, MODEL) == 100


def test_the_limit_that_was_said_last_holds(queue: BatchQueue, account: str) -> None:
    """What is configured holds until the server says otherwise, and again when it is configured anew."""
    queue.configure(account, MODEL, 200)
    assert queue.limit(account, MODEL) == 200
    queue.learn_limit(account, MODEL, 90)
    assert queue.limit(account, MODEL) == 90
    queue.configure(account, MODEL, 200)
    assert queue.limit(account, MODEL) == 90
    queue.configure(account, MODEL, 300)
    assert queue.limit(account, MODEL) == 300


def test_a_learned_limit_is_forgotten(queue: BatchQueue, clock: Clock, account: str) -> None:
    """Accounts are given higher ones; what is configured then holds again."""
    queue.learn_limit(account, MODEL, 90)
    clock.pass_seconds(LIMIT_SECONDS + 60)
    assert queue.limit(account, MODEL) == float("inf")
    queue.configure(account, MODEL, 200)
    queue.learn_limit(account, MODEL, 90)
    clock.pass_seconds(LIMIT_SECONDS + 60)
    assert queue.limit(account, MODEL) == 200


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_limit_is_more_than_nothing(queue: BatchQueue, account: str, limit: float) -> None:
    for said in (queue.learn_limit, queue.configure):
        with pytest.raises(ValueError, match="allowed: more than 0 tokens"):
            said(account, MODEL, limit)
