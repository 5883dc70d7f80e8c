"""A partition's whole life against a model of it: edits, new expressions, failures, kills and resumes in any order."""

import itertools
import random
import tempfile
import uuid
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from upath import UPath

from pxt_assets.compute.cells.journal import FLUSH_SECONDS
from pxt_assets.compute.partition.column import CellsFailedError, Outcome
from pxt_assets.storage.layout import lock_path, sidecar_of, stored_file
from pxt_assets.storage.parquet import ParquetFile
from tests.earlier_layout import earlier, journal_files, put_back
from tests.model_partition import Cell, Expression, How, OnError, Partition, Row
from tests.model_run import column_of, computed, content_of, table_of
from tests.model_world import Api, Disk, InlineThreads, Killed, Replay, WallClock, journaled, unclaimed

PARTITIONS = ("2026-01-01", "2026-01-02")
HOUR_NS = 3_600 * 10**9

texts = st.sampled_from([*"abcdefghijkl", "", None, "refused", "refused once", "lost once", "faulty once"])
tables = st.lists(texts, min_size=2, max_size=8)
partitions = st.sampled_from([PARTITIONS[0]] * 3 + [PARTITIONS[1]])
expressions = st.sampled_from(
    [
        Expression("chat", "m", "Sort."),
        Expression("chat", "m", "Sum up."),
        Expression("chat", "n", "Sort."),
        Expression("embeddings", "e"),
    ]
)
places = st.integers(0, 30)
Kill = tuple[str, int] | None
on_errors = st.sampled_from(["ignore", "abort"])
kills = st.one_of(
    st.none(),
    st.tuples(st.just("answer"), st.integers(1, 6)),
    st.tuples(st.just("write"), st.integers(1, 10)),
    st.tuples(st.just("commit"), st.integers(1, 8)),
)
"""Before the n-th answer, or at the n-th step of what is written and removed, from the beginning or in the commit."""


