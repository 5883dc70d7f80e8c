"""Where what is known of a column's batches is kept: a few files a batch, each written in one step.

batches/<name>.json       the record
        <name>.digests    which requests are in it, written once, before the record
        <name>.answers    what was answered
        <name>.taken      for which requests that is stored in the column by now
        <name>.polled     what a server said of it last; whoever asked writes that, with no claim on the column
"""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pxt_assets.compute.cells.digest_index import digests_of
from pxt_assets.compute.cells.scratch_file import local_folder
from pxt_assets.compute.cells.segments import names_in
from pxt_assets.compute.deferred.record import BatchRecord, Poll, read_record, with_poll
from pxt_assets.errors import RunError
from pxt_assets.storage.atomic_file import is_local, remove, replace_atomically, temporary_folder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from upath import UPath

    Digests = npt.NDArray[np.bytes_]

_RECORD, _DIGESTS, _ANSWERS, _TAKEN, _POLLED = ".json", ".digests", ".answers", ".taken", ".polled"
_SUFFIXES = (_RECORD, _DIGESTS, _ANSWERS, _TAKEN, _POLLED)


class AskedDigests(NamedTuple):
    """The requests of a batch: digest, since when it is asked for, and how often it was tried before."""

    digests: Digests
    since: npt.NDArray[np.float64]
    tries: npt.NDArray[np.uint8]


