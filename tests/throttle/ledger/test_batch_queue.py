"""Queues of batches in a ledger that others use too."""

import threading
import uuid
from pathlib import Path

from sqlalchemy import create_engine, inspect, text

from pxt_assets.throttle.ledger.messages import ExchangeRequest, LeaseRequest
from pxt_assets.throttle.ledger.sql import SqlLedger
from pxt_assets.throttle.ledger.tables import QUEUE_TABLES


def tables_at(url: str) -> set[str]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_its_tables_are_made_when_it_is_used(tmp_path: Path) -> None:
    """A ledger of an earlier version is as it was until then, and all it knows is kept."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    ledger = SqlLedger(url)
    share = ledger.share(("account", "model"))
    ledger.exchange(share.key, ExchangeRequest((LeaseRequest("requests", 0.0, 0.0, 1.0, 1.0),)))
    assert not tables_at(url) & set(QUEUE_TABLES)
    ledger.batch_queue().learn_limit("account", "model", 90.0)
    assert set(QUEUE_TABLES) < tables_at(url)
    assert [line.key for line in ledger.pools()] == [("account", "model")]
    assert SqlLedger(url).batch_queue().limit("account", "model") == 90.0


def test_several_hosts_never_claim_more_than_there_is(ledger_url: str) -> None:
    """Each of four takes what it can, at the same time: together they fill the queue once."""
    account = uuid.uuid4().hex
    SqlLedger(ledger_url).batch_queue().learn_limit(account, "m", 10.0)
    taken: list[str] = []

    def take(host: int) -> None:
        queue = SqlLedger(ledger_url).batch_queue()
        for i in range(5):
            name = f"{account}-{host}-{i}"
            if queue.enqueue(name, account, "m", 1.0):
                taken.append(name)

    threads = [threading.Thread(target=take, args=(host,)) for host in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 10
    queue = SqlLedger(ledger_url).batch_queue()
    assert queue.room(account, "m") == 0
    for name in taken[:3]:
        queue.release(name)
    assert queue.room(account, "m") == 3


def test_rows_of_batches_that_are_over_are_deleted(tmp_path: Path) -> None:
    """The table does not grow with the years."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    queue = SqlLedger(url).batch_queue()
    for i in range(5):
        queue.enqueue(f"b-{i}", "a", "m", 1.0)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE pxt_queued_batches SET since = since - 100000"))
    queue.enqueue("b-9", "a", "m", 1.0)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT name FROM pxt_queued_batches")).scalars().all() == ["b-9"]
    engine.dispose()


def test_tables_that_were_dropped_meanwhile_are_made_again(ledger_url: str) -> None:
    account = uuid.uuid4().hex
    queue = SqlLedger(ledger_url).batch_queue()
    queue.enqueue(f"{account}-a", account, "m", 1.0)
    engine = create_engine(ledger_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        for table in QUEUE_TABLES:
            connection.execute(text(f"DROP TABLE {table}"))
    engine.dispose()
    assert queue.enqueue(f"{account}-a", account, "m", 1.0)
