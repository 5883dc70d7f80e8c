"""One input of a step, loaded by its own IO manager, partition by partition.

A step of several partitions must not ask for the rows of all at once: some IO managers give a dict by partition, those
of databases one table of all rows, others anything; and one partition that is missing would leave none.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._check import CheckError
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.storage.db_io_manager import DbIOManager

from pxt_assets.assets.step.partition_step import PartitionStep
from pxt_assets.errors import PartitionError, RunError, SourceError
from pxt_assets.storage.rows import Rows, concat_rows, rows_of
from pxt_assets.storage.store import ColumnStore

Partition = str | None
Keys = tuple[str, ...] | None
"""Partitions of an upstream; None for an upstream that has none."""
_MAX_KEYS_NAMED = 5
_BY_PARTITION = dg.UPathIOManager | ColumnStore
"""IO managers that keep a file for each partition."""
_CANNOT = (
    *(TypeError, ValueError, RuntimeError, LookupError, AssertionError, AttributeError),
    *(CheckError, dg.DagsterError),
)
"""What an IO manager may raise that does not load a value as that type, or several partitions at once."""


class UpstreamInput:
    """One input of a step: the rows that each of the step's partitions reads."""

    def __init__(self, step: StepExecutionContext, name: str, partitions: Sequence[Partition]) -> None:
        self._step = step
        self._name = name
        self._partitions = partitions
        whole = PartitionStep(step, None)
        self._asset = whole.upstream_asset(name)
        self._io_manager = whole.io_manager(name)
        self._type: Any = None
        """The Python type that the IO manager is known to load."""
        self._ahead: dict[Keys, Any] = {}
        """Values that were loaded before their turn."""
        self._is_one_dict = False
        """Whether the IO manager gives one dict of all partitions, whichever it is asked for."""
        self._shared: tuple[Keys, Rows] | None = None
        """The last rows of which several partitions of the step may be computed."""

    def check(self) -> None:
        """Raises RunError for an IO manager that gives the same value for all partitions, as one in memory does.

        Told by the first two partitions that can be loaded, before anything is computed; they are kept for their turn.
        """
        if len(self._partitions) < 2 or isinstance(self._io_manager, _BY_PARTITION | DbIOManager):
            return
        for partition in self._partitions:
            try:
                keys = self._keys(partition)
                if keys and keys not in self._ahead:
                    self._ahead[keys] = self._load(partition, keys)
            except PartitionError:
                continue  # it is told again when it is the partition's turn
            if len(self._ahead) == 2:
                break
        values = [*self._ahead.values()]
        if len(values) < 2 or values[0] is not values[1] or values[0] is None:
            return
        asked = {key for keys in self._ahead for key in keys or ()}
        if isinstance(values[0], Mapping) and asked <= set(values[0]):
            self._is_one_dict = True
            return
        asset = self._asset.to_user_string()
        msg = (
            f"the input {asset}: its IO manager {self._manager_name} gives the same {type(values[0]).__name__} for "
            "each of several partitions, so that their rows cannot be told apart; set "
            f"backfill_policy=dg.BackfillPolicy.multi_run(1) on {asset}, and materialize one partition a run"
        )
        raise RunError(msg)

    def rows(self, partition: Partition) -> Rows:
        """The rows that belong to one partition of the step. Raises PartitionError."""
        keys = self._keys(partition)
        if self._shared is not None and self._shared[0] == keys:
            return self._shared[1].latest()
        rows = self._load_rows(partition, keys)
        if len(self._partitions) > 1 and keys != (partition,):
            self._shared = keys, rows
        return rows

    def _keys(self, partition: Partition) -> Keys:
        try:
            keys = PartitionStep(self._step, partition).upstream_partitions(self._name)
        except (dg.DagsterError, CheckError) as e:
            msg = f"the input {self._asset.to_user_string()}: {e}"
            raise PartitionError(msg) from e
        return None if keys is None else tuple(keys)

    def _load_rows(self, partition: Partition, keys: Keys) -> Rows:
        if keys is None or len(keys) == 1:
            return self._rows_of_one(partition, keys)
        if keys and self._takes_range(keys):
            try:
                with self._as_partition_error(keys):
                    return _rows_of_several(self._load(partition, keys), keys)
            except PartitionError as e:
                if not isinstance(e.__cause__, _CANNOT):
                    raise
        parts = [self._rows_of_one(partition, (key,)) for key in keys]
        with self._as_partition_error(keys):
            return concat_rows(parts, keys)

    def _takes_range(self, keys: tuple[str, ...]) -> bool:
        """Whether to ask for several partitions at once: a database need not be asked thousands of times.

        Databases are asked by the first and the last partition, so only for ranges; dagster-deltalake gives the rows of
        the first day alone.
        """
        manager = self._io_manager
        if not isinstance(manager, DbIOManager):
            return not isinstance(manager, _BY_PARTITION)
        client = type(getattr(manager, "_db_client", None)).__module__.partition(".")[0]
        return client != "dagster_deltalake" and PartitionStep(self._step, None).is_one_range(
            self._name, keys
        )

    def _rows_of_one(self, partition: Partition, keys: Keys) -> Rows:
        """The rows of one partition of the upstream, or of an upstream without partitions.

        Of dicts only those are taken that cannot be the partition's own value: a dict of this partition alone, and one
        that is given for all of them.
        """
        key = keys[0] if keys else None
        with self._as_partition_error(keys):
            value = self._load(partition, keys)
            if isinstance(value, Mapping) and (self._is_one_dict or set(value) == {key}):
                value = _of_partitions(value, [key])[0]
            elif isinstance(value, Mapping) and key is not None:
                msg = f"got {_dict_text(value)} for one partition, allowed: a table, or a dict of it by that key alone"
                raise SourceError(msg)
            return rows_of(value)

    def _load(self, partition: Partition, keys: Keys) -> Any:
        """What the IO manager gives: as it likes, or, if it knows certain types only, as the first one of ours."""
        if keys in self._ahead:
            return self._ahead.pop(keys)
        step = PartitionStep(self._step, partition)
        errors: list[Exception] = []
        with self._as_partition_error(keys):
            for python_type in _loaded_types() if self._type is None else [self._type]:
                try:
                    value = step.load(self._name, keys, python_type)
                except _CANNOT as e:
                    errors.append(e)
                else:
                    self._type = python_type
                    return value
            raise next((e for e in errors if not isinstance(e, CheckError)), errors[0])

    @contextmanager
    def _as_partition_error(self, keys: Keys) -> Iterator[None]:
        """Raises errors of the block as PartitionErrors that name the asset, and the partition if it is one."""
        asset = self._asset.to_user_string()
        label = f"the input {asset}{f'[{keys[0]}]' if keys and len(keys) == 1 else ''}"
        try:
            yield
        except (RunError, dg.Failure, dg.RetryRequested, MemoryError):
            raise
        except SourceError as e:
            text = str(e)
            msg = text if text.startswith(asset) else f"{label}: {text}"
            raise PartitionError(msg) from e
        except FileNotFoundError as e:
            msg = f"{label}: its IO manager {self._manager_name} does not find it ({e}); materialize it first"
            raise PartitionError(msg) from e
        except Exception as e:
            kind = type(e).__name__
            msg = f"{label}: its IO manager {self._manager_name} could not load it ({kind}: {e})"
            raise PartitionError(msg) from e

    @property
    def _manager_name(self) -> str:
        return type(self._io_manager).__name__


