"""The text of a file: checks its encoding, and finds the first byte that cannot be decoded."""

from __future__ import annotations

import codecs
import encodings.aliases
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, cast

from pxt_assets.errors import DefinitionError, SourceError, did_you_mean
from pxt_assets.files.pattern import SPREADSHEET_REMEDY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pxt_assets.files.location import File

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark its own begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OTHER_CONTENTS = {
    b"PK\x03\x04": f"is a zip archive by its content, as an Excel workbook is one; if it is one, {SPREADSHEET_REMEDY}",
    b"\xd0\xcf\x11\xe0": f"is an old Excel workbook by its content; {SPREADSHEET_REMEDY}",
    b"\x1f\x8b": "is gzipped by its content; let its name end in .gz",
}
"""What files of text turn out to be, by their first bytes."""
_BUFFER_BYTES = 1 << 20


def codec_name(encoding: str) -> str:
    """The name of an encoding's codec; `utf-8` for any spelling of it, with a byte order mark or without.

    Raises DefinitionError for an encoding that Python does not have.
    """
    try:
        "".encode(encoding)  # refuses codecs that are not for text, such as base64
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError, TypeError):
        msg = (
            f"got encoding={encoding!r}; allowed is any text encoding of Python, such as 'utf-8', "
            f"'utf-16' or 'cp1252'{did_you_mean(str(encoding), encodings.aliases.aliases.values(), cutoff=0.7)}"
        )
        raise DefinitionError(msg) from None
    return "utf-8" if name == "utf-8-sig" else name


@contextmanager
def open_text(file: File, encoding: str, newline: str) -> Iterator[TextIO]:
    """The file's text without its byte order mark; `newline` as for `open`, `encoding` as `codec` names it.

    Raises SourceError if the file's byte order mark is that of another encoding, and for bytes that
    the encoding does not have, with the line of the first of them.
    """
    with file.errors_as_source_error(), file.open() as raw:
        buffered = io.BufferedReader(cast("io.RawIOBase", raw), _BUFFER_BYTES)
        head = buffered.peek(4)
        if what := next((w for magic, w in _OTHER_CONTENTS.items() if head.startswith(magic)), ""):
            msg = f"{file.name}: {what}"
            raise SourceError(msg)
        mark = next((m for m in _BYTE_ORDER_MARKS if head.startswith(m)), b"")
        if mark and not encoding.startswith(_BYTE_ORDER_MARKS[mark]):
            actual = _BYTE_ORDER_MARKS[mark]
            msg = (
                f"{file.name}: begins with the byte order mark of {actual.upper()}, but was to be read "
                f"as {encoding}; write encoding={actual!r}"
            )
            raise SourceError(msg)
        if encoding not in {"utf-16", "utf-32"}:  # those two need it, and drop it themselves
            buffered.read(len(mark))
        text = io.TextIOWrapper(buffered, encoding, newline=newline)
        try:
            yield text
        except UnicodeDecodeError:
            raise decoding_error(file, encoding) from None
        finally:
            text.close()


def decoding_error(file: File, encoding: str) -> SourceError:
    """The error that names the line of the first byte that the encoding lacks; reads the file again."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    line = 1
    where, what = "", "some bytes"
    with file.errors_as_source_error(), file.open() as raw:
        try:
            while chunk := raw.read(_BUFFER_BYTES):
                line += decoder.decode(chunk).count("\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as e:
            before = e.object[: e.start].decode(encoding, "replace")
            line += before.replace("\r\n", "\n").replace("\r", "\n").count("\n")
            where, what = f", line {line}", f"the byte 0x{e.object[e.start]:02x}"
    other = "'cp1252' (Windows, Western European)" if encoding == "utf-8" else "'utf-8'"
    return SourceError(
        f"{file.name}{where}: {what} cannot be read as {encoding}; write encoding={other} or the right one"
    )
