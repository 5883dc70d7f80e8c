"""LanceDB: a database for each table of assets, with a table for each index; its names, filters and errors."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from pxt_assets.errors import PxtError, RunError
from pxt_assets.storage.store import file_name

if TYPE_CHECKING:
    from lancedb.db import DBConnection

    from pxt_assets.index.spec import IndexSpec


T = TypeVar("T")

_ATTEMPTS = 6
SIMULATED = "-simulated"
"""Part of the name of a table whose vectors a simulator invented."""
EMPTY = "-empty"
"""End of the name of a table for an index without rows, whose vectors' length is not known yet."""


def database_uri(base_path: str, table: Sequence[str]) -> str:
    """The folder, or the URL, of the database of one table of assets."""
    from pathlib import Path

    parts = [file_name(part) for part in table]
    if "://" in base_path:
        return "/".join([base_path.rstrip("/"), *parts])
    return str(Path(base_path).expanduser().absolute().joinpath(*parts))


def connect(uri: str, storage_options: Mapping[str, str] | None) -> DBConnection:
    """The database; each read sees what other processes have committed. Raises RunError without LanceDB."""
    try:
        import lancedb
    except ImportError as e:
        msg = f"embedding indexes are kept in LanceDB, which cannot be imported ({e}); pip install 'pxt_assets[index]'"
        raise RunError(msg) from e
    connection: DBConnection = lancedb.connect(
        uri,
        storage_options=dict(storage_options) if storage_options else None,
        read_consistency_interval=timedelta(0),
    )
    return connection


def table_name(spec: IndexSpec, *, simulated: bool, empty: bool = False) -> str:
    """The name of the index's table, which changes with the embedding function, the metric and the key.

    A simulator's vectors have a table of their own, since they cannot be compared with the API's.
    """
    return f"{spec.stored_name}-{spec.identity}{SIMULATED if simulated else ''}{EMPTY if empty else ''}"


def table_names(database: DBConnection, spec: IndexSpec) -> list[str]:
    """The names of all tables of an index, those of other functions, metrics and keys included."""
    names: list[str] = []
    token = None
    while True:
        page = database.list_tables(page_token=token)
        names += page.tables
        token = page.page_token
        if not token:
            return [name for name in names if name.partition("-")[0] == spec.stored_name]


@contextmanager
def lance_errors_as(uri: str, error: type[PxtError]) -> Iterator[None]:
    """Within the block, LanceDB's errors of reading and writing are raised as `error`, with the URI."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as e:
        if isinstance(e, PxtError | NotImplementedError):  # raised by this package, or a fault of its
            raise
        msg = f"the index at {uri} cannot be read or written: {lance_error_message(e)}"
        raise error(msg) from e


def retry_conflicts(action: Callable[[], T], pause: Callable[[float], object] = time.sleep) -> T:
    """The result of an action, tried six times: LanceDB lets only one of several processes commit at once."""
    for attempt in range(_ATTEMPTS - 1):
        try:
            return action()
        except (OSError, RuntimeError, ValueError):
            pause(random.uniform(0.5, 1.5) * 0.05 * 2**attempt)  # noqa: S311
    return action()


def sql_literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_in(column: str, values: Sequence[str]) -> str:
    """The SQL filter for a text column that has one of these values."""
    return f"{column} IN ({', '.join(map(sql_literal, values))})" if values else "false"


def lance_error_message(error: Exception) -> str:
    """An error's message without the places in LanceDB's source and its list of columns."""
    return str(error).partition("\n")[0].partition(", /")[0].partition(" Valid fields are")[0].strip()


def arrow_metadata(values: Mapping[str, Any]) -> dict[str, str | None]:
    """Values as the metadata of a LanceDB column."""
    return {f"pxt_assets.{name}": str(value) for name, value in values.items()}
