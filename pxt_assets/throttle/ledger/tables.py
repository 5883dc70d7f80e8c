"""The tables of the ledger, and the SQL that reads and writes them: the same on SQLite and PostgreSQL.

All times are the database's own clock, in seconds since 1970. What is unknown or has never been is null.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from pxt_assets.throttle.ledger.pool_rows import BucketRow, PoolRows, ProcessRow

VERSION = 2
"""Changes with the tables or with what their columns mean."""

CLOCK = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)",
}
"""The statement that returns a database's time, as of the statement, not of the transaction."""

_TABLES = {
    "pxt_version": "(version INTEGER NOT NULL)",
    "pxt_pools": "(pool TEXT PRIMARY KEY, held_until DOUBLE PRECISION)",
    "pxt_buckets": """(
        pool TEXT NOT NULL, dimension TEXT NOT NULL, capacity DOUBLE PRECISION, rate DOUBLE PRECISION NOT NULL,
        level DOUBLE PRECISION NOT NULL, updated DOUBLE PRECISION NOT NULL, corrections DOUBLE PRECISION NOT NULL,
        leased DOUBLE PRECISION NOT NULL, spilled DOUBLE PRECISION NOT NULL, measured DOUBLE PRECISION,
        drain DOUBLE PRECISION NOT NULL, taken_by_others DOUBLE PRECISION NOT NULL, compared DOUBLE PRECISION,
        configured DOUBLE PRECISION, PRIMARY KEY (pool, dimension))""",
    "pxt_processes": """(
        pool TEXT NOT NULL, process TEXT NOT NULL, seen DOUBLE PRECISION NOT NULL, until DOUBLE PRECISION,
        holding TEXT NOT NULL, PRIMARY KEY (pool, process))""",
}
QUEUE_TABLES = {
    "pxt_batch_limits": """(
        account TEXT NOT NULL, model TEXT NOT NULL, tokens DOUBLE PRECISION, configured DOUBLE PRECISION,
        learned DOUBLE PRECISION, PRIMARY KEY (account, model))""",
    "pxt_queued_batches": """(
        name TEXT PRIMARY KEY, account TEXT NOT NULL, model TEXT NOT NULL, tokens DOUBLE PRECISION NOT NULL,
        since DOUBLE PRECISION NOT NULL, submitted INTEGER NOT NULL)""",
}
"""The tables of the queues of batches, which are made when one is first used."""
_FIND_TABLE = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name = :name",
    "postgresql": "SELECT CAST(to_regclass(:name) AS TEXT)",
}
_CREATION_LOCK = 0x707874  # any number that nobody else locks
_SELECT_BUCKETS = text(
    "SELECT dimension, capacity, rate, level, updated, corrections, leased, spilled, measured, "
    "drain, taken_by_others, compared, configured "
    "FROM pxt_buckets WHERE pool = :pool"
)
_SELECT_PROCESSES = text("SELECT process, seen, until, holding FROM pxt_processes WHERE pool = :pool")
_INSERT_POOL = text("INSERT INTO pxt_pools (pool) VALUES (:pool) ON CONFLICT DO NOTHING")
_UPDATE_POOL = text("UPDATE pxt_pools SET held_until = :held_until WHERE pool = :pool")
_WRITE_BUCKET = text(
    "INSERT INTO pxt_buckets (pool, dimension, capacity, rate, level, updated, corrections, leased, spilled, "
    "measured, drain, taken_by_others, compared, configured) VALUES (:pool, :dimension, :capacity, :rate, :level, "
    ":updated, :corrections, :leased, :spilled, :measured, :drain, :foreign, :compared, :configured) ON CONFLICT (pool, dimension) DO UPDATE SET capacity = :capacity, "
    "rate = :rate, level = :level, updated = :updated, corrections = :corrections, leased = :leased, "
    "spilled = :spilled, measured = :measured, drain = :drain, taken_by_others = :foreign, compared = :compared, "
    "configured = :configured"
)
_WRITE_PROCESS = text(
    "INSERT INTO pxt_processes (pool, process, seen, until, holding) VALUES (:pool, :process, :seen, :until, "
    ":holding) ON CONFLICT (pool, process) DO UPDATE SET seen = :seen, until = :until, holding = :holding"
)
_DELETE_PROCESS = text("DELETE FROM pxt_processes WHERE pool = :pool AND process = :process")


