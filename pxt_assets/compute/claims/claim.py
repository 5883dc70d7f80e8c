"""Claims: only one attempt at a time computes a partition of a column, so that no two pay for the same cells.

On a local disk a claim is a lock of the operating system. On an object store, and where the system has no such locks,
it is a small object that its owner writes anew every few seconds, as a heartbeat. A claim that stops changing is a dead
owner's.

An owner may stop writing without being dead: suspended with its machine, moved to another, cut off from the store.
Whoever takes the partition over removes its claim. So an owner looks for its claim before each beat and before it
commits; once the claim is gone, it stops and leaves its journal to the other. An owner suspended between the look and
the write may still write a claim again that was removed. Then there are two claims. The new owner knows which claims it
removed, and the old one sees that the other claim is held, not only asked for: each knows who took over.

Earlier versions had their claims beside the column's file. A process of theirs that computes is respected; it sees
nothing of ours, so that one which begins later is not kept from computing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pxt_assets.compute.claims.lock import can_lock, hold_lock, remove_free_lock
from pxt_assets.compute.claims.owner import claimed_error, describe_owner, is_dead, owner_record, parse_owner
from pxt_assets.errors import PartitionError
from pxt_assets.local.threads import DaemonThreadPool
from pxt_assets.storage.atomic_file import is_local
from pxt_assets.storage.layout import earlier_layout, journal_folder, lock_path
from pxt_assets.storage.parquet import ParquetFile

if TYPE_CHECKING:
    from upath import UPath

BEAT_SECONDS = 5.0
"""How often an owner shows that it is alive."""
DEAD_SECONDS = 20.0
"""How long a claim may stay unchanged before its owner is taken for dead."""
_ATTEMPTS = 5
_GRACE_SECONDS = 2.0
"""How long the removal of a claim may take: a store that hangs does not hold the process."""
_SUFFIX = ".claim"
_log = logging.getLogger("pxt_assets.compute.claim")

Pause = Callable[[threading.Event, float], object]
"""Waits for so many seconds, or until the event is set."""


class LostClaimError(PartitionError):
    """Another attempt has taken the partition over, because this one seemed to be dead."""


class _GivenUpError(Exception):
    """The attempt that waited for the claim has ended."""


@contextlib.asynccontextmanager
async def hold_claim(
    column_file: ParquetFile,
    run_id: str | None = None,
    *,
    clock: Callable[[], float] = time.time,
    pause: Pause = threading.Event.wait,
) -> AsyncIterator[Callable[[], None]]:
    """Within the block, no other attempt computes this column and partition. Raises ClaimedError if one does.

    If another attempt takes over nevertheless, the block is cancelled and LostClaimError raised. The context value is a
    function that raises it too: call it right before the column's file is replaced. `clock` gives seconds, and goes on
    while the machine is suspended.
    """
    earlier = earlier_layout(column_file)
    if is_local(column_file.path) and can_lock():
        with hold_lock(Path(lock_path(column_file).path), run_id):
            if earlier is not None:
                remove_free_lock(Path(lock_path(earlier).path))
            yield _check_lock
        return
    folders = [journal_folder(file) for file in (column_file, earlier) if file is not None]
    claim = _Claim(folders, run_id, clock, pause)
    threads = DaemonThreadPool(1)  # of its own, so that neither a busy event loop nor an upload delays a beat
    try:
        await asyncio.wrap_future(threads.submit(claim.obtain))
        async with _cancellable_block() as cancel:
            threads.submit(claim.keep_beating, cancel)
            yield claim.check
    finally:
        claim.end.set()
        giving_up = threads.submit(claim.give_up)
        try:
            await asyncio.wait([asyncio.wrap_future(giving_up)], timeout=_GRACE_SECONDS)
        finally:
            threads.shutdown(wait=giving_up.done())


def _check_lock() -> None:
    """Does nothing: a lock cannot be taken over."""


@contextlib.asynccontextmanager
async def _cancellable_block() -> AsyncIterator[Callable[[LostClaimError], None]]:
    """Gives a function that another thread may call: it cancels the block, which then raises the error passed."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    inside, before = True, task.cancelling()
    reasons: list[LostClaimError] = []

    def cancel(reason: LostClaimError) -> None:
        if inside:
            reasons.append(reason)
            task.cancel()

    def call(reason: LostClaimError) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(cancel, reason)

    others = before
    try:
        try:
            yield call
        finally:
            inside = False
            others = task.uncancel() if reasons else before
    except asyncio.CancelledError:
        if reasons and others <= before:  # or an interrupt came as well
            raise reasons[0] from None
        raise


