"""One attempt at a column of tickets in a process of its own, and what it left for others to see."""

import json
import os
import pkgutil
import re
import select
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.compute.cells import journal as journal_module
from pxt_assets.compute.cells.segments import Segments
from pxt_assets.storage.layout import journal_folder
from tests.tickets import KEY, Tickets


@dataclass(frozen=True)
class Step:
    """The moment before or after the nth call of a function whose arguments match a pattern."""

    call: str
    """`module:name`, or `module:Class.name`."""
    of: str = ""
    after: bool = False
    nth: int = 1

    def intercept(self, act: Callable[[tuple[Any, ...]], None]) -> None:
        """Has `act` be called at that moment, with the arguments; for the rest of this process."""
        path, _, name = self.call.rpartition("." if "." in self.call.partition(":")[2] else ":")
        owner = pkgutil.resolve_name(path)
        call, seen = getattr(owner, name), count(1)

        def is_now(args: tuple[Any, ...]) -> bool:
            said = " ".join(str(getattr(arg, "where", arg)) for arg in args)
            return re.search(self.of, said) is not None and next(seen) == self.nth

        @contextmanager
        def around(args: tuple[Any, ...]) -> Iterator[None]:
            now = is_now(args)
            if now and not self.after:
                act(args)
            yield
            if now and self.after:
                act(args)

        def plain(*args: Any, **kwargs: Any) -> Any:
            with around(args):
                return call(*args, **kwargs)

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with around(args):
                return await call(*args, **kwargs)

        setattr(owner, name, awaited if iscoroutinefunction(call) else plain)


def die(_: tuple[Any, ...]) -> None:
    """Ends this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Tell:
    """Says so to whoever has opened the FIFO, then waits for what never comes if `hang`."""

    fifo: str
    hang: bool = False

    def __call__(self, _: tuple[Any, ...]) -> None:
        Path(self.fifo).write_bytes(b".")
        if self.hang:
            threading.Event().wait()


@dataclass(frozen=True)
class TellOfCommit(Tell):
    """Says so, then goes on when the run has been interrupted: a commit that takes long enough."""

    def __call__(self, args: tuple[Any, ...]) -> None:
        super().__call__(args)
        (interrupted,) = [arg for arg in args if isinstance(arg, threading.Event)]
        assert interrupted.wait(30)


class Told:
    """The reading end of a FIFO."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self._fd = os.open(path, os.O_RDWR)  # opens at once, though nobody writes yet

    def wait(self) -> None:
        """Returns when something was said."""
        ready, _, _ = select.select([self._fd], [], [], 60)
        assert ready, "the process did not come to that step"
        os.read(self._fd, 1)

    def close(self) -> None:
        os.close(self._fd)


@dataclass(frozen=True)
class Attempt:
    """What to materialize, and what is to happen on the way."""

    store: Mapping[str, Any]
    """The ColumnStore's arguments."""
    base_url: str
    rows: Mapping[int, str]
    step: Step | None = None
    act: Callable[[tuple[Any, ...]], None] = die
    config: Mapping[str, Any] = field(default_factory=dict)
    max_in_flight: int = 4
    flush_seconds: float = journal_module.FLUSH_SECONDS

    def __call__(self) -> None:
        """Materializes the column, in this process."""
        store = ColumnStore(**self.store)
        openai = OpenAIResource(
            base_url=self.base_url, api_key="unused", max_in_flight=self.max_in_flight, ledger="memory"
        )
        journal_module.FLUSH_SECONDS = self.flush_seconds
        if self.step is not None:
            self.step.intercept(self.act)
        Tickets(store, openai).run(self.rows, config=self.config)


def warm_up() -> None:
    """Has this process import whatever a materialization imports on its way, and make the instance that it uses."""
    with tempfile.TemporaryDirectory() as folder:
        store = ColumnStore(base_path=folder)
        openai = OpenAIResource(
            base_url="http://127.0.0.1:9/v1", api_key="unused", max_retries=0, ledger="memory"
        )
        with suppress(dg.Failure):  # nobody listens there
            Tickets(store, openai).run({1: "a"})


class Seen:
    """What anyone sees of the column in a store."""

    def __init__(self, store: ColumnStore) -> None:
        self.store = store
        self._path = store.file(KEY).path

    @property
    def fs(self) -> Any:
        """The store's file system."""
        return self._path.fs

    @property
    def file(self) -> bytes | None:
        """The column's file, if there is one."""
        self._path.fs.invalidate_cache()
        return self._path.read_bytes() if self._path.exists() else None

    @property
    def column(self) -> pa.Table:
        """The column as plain pyarrow reads it."""
        with self._path.open("rb") as source:
            return pq.read_table(source)

    @property
    def answered(self) -> set[str]:
        """What the cells in the column's file were asked."""
        return set() if self.file is None else {asked_of(cell) for cell in self.column["c"].to_pylist()}

    @property
    def segments(self) -> list[str]:
        """The names of the journal's segments."""
        return Segments(journal_folder(self.store.file(KEY))).names()

    @property
    def journaled(self) -> set[str]:
        """What the cells in the journal were asked."""
        return {asked for name in self.segments for asked in self.in_segment(name)}

    def in_segment(self, name: str) -> set[str]:
        """What the cells in a segment were asked."""
        segments = Segments(journal_folder(self.store.file(KEY)))
        try:
            segments.fetch([name])
            return {asked_of(cell) for cell in segments.read(name)["value"].to_pylist()}
        finally:
            segments.close()

    @property
    def names(self) -> list[str]:
        """All files of the column, but for those of writes that were broken off."""
        base = self._path.parents[2]
        base.fs.invalidate_cache()
        found = [str(path).removeprefix(f"{base.path.rstrip('/')}/") for path in base.fs.find(base.path)]
        return sorted(name for name in found if "/c/" in name and not name.endswith(".tmp"))

    def is_whole(self) -> bool:
        """Whether the column is there with where each of its cells comes from, and nothing is left besides."""
        digests = self.store.provenance_of(KEY)["digest"].to_pylist()
        return (
            self.names == [".pxt_assets/tickets/c/c.provenance", "tickets/c/c.parquet"]
            and len(digests) == len(set(digests))
            and set(digests) == set(self.column["_digest"].to_pylist())
        )


def asked_of(cell: str) -> str:
    """What a cell was asked, as its answer repeats it."""
    return str(json.loads(cell)["choices"][0]["message"]["content"]).removeprefix("re: ")