def lock_creation(connection: Connection) -> None:
    """Have one process at a time create tables, until the transaction ends. On SQLite the transaction is the lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CREATION_LOCK})


def create_tables(connection: Connection) -> int:
    """Create the missing tables, and return the version of the tables.

    Where all are there, the right to create tables is not needed.
    """
    _create_missing(connection, _TABLES)
    version = connection.execute(text("SELECT version FROM pxt_version")).scalar()
    if version is None:
        connection.execute(text("INSERT INTO pxt_version (version) VALUES (:version)"), {"version": VERSION})
        return VERSION
    return int(version)


def create_queue_tables(connection: Connection) -> None:
    """Create the tables of the queues of batches that are missing, one process at a time."""
    find = text(_FIND_TABLE[connection.dialect.name])
    if any(connection.execute(find, {"name": name}).scalar() is None for name in QUEUE_TABLES):
        lock_creation(connection)
        _create_missing(connection, QUEUE_TABLES)


def _create_missing(connection: Connection, tables: Mapping[str, str]) -> None:
    find = text(_FIND_TABLE[connection.dialect.name])
    for name, columns in tables.items():
        if connection.execute(find, {"name": name}).scalar() is None:
            connection.execute(text(f"CREATE TABLE IF NOT EXISTS {name} {columns}"))


def has_only_ledger(connection: Connection) -> bool:
    """Whether a SQLite file holds the tables of the ledger and nothing else."""
    if connection.dialect.name != "sqlite":
        return False
    names = connection.execute(text("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"))
    return all(name in _TABLES or name in QUEUE_TABLES or name.startswith("sqlite_") for (name,) in names)


def clock(connection: Connection) -> float:
    """Return the time of the database."""
    return float(connection.execute(text(CLOCK[connection.dialect.name])).scalar_one())


def read_holds(connection: Connection) -> dict[str, float]:
    """Return until when each pool is held, by its key."""
    found = connection.execute(text("SELECT pool, held_until FROM pxt_pools ORDER BY pool"))
    return {pool: _time_or_never(held_until) for pool, held_until in found}


def clear_pool(connection: Connection, pool: str) -> None:
    """Forget what is known of a pool's limits, and that it is held."""
    connection.execute(_UPDATE_POOL, {"pool": pool, "held_until": None})
    connection.execute(text("DELETE FROM pxt_buckets WHERE pool = :pool"), {"pool": pool})


def forget_unused(connection: Connection, oldest: float, most: int = 200) -> None:
    """Delete pools that no process has drawn on since `oldest`, a time of the database's clock; `most` at once."""
    unused = text(
        "SELECT pool FROM pxt_buckets GROUP BY pool HAVING MAX(updated) < :oldest ORDER BY pool LIMIT :most"
    )
    newest = text("SELECT MAX(updated) FROM pxt_buckets WHERE pool = :pool")
    for (pool,) in connection.execute(unused, {"oldest": oldest, "most": most}).all():
        lock_pool(connection, pool)
        if (connection.execute(newest, {"pool": pool}).scalar() or oldest) >= oldest:
            continue  # used meanwhile
        for table in ("pxt_buckets", "pxt_processes", "pxt_pools"):
            connection.execute(text(f"DELETE FROM {table} WHERE pool = :pool"), {"pool": pool})  # noqa: S608


def lock_pool(connection: Connection, pool: str) -> float:
    """Lock the rows of a pool until the transaction ends, and return until when the pool is held.

    On SQLite the transaction itself is the lock.
    """
    suffix = " FOR UPDATE" if connection.dialect.name == "postgresql" else ""
    select = text(f"SELECT held_until FROM pxt_pools WHERE pool = :pool{suffix}")  # noqa: S608
    row = connection.execute(select, {"pool": pool}).first()
    if row is None:
        connection.execute(_INSERT_POOL, {"pool": pool})
        row = connection.execute(select, {"pool": pool}).one()
    return _time_or_never(row[0])