class RecordFolder:
    """The folder of a column's batches, on a local disk or an object store. It need not exist."""

    def __init__(self, folder: UPath) -> None:
        self.path = folder
        self.scratch = local_folder(folder.parent)
        self._copies: Path | None = None

    def read(self) -> list[BatchRecord]:
        """All records, the oldest first. Raises RunError for one that cannot be read: it may stand for what is paid."""
        names = names_in(self.path)
        wanted = [name for name in names if name.endswith((_RECORD, _POLLED)) and not name.startswith(".")]
        found = self._contents(wanted)
        polls = {_batch_of(name): text for name, text in found.items() if name.endswith(_POLLED)}
        records = []
        for name, text in found.items():
            if not name.endswith(_RECORD):
                continue
            try:
                record = read_record(text)
            except ValueError as e:
                msg = (
                    f"the record of a batch at {self.path / name} cannot be read ({e}); move it elsewhere to have its "
                    "requests submitted again: what the batch has answered is lost then"
                )
                raise RunError(msg) from e
            records.append(with_poll(record, _read_poll(polls.get(record.name))))
        return sorted(records, key=lambda record: (record.created_at, record.name))

    def _contents(self, names: Sequence[str]) -> dict[str, bytes]:
        """The files' contents, all at once; those that are gone by now are left out. Raises what the store raises."""
        paths = {str((self.path / name).path): name for name in names}
        if not paths:
            return {}
        if is_local(self.path):
            found = {}
            for path, name in paths.items():
                with contextlib.suppress(FileNotFoundError):
                    found[name] = Path(path).read_bytes()
            return found
        read = self.path.fs.cat(list(paths), on_error="return")
        contents = {}
        for path, text in read.items():
            if isinstance(text, FileNotFoundError):
                continue
            if isinstance(text, Exception):
                raise text
            contents[str(path).rpartition("/")[2]] = text
        return contents

    def write(self, record: BatchRecord) -> None:
        """Writes a record anew."""
        self._write(f"{record.name}{_RECORD}", record.as_json())

    def write_poll(self, record: BatchRecord) -> None:
        """Writes what was last heard of a batch."""
        self._write(f"{record.name}{_POLLED}", json.dumps(asdict(record.poll)).encode())

    def _write(self, name: str, text: bytes) -> None:
        try:
            with replace_atomically(self.path / name) as staged:
                staged.write_bytes(text)
        except OSError as e:
            msg = (
                f"cannot write {self.path / name}, where a column's batches are on record ({type(e).__name__}: {e}); make "
                "room there, let this process write, and materialize again: nothing is submitted that is not on record"
            )
            raise RunError(msg) from e

    def write_digests(self, name: str, asked: AskedDigests) -> None:
        """Writes which requests are in a batch."""
        import pyarrow as pa

        table = pa.table(
            {
                "digest": pa.FixedSizeBinaryArray.from_buffers(
                    pa.binary(16), len(asked.digests), [None, pa.py_buffer(asked.digests.tobytes())]
                ),
                "since": asked.since,
                "tries": asked.tries,
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        self._write(f"{name}{_DIGESTS}", sink.getvalue().to_pybytes())

    def read_digests(self, name: str) -> AskedDigests:
        """The requests of a batch, in the order of its lines."""
        import numpy as np
        import pyarrow as pa

        text = self.path.fs.cat_file((self.path / f"{name}{_DIGESTS}").path)
        table = pa.ipc.open_file(pa.BufferReader(text)).read_all()
        return AskedDigests(
            digests_of(table["digest"]),
            np.asarray(table["since"], np.float64),
            np.asarray(table["tries"], np.uint8),
        )

    def new_answers(self) -> Path:
        """A local path for a file of answers that is being written; `put_answers` puts it in its place."""
        name = f".answers.{uuid.uuid4().hex}.tmp"
        if not is_local(self.path):
            return self._folder_of_copies() / name
        folder = Path(self.path.path)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def put_answers(self, written: Path, name: str) -> str:
        """Puts a file of answers in its place, durably; returns its name there."""
        kept = f"{name}{_ANSWERS}"
        copy = None if is_local(self.path) else self._folder_of_copies() / kept
        with replace_atomically(self.path / kept, keep=copy) as staged:
            shutil.move(written, staged)
        return kept

    def local_answers(self, kept: str) -> Path:
        """The local path of a file of answers, which is copied here from an object store. Raises FileNotFoundError."""
        if is_local(self.path):
            return Path((self.path / kept).path)
        copy = self._folder_of_copies() / kept
        if not copy.exists():
            self.path.fs.get_file((self.path / kept).path, str(copy))
        return copy

    def write_taken(self, name: str, digests: Digests) -> None:
        """Notes for which requests, all in all, the answers are stored in the column."""
        self._write(f"{name}{_TAKEN}", digests.tobytes())

    def read_taken(self, name: str) -> Digests:
        """The requests whose answers are stored in the column, `S16[n]`."""
        import numpy as np

        found = self._contents([f"{name}{_TAKEN}"])
        return np.frombuffer(b"".join(found.values()), "S16")

    def remove(self, name: str) -> None:
        """Removes all of a batch, its record first: without it nothing stands for anything."""
        for suffix in _SUFFIXES:
            remove(self.path / f"{name}{suffix}")

    def remove_rest(self) -> None:
        """Removes the files of batches that have no record. Only who has the claim may: a new batch has none at first."""
        names = names_in(self.path)
        recorded = {_batch_of(name) for name in names if name.endswith(_RECORD)}
        for name in names:
            is_known = name.endswith(_SUFFIXES) and not name.startswith(".")
            if is_known and _batch_of(name) not in recorded:
                remove(self.path / name)

    def close(self) -> None:
        """Removes the local copies."""
        if self._copies is not None:
            shutil.rmtree(self._copies, ignore_errors=True)
            self._copies = None

    def _folder_of_copies(self) -> Path:
        if self._copies is None:
            self._copies = temporary_folder("pxt-batches-")
            weakref.finalize(self, shutil.rmtree, self._copies, ignore_errors=True)
        return self._copies


def _batch_of(name: str) -> str:
    """The batch that a file belongs to: names have no dots."""
    return name.partition(".")[0]


def _read_poll(text: bytes | None) -> Poll:
    """What was last heard; nothing where that cannot be read, as it is asked for again."""
    try:
        return Poll() if text is None else Poll(**json.loads(text))
    except (TypeError, ValueError):
        return Poll()
