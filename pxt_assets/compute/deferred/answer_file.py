"""Files of kept answers: written as a batch's lines come, and read by the answer, at its place in the file.

They are Arrow files without compression, so that where an answer's bytes lie is known without reading them.
"""

from __future__ import annotations

import os
import struct
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

from pxt_assets.api.batches import LineAnswer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Places = npt.NDArray[np.void]

_TEXTS = ("request_id", "error_code", "error_message", "body")
"""Columns of bytes; empty where there is none."""
_NO_STATUS = -1
_HAS_PREAD = hasattr(os, "pread")
_ROWS_A_GROUP = 8_192
_BYTES_A_GROUP = 4 * 2**20
_OPEN_FILES = 64
PLACE_DTYPE = "u4,i2,(4,)u8,(4,)u4"
"""Of an answer: its file, its status, and for each of `_TEXTS` where it begins and how long it is."""
_PLACE = struct.Struct("<Ih4Q4I")


class AnswerWriter:
    """Writes answers to a new local file."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self._schema = pa.schema(
            {"digest": pa.binary(16), "status": pa.int16(), **dict.fromkeys(_TEXTS, pa.large_binary())}
        )
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, self._schema)
        self._rows: list[tuple[Any, ...]] = []
        self._bytes = 0

    def add(self, digest: bytes, answer: LineAnswer) -> None:
        """Writes an answer."""
        status = _NO_STATUS if answer.status is None else answer.status
        texts = map(_encoded, (answer.request_id, answer.error_code, answer.error_message))
        self._rows.append((digest, status, *texts, answer.body))
        self._bytes += len(answer.body)
        if len(self._rows) >= _ROWS_A_GROUP or self._bytes >= _BYTES_A_GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(self._schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows, self._bytes = [], 0

    def close(self) -> None:
        """Writes the rest."""
        if self._rows:
            self._write()
        self._writer.close()
        self._sink.close()


def answer_places(path: Path, number: int) -> tuple[npt.NDArray[np.bytes_], Places]:
    """The digests `S16[n]` of a file of answers and where each answer lies; `number` is what the file is called there."""
    import numpy as np
    import pyarrow as pa

    from pxt_assets.compute.cells.digest_index import digests_of

    digests, places = [np.empty(0, "S16")], [np.empty(0, PLACE_DTYPE)]
    with pa.memory_map(str(path)) as source:
        start = source.read_buffer(source.size()).address
        reader = pa.ipc.open_file(source)
        for i in range(reader.num_record_batches):
            group = reader.get_batch(i)
            at = np.empty(group.num_rows, PLACE_DTYPE)
            at["f0"] = number
            at["f1"] = np.asarray(group["status"])
            for j, name in enumerate(_TEXTS):
                column = group[name]
                _, offsets, data = column.buffers()
                ends = np.frombuffer(offsets, np.int64, len(column) + 1, column.offset * 8)
                if ends[-1] > ends[0]:  # an empty buffer lies anywhere
                    at["f2"][:, j] = ends[:-1] + (data.address - start)
                else:
                    at["f2"][:, j] = 0
                at["f3"][:, j] = np.diff(ends)
            digests.append(digests_of(group["digest"]).copy())
            places.append(at)
    return np.concatenate(digests), np.concatenate(places)


def is_failure(places: Places) -> npt.NDArray[np.bool_]:
    """Which answers are errors."""
    failed: npt.NDArray[np.bool_] = (places["f1"] < 200) | (places["f1"] >= 300)
    return failed


class AnswerReader:
    """Reads answers at their places; `path_of` gives the path of a file by its number."""

    def __init__(self, path_of: Callable[[int], Path]) -> None:
        self._path_of = path_of
        self._open: OrderedDict[int, IO[bytes]] = OrderedDict()
        self._lock = Lock()
        weakref.finalize(self, _close_all, self._open)

    def read(self, digest: bytes, place: bytes) -> LineAnswer:
        """The answer at a place, which is as it lies in an array of PLACE_DTYPE."""
        number, status, at_id, at_code, at_message, at_body, id_size, code_size, message_size, size = (
            _PLACE.unpack(place)
        )
        with self._lock:
            file = self._file(number)
            body = _read(file, at_body, size)
            request_id = _read(file, at_id, id_size) if id_size else b""
            code = _read(file, at_code, code_size) if code_size else b""
            message = _read(file, at_message, message_size) if message_size else b""
        return LineAnswer(
            digest.hex(),
            None if status == _NO_STATUS else status,
            body,
            _decoded(request_id),
            _decoded(code),
            _decoded(message),
        )

    def _file(self, number: int) -> IO[bytes]:
        file = self._open.get(number)
        if file is not None:
            self._open.move_to_end(number)
            return file
        file = self._open[number] = open(self._path_of(number), "rb", buffering=0)  # noqa: SIM115, PTH123
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return file

    def close(self) -> None:
        """Closes the files."""
        with self._lock:
            _close_all(self._open)


def _close_all(files: OrderedDict[int, IO[bytes]]) -> None:
    while files:
        files.popitem()[1].close()


def _read(file: IO[bytes], begin: int, size: int) -> bytes:
    if _HAS_PREAD:
        data = os.pread(file.fileno(), size, begin)
    else:
        file.seek(begin)
        data = file.read(size)
    while len(data) < size:  # systems give at most 2 GiB at once
        file.seek(begin + len(data))
        more = file.read(size - len(data))
        if not more:
            msg = f"{file.name} ends at {begin + len(data)} of {begin + size} bytes"
            raise EOFError(msg)
        data += more
    return data


def _encoded(text: str | None) -> bytes:
    return b"" if text is None else text.encode(errors="surrogatepass")


def _decoded(text: bytes) -> str | None:
    return text.decode(errors="surrogatepass") if text else None