class Lives(RuleBasedStateMachine):
    """The life of two partitions of one column."""

    def __init__(self) -> None:
        super().__init__()
        self._patched = pytest.MonkeyPatch()
        self._folder = tempfile.TemporaryDirectory()
        self.disk = Disk()
        self.api = Api(self.disk)
        self.clock = WallClock()
        self.hosts = itertools.cycle([0, -HOUR_NS, HOUR_NS])
        """How far the clocks of the hosts are behind on which run after run is made."""
        self.partitions = {name: Partition() for name in PARTITIONS}
        self.expression = Expression("chat", "m", "Sort.")
        self.versions: dict[tuple[Any, ...], str] = {}
        self.base = UPath(self._folder.name)
        self.ids = 0
        self.seen: dict[str, tuple[bytes | None, list[Row] | None]] = {}
        self._patched.setattr("pxt_assets.local.threads.DaemonThreadPool", InlineThreads)
        self._patched.setattr("pxt_assets.compute.storing.interruptible.DaemonThreadPool", InlineThreads)
        self._patched.setattr("pxt_assets.storage.atomic_file._sync", bool)  # no power fails here
        self._patched.setattr("pxt_assets.compute.cells.merging._PARTS", 2)
        self.disk.patch(self._patched)

    def teardown(self) -> None:
        self._patched.undo()
        if self.base.protocol == "memory" and self.base.exists():
            self.base.fs.rm(self.base.path, recursive=True)
        self._folder.cleanup()

    @initialize(store=st.sampled_from(["disk", "disk", "object store"]))
    def choose_store(self, store: str) -> None:
        if store == "object store":
            self.base = UPath(f"memory://{uuid.uuid4().hex}")
            self._patched.setattr("pxt_assets.compute.compute_partition.hold_claim", unclaimed)

    @initialize(expression=expressions, first=tables, second=tables)
    def begin(self, expression: Expression, first: list[str | None], second: list[str | None]) -> None:
        """A column, and the rows that are there when it is declared."""
        self.expression = expression
        for where, rows in zip(PARTITIONS, (first, second), strict=True):
            for text in rows:
                self.add(where, 30, text)

    @rule(where=partitions, place=places, text=texts)
    def add(self, where: str, place: int, text: str | None) -> None:
        """A row appears upstream, anywhere."""
        self.ids += 1
        self.partitions[where].upstream.insert(place, (self.ids, text))

    @rule(where=partitions, place=places)
    def remove(self, where: str, place: int) -> None:
        """A row disappears upstream."""
        rows = self.partitions[where].upstream
        if rows:
            del rows[place % len(rows)]

    @rule(where=partitions, place=places, text=texts)
    def change(self, where: str, place: int, text: str | None) -> None:
        """A row says something else, or nothing, or what another one says."""
        rows = self.partitions[where].upstream
        if rows:
            rows[place % len(rows)] = (rows[place % len(rows)][0], text)

    @rule(where=partitions, place=places)
    def rename(self, where: str, place: int) -> None:
        """A row has another key."""
        rows = self.partitions[where].upstream
        if rows:
            self.ids += 1
            rows[place % len(rows)] = (self.ids, rows[place % len(rows)][1])

    @rule(where=partitions)
    def give_refused_rows_up(self, where: str) -> None:
        """Rows that are errors become null."""
        part = self.partitions[where]
        self._run(where, How())
        part.upstream = [(key, None if text == "refused" else text) for key, text in part.upstream]
        self._run(where, How())

    @rule(where=partitions, seed=st.integers(0, 99))
    def reorder(self, where: str, seed: int) -> None:
        """The rows come in another order."""
        random.Random(seed).shuffle(self.partitions[where].upstream)

    @rule(expression=expressions)
    def express(self, expression: Expression) -> None:
        """The column's prompt, model or function is another one, or an earlier one again."""
        self.expression = expression

    @rule(where=partitions)
    def cut_short(self, where: str) -> None:
        """A host crashes before its disk has written all of the latest segment."""
        part = self.partitions[where]
        segments = [path for path in journal_files(self._file(where)) if path.name.endswith(".arrow")]
        if segments and not part.more_in_sidecar:  # whose cells may be told of nowhere else
            whole = segments[-1].read_bytes()
            segments[-1].write_bytes(whole[: len(whole) // 2])
            del part.journal[len(self._journaled(where)) :]

    @rule(where=partitions)
    def have_an_earlier_version(self, where: str) -> None:
        """What belongs to the column is where an earlier version had it."""
        put_back(self._file(where))

    @rule(where=partitions, on_error=on_errors, retry_errors=st.booleans(), kill=kills)
    def materialize(self, where: str, on_error: OnError, retry_errors: bool, kill: Kill) -> None:
        """A run that stores errors beside the results, or that a failed row ends."""
        self._run(where, How(on_error, retry_errors=retry_errors), kill)

    @rule(where=partitions, on_error=on_errors, retry_errors=st.booleans(), kill=kills, again=st.booleans())
    def refresh(self, where: str, on_error: OnError, retry_errors: bool, kill: Kill, again: bool) -> None:
        """A run that asks for everything again; the API would say something else by now."""
        self.api.generation += 1
        how = How(on_error, refresh=True, retry_errors=retry_errors)
        if self._run(where, how, kill) and again:
            self._run(where, how)

    @rule(where=partitions, limit=st.integers(1, 4), refresh=st.booleans(), kill=kills)
    def trial(self, where: str, limit: int, refresh: bool, kill: Kill) -> None:
        """A run of the first rows."""
        self.api.generation += refresh
        self._run(where, How(limit=limit, refresh=refresh), kill)

    @rule(where=partitions, place=places, text=texts, step=st.integers(1, 6))
    def take_an_edit_back(self, where: str, place: int, text: str | None, step: int) -> None:
        """An edit whose run is killed in its commit, and is taken back."""
        before = list(self.partitions[where].upstream)
        self.change(where, place, text)
        self._run(where, How(), ("commit", step))
        self.partitions[where].upstream = before
        self._run(where, How())

    @rule(where=partitions, on_error=on_errors)
    def just_materialize(self, where: str, on_error: OnError) -> None:
        """A run that nothing disturbs."""
        self._run(where, How(on_error))

    @invariant()
    def the_stored_columns_are_what_the_model_says(self) -> None:
        """Whatever happened."""
        for where, part in self.partitions.items():
            file = self._file(where)
            content = content_of(file)
            if self.seen.get(where, (None, None)) != (content, part.stored):
                self.seen[where] = (content, part.stored)
                assert (content is None) == (part.stored is None)
                assert self._read(where) == [row.stored for row in part.stored or []]

    def _file(self, where: str) -> ParquetFile:
        return stored_file(self.base, ("tickets", "c"), where)

    def _journaled(self, where: str) -> list[Cell]:
        return journaled(journal_files(self._file(where)), self.api)

    def _read(self, where: str) -> list[tuple[Any, ...]]:
        """The stored rows, each as `Row.stored`."""
        if not self._file(where).exists():
            return []
        table = table_of(self._file(where)).select(["id", "c", "c_errortype", "c_errormsg"])
        found: list[tuple[Any, ...]] = []
        for row_id, value, errortype, errormsg in zip(*(c.to_pylist() for c in table.columns), strict=True):
            if value is None and errortype in (None, "ValueError"):
                found.append((row_id, None, None, errortype))
            else:
                found.append((row_id, *self.api.decoded(value, errortype, errormsg), errortype))
        return found

    def _run(self, where: str, how: How, kill: Kill = None) -> bool:
        """One run, and all that must be true of it; says whether it was killed."""
        part, file = self.partitions[where], self._file(where)
        rows = [self.expression.row(*row) for row in part.upstream[: how.limit]]
        needed = {row.question for row in rows if row.question} - part.begin(how)
        before = content_of(file)
        when, nth = kill or ("never", None)
        self.api.begin(nth if when == "answer" else None)
        self.disk.begin(nth if when != "answer" else None, in_commit=when == "commit")
        self.clock.back = next(self.hosts)
        outcome = failure = None
        column = column_of(self.expression, part.upstream, file, how)
        try:
            outcome = computed(column, self.api, self.clock)
        except Killed:
            assert self.disk.dead
        except CellsFailedError as e:
            failure = e
        killed = self.disk.revive()

        own = self.api.finished
        assert set(self.api.sent) <= needed, "what is finished is not asked again"
        earlier = [cell for cell, _ in part.journal]
        part.add(own)
        assert killed or len(self.api.events) == self.api.requests, "what is sent is waited for"
        if killed:
            self._check_kill(where, rows, earlier, how)
        elif failure is not None:
            assert how.on_error == "abort"
            assert any(row.refused for row in rows) or any(cell.result.errortype for cell in own)
            assert Counter(self._journaled(where)) == Counter([*earlier, *own]), (
                "all that was answered is kept"
            )
        else:
            assert outcome is not None
            assert {cell.question for cell in own} == needed, "all that is missing is asked"
            assert outcome.meter.requests == self.api.requests
            rows = part.results(rows, own, how)
            assert how.on_error == "ignore" or not any(row.errortype for row in rows)
            self._check_outcome(outcome, rows, own)
            if how.limit is None:
                part.commit(rows)
                self._check_commit(where, outcome)
            else:
                part.refreshing = False
        if how.limit is not None or failure is not None:
            assert content_of(file) == before, "the stored column is as it was"
        return killed

    def _check_kill(self, where: str, rows: list[Row], earlier: list[Cell], how: How) -> None:
        """The column is as it was or complete, and the journal has what it had or got more than FLUSH_SECONDS ago."""
        part, file = self.partitions[where], self._file(where)
        left = self._journaled(where)
        own = self.api.finished
        assert set(left) <= {*earlier, *own}
        if file.path.name in self.disk.replaced:
            part.stored = part.results(rows, own, how)
        else:
            long_ago = self.disk.died_at - FLUSH_SECONDS
            events = [event for event in self.api.events if event.is_final and event.at < long_ago]
            durable = [cell for event in events for cell in event.cells]
            assert {*earlier, *durable} <= set(left)
        part.more_in_sidecar |= sidecar_of(file).path.name in self.disk.replaced
        part.later_refusals |= part.more_in_sidecar
        part.found(left, refreshing=any(path.name.endswith(".refresh") for path in journal_files(file)))
        if self.base.protocol != "memory":
            lock_path(file).touch()  # as a process leaves it that is killed

    def _check_commit(self, where: str, outcome: Outcome) -> None:
        part, rows = self.partitions[where], self.partitions[where].stored or []
        part.more_in_sidecar &= not self.disk.replaced
        assert all(path.suffix == ".tmp" for path in journal_files(self._file(where))), (
            "the journal is removed"
        )
        assert not sidecar_of(earlier(self._file(where))).exists(), "the sidecar is moved"
        self._check_version(outcome.data_version, rows)
        self._check_sidecar(where, rows)
        self._check_from_scratch(where, rows, outcome.data_version)

    def _check_outcome(self, outcome: Outcome, rows: list[Row], own: list[Cell]) -> None:
        """The figures that the run shows are those of its rows."""
        answered = {cell.question for cell in own if not cell.result.errortype}
        errors = sum(row.errortype is not None for row in rows)
        nulls = sum(row.text is None for row in rows)
        computed = sum(row.question in answered for row in rows)
        assert (outcome.rows, outcome.failed, outcome.computed) == (len(rows), errors, computed)
        assert outcome.nulls == nulls
        assert outcome.reused == len(rows) - nulls - errors - computed

    def _check_version(self, data_version: str, rows: list[Row]) -> None:
        """Two contents have one data version if, and only if, they are equal; no vector is not no text."""
        contents = tuple((self.expression.function, *row.content) for row in rows)
        assert self.versions.setdefault(contents, data_version) == data_version
        assert len(set(self.versions.values())) == len(self.versions)

    def _check_sidecar(self, where: str, rows: list[Row]) -> None:
        """The sidecar tells of each distinct cell once which request it comes from.

        After a kill it may tell of more cells, and of a later refusal than the one that is stored, even when it is written anew.
        """
        digests = table_of(self._file(where))["_digest"].to_pylist()
        sidecar = table_of(sidecar_of(self._file(where)))
        named = dict(zip(sidecar["digest"].to_pylist(), sidecar["request_id"].to_pylist(), strict=True))
        assert len(named) == sidecar.num_rows
        told = {digest: row.result for digest, row in zip(digests, rows, strict=True) if row.result}
        if self.partitions[where].more_in_sidecar:
            assert named.keys() >= told.keys()
            named = {digest: named[digest] for digest in told}
        if self.partitions[where].later_refusals:
            assert named.keys() == told.keys()
            told = {digest: result for digest, result in told.items() if result.errortype is None}
            named = {digest: named[digest] for digest in told}
        assert named == {digest: result.request_id for digest, result in told.items()}

    def _check_from_scratch(self, where: str, rows: list[Row], data_version: str) -> None:
        """The file equals what one undisturbed run over the same answers stores."""
        results = {row.question: row.result for row in rows if row.question and row.result}
        file = ParquetFile(UPath(self._folder.name) / uuid.uuid4().hex / "c.parquet")
        column = column_of(self.expression, self.partitions[where].upstream, file, How())
        outcome = computed(column, Replay(self.api, results), self.clock)
        assert table_of(file) == table_of(self._file(where))
        assert outcome.data_version == data_version


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=10,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