class _Claim:
    """A claim on an object store whose listings show all earlier writes.

    `folders` are where claims are: in the first one its own. Only `check` and `end` may be used by several threads.
    """

    def __init__(
        self, folders: Sequence[UPath], run_id: str | None, clock: Callable[[], float], pause: Pause
    ) -> None:
        self.end = threading.Event()
        """Set when the claim is no longer needed."""
        self._folder = folders[0]
        self._fs = self._folder.fs
        self._folders = list(folders)
        """Those in which others' claims may be."""
        self._own_name = f"{uuid.uuid4().hex}{_SUFFIX}"
        self._owner = owner_record(run_id)
        self._clock = clock
        self._pause = pause
        self._beats = 0
        self._last_beat = 0.0
        self._found: dict[str, UPath] = {}
        """The folders of the claims that were found, by name."""
        self._removed: dict[str, UPath] = {}

    def obtain(self) -> None:
        """Writes the claim. Raises ClaimedError if another claim's owner is alive."""
        for attempt in range(_ATTEMPTS):
            others = self._claims()
            if others:
                self._remove_dead(others)
            self._folder.mkdir(parents=True, exist_ok=True)
            self._beat(held=False)
            others = self._claims()
            others.pop(self._own_name, None)
            if not others:
                self._folders = [f for f in self._folders if f == self._folder or f in self._removed.values()]
                return
            # two at once: the one that tries again first gets it
            self._remove(self._own_name)
            self._wait(random.uniform(0.5, 1.5) * (attempt + 1))  # noqa: S311
        raise claimed_error(next(iter(others.values()), {}))

    def keep_beating(self, on_lost: Callable[[LostClaimError], None]) -> None:
        """Writes the claim every BEAT_SECONDS, until `end` is set or another owner has taken over."""
        while not self.end.is_set():
            try:
                self.check()
                self._beat(held=True)
            except LostClaimError as e:
                on_lost(e)
                return
            except Exception as e:  # whatever a store's client raises; the next beat is soon
                _log.warning(
                    "Could not show in %s that this run is alive (%s: %s); after %g s others take it for dead.",
                    self._folder,
                    type(e).__name__,
                    e,
                    DEAD_SECONDS,
                )
            self._pause(self.end, BEAT_SECONDS)

    def check(self) -> None:
        """Raises LostClaimError if another owner has taken over."""
        claims = self._claims()
        mine = claims.pop(self._own_name, None)
        holders = {name: owner for name, owner in claims.items() if owner.get("held")}
        for name in holders.keys() & self._removed.keys():
            del holders[name]
            self._remove(name)  # its owner was suspended while it wrote it, and will notice
        if mine is None or holders:
            raise self._lost_claim_error(next(iter(holders.values()), {}))

    def give_up(self) -> None:
        """Removes the claim, and the folder if nothing else is in it."""
        try:
            self._remove(self._own_name)
        except Exception as e:  # what was computed is no worse for it
            _log.warning(
                "Could not remove the claim %s (%s: %s); the next run waits until it has stood still for %g s.",
                self._folder / self._own_name,
                type(e).__name__,
                e,
                DEAD_SECONDS,
            )
            return
        with contextlib.suppress(Exception):
            self._fs.rmdir(self._folder.path)

    def _claims(self) -> dict[str, Mapping[str, Any]]:
        """All claims on this column and partition by name, this one included."""
        claims = {}
        for folder in self._folders:
            self._fs.invalidate_cache(folder.path)
            with contextlib.suppress(FileNotFoundError):
                for path in self._fs.ls(folder.path, detail=False):
                    name = str(path).rpartition("/")[2]
                    if name.endswith(_SUFFIX):
                        with contextlib.suppress(FileNotFoundError):
                            claims[name] = parse_owner(self._fs.cat_file(path))
                            self._found[name] = folder
        return claims

    def _remove_dead(self, others: Mapping[str, Mapping[str, Any]]) -> None:
        """Removes the claims of dead owners. Raises ClaimedError as soon as one turns out to be alive."""
        unsure = {name: owner for name, owner in others.items() if not is_dead(owner)}
        waited = 0.0
        while unsure and waited < DEAD_SECONDS:
            self._wait(1.0)
            waited += 1.0
            now = self._claims()
            for name, owner in list(unsure.items()):
                if name not in now:
                    del unsure[name]
                elif now[name] != owner:
                    raise claimed_error(now[name] or owner)  # one was read while it was being written
        for name in others:
            self._removed[name] = self._found[name]
            self._remove(name)

    def _beat(self, *, held: bool) -> None:
        self._beats += 1
        record = json.dumps({**self._owner, "beat": self._beats, "held": held}).encode()
        self._fs.pipe_file((self._folder / self._own_name).path, record)
        self._last_beat = self._clock()

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file((self._found.get(name, self._folder) / name).path)

    def _wait(self, seconds: float) -> None:
        self._pause(self.end, seconds)
        if self.end.is_set():
            raise _GivenUpError

    def _lost_claim_error(self, owner: Mapping[str, Any]) -> LostClaimError:
        return LostClaimError(
            f"{describe_owner(owner)} has taken over this partition, since this process stood still, or did not reach the "
            f"store, for {self._clock() - self._last_beat:.0f} s; what is finished is kept. Wait for that run to end, then "
            "materialize again"
        )