def _loaded_types() -> Iterator[Any]:
    """The Python types to ask an IO manager for, in order: for what it likes to give, then for tables.

    A library is imported only for an IO manager that refused what came before.
    """
    yield Any
    yield importlib.import_module("pyarrow").Table
    yield importlib.import_module("pandas").DataFrame
    if importlib.util.find_spec("polars") is not None:
        yield importlib.import_module("polars").DataFrame


def _rows_of_several(value: Any, keys: Sequence[str]) -> Rows:
    """The rows of several partitions that belong to one of the step's: of a dict by partition, or of one table."""
    if isinstance(value, Mapping):
        return concat_rows([rows_of(table) for table in _of_partitions(value, keys)], keys)
    return rows_of(value)


def _of_partitions(tables: Mapping[Any, Any], keys: Sequence[str | None]) -> list[Any]:
    absent = [key for key in keys if key not in tables]
    if len(absent) == len(keys):
        msg = f"got {_dict_text(tables)}, allowed: a table, or a dict of tables by partition key"
        raise SourceError(msg)
    if absent:
        msg = f"its IO manager gave no partition {absent[0]!r}; materialize it first"
        raise SourceError(msg)
    return [tables[key] for key in keys]


def _dict_text(value: Mapping[Any, Any]) -> str:
    more = ", ..." if len(value) > _MAX_KEYS_NAMED else ""
    return f"a dict with the keys {', '.join(repr(key) for key in [*value][:_MAX_KEYS_NAMED])}{more}"