def read_pool(connection: Connection, pool: str, held_until: float) -> PoolRows:
    """Return all rows of a pool; one whose numbers are none counts as not there, and is written anew."""
    rows = PoolRows(held_until=held_until)
    for dimension, *numbers in connection.execute(_SELECT_BUCKETS, {"pool": pool}):
        row = _bucket_row(*numbers)
        if row is not None:
            rows.buckets[dimension] = row
    for process, seen, until, holding in connection.execute(_SELECT_PROCESSES, {"pool": pool}):
        row_of_process = _process_row(seen, until, holding)
        if row_of_process is not None:
            rows.processes[process] = row_of_process
    return rows


def _bucket_row(
    capacity: float | None,
    rate: float,
    level: float,
    updated: float,
    corrections: float,
    leased: float,
    spilled: float,
    measured: float | None,
    drain: float,
    taken_by_others: float,
    compared: float | None,
    configured: float | None,
) -> BucketRow | None:
    required = (rate, level, updated, corrections, leased, spilled, drain, taken_by_others)
    optional = (capacity, measured, compared, configured)
    if not all(map(_is_number, required)) or not all(one is None or _is_number(one) for one in optional):
        return None
    if capacity is not None and not (rate > 0 and 0 <= drain < rate):  # it would never fill
        return None
    return BucketRow(
        updated_at=updated,
        limit=math.inf if capacity is None else capacity,
        rate=rate,
        level=level,
        corrections=corrections,
        leased=leased,
        spilled=spilled,
        measured_at=_time_or_never(measured),
        drain=drain,
        taken_by_others=taken_by_others,
        compared_at=_time_or_never(compared),
        configured_rate=configured,
    )


def _process_row(seen: float, until: float | None, holding: str) -> ProcessRow | None:
    try:
        counts = json.loads(holding)
        row = ProcessRow(
            seen,
            _time_or_never(until),
            dict(counts["outstanding"]),
            {dimension: _int_keys(taken) for dimension, taken in counts["taken"].items()},
            {int(second): count for second, count in counts["rejected"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    numbers = [seen, *row.outstanding.values(), *row.rejected.values()]
    numbers += [units for taken in row.taken.values() for units in taken.values()]
    return row if all(map(_is_number, numbers)) else None


def write_pool(
    connection: Connection, pool: str, before: set[str], held_until: float, rows: PoolRows
) -> None:
    """Write the rows of a pool. `before` and `held_until` are its processes and its hold as they were read."""
    if rows.held_until != held_until:
        connection.execute(_UPDATE_POOL, {"pool": pool, "held_until": _null_if_infinite(rows.held_until)})
    buckets: list[dict[str, Any]] = [
        {
            "pool": pool,
            "dimension": dimension,
            "capacity": _null_if_infinite(row.limit),
            "rate": row.rate,
            "level": row.level,
            "updated": row.updated_at,
            "corrections": row.corrections,
            "leased": row.leased,
            "spilled": row.spilled,
            "measured": _null_if_infinite(row.measured_at),
            "drain": row.drain,
            "foreign": row.taken_by_others,
            "compared": _null_if_infinite(row.compared_at),
            "configured": row.configured_rate,
        }
        for dimension, row in rows.buckets.items()
    ]
    if buckets:
        connection.execute(_WRITE_BUCKET, buckets)
    processes: list[dict[str, Any]] = [
        {
            "pool": pool,
            "process": process,
            "seen": holding.seen_at,
            "until": _null_if_infinite(holding.leased_until),
            "holding": json.dumps(
                {"outstanding": holding.outstanding, "taken": holding.taken, "rejected": holding.rejected}
            ),
        }
        for process, holding in rows.processes.items()
    ]
    connection.execute(_WRITE_PROCESS, processes)
    gone = [{"pool": pool, "process": process} for process in before - rows.processes.keys()]
    if gone:
        connection.execute(_DELETE_PROCESS, gone)


def _int_keys(counts: dict[str, float]) -> dict[int, float]:
    return {int(second): count for second, count in counts.items()}


def _is_number(stored: object) -> bool:
    return isinstance(stored, int | float) and math.isfinite(stored)


def _time_or_never(stored: float | None) -> float:
    return stored if isinstance(stored, int | float) and stored < math.inf else -math.inf


def _null_if_infinite(number: float) -> float | None:
    return number if math.isfinite(number) else None
