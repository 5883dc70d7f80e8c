"""Files of the user's own for the demo: one, or those of a folder with a partition for each."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pxt_assets.errors import SourceError
from pxt_assets.files import check_text_options
from pxt_assets.files.found_columns import FoundColumns, found_columns
from pxt_assets.files.location import first_few
from pxt_assets.files.pattern import FORMAT_BY_SUFFIX, SPREADSHEET_REMEDY, SPREADSHEETS, table_suffix
from pxt_assets.values.wording import counted

_PARTITION = "{partition_key}"
_SUFFIXES = ", ".join(FORMAT_BY_SUFFIX)
_NOT_IN_PARTITION_KEYS = re.compile(r"\.\.\.|[\a\b\f\n\r\t\v\0]")
"""What Dagster does not allow in the key of a partition."""
_COLUMNS_SHOWN = 20
_UNREADABLE_SHOWN = 3
_ANY_BYTES = "latin-1"
"""An encoding that has every byte: with it the names of a header are found, if not all their letters."""
COMPUTED = ("response", "summary", "embed", "moderation", "flagged", "triage", "urgent", "topic")
"""The columns that the demo adds to a table of texts."""
_VARIABLES = {"separator": "PXT_DEMO_SEPARATOR", "encoding": "PXT_DEMO_ENCODING"}


@dataclass(frozen=True)
class UserFiles:
    """Files of the user's own, and how they are read."""

    pattern: str
    partitions: tuple[str, ...] = ()
    """The partitions that there are, as far as somebody looked; none for a file alone."""
    key: str = "id"
    text: str = "body"
    separator: str | None = None
    encoding: str = "utf-8"

    @property
    def is_partitioned(self) -> bool:
        """Whether each file is a partition."""
        return _PARTITION in self.pattern

    @classmethod
    def of_environment(cls, variables: Mapping[str, str]) -> UserFiles | None:
        """The files that environment variables name, None without any."""
        pattern = variables.get("PXT_DEMO_FILES")
        if not pattern:
            return None
        options = {field: variables[name] for field, name in _VARIABLES.items() if variables.get(name)}
        key, text = variables.get("PXT_DEMO_KEY", "id"), variables.get("PXT_DEMO_TEXT", "body")
        return cls(pattern, (), key, text, **options)

    def environment(self) -> dict[str, str]:
        """The variables of which `of_environment` makes the same, but for the partitions."""
        named = {"PXT_DEMO_FILES": self.pattern, "PXT_DEMO_KEY": self.key, "PXT_DEMO_TEXT": self.text}
        if self.separator is not None:
            named["PXT_DEMO_SEPARATOR"] = "tab" if self.separator == "\t" else self.separator
        if self.encoding != "utf-8":
            named["PXT_DEMO_ENCODING"] = self.encoding
        return named


def find_user_files(
    data: Path, *, key: str, text: str, separator: str | None, encoding: str
) -> tuple[UserFiles, str]:
    """The files at `data`, a file or a folder, whose columns `key` and `text` were looked for; and what was found.

    Raises SourceError with a line for each mistake unless they are files of one readable format that have these columns,
    DefinitionError for an encoding or a separator that is none.
    """
    wanted = {"--key": key, "--text": text}
    for option, name in wanted.items():
        if name in COMPUTED:
            msg = (
                f"got {option} {name}, but the demo adds columns of its own called {', '.join(COMPUTED)}; rename the file's "
                "column"
            )
            raise SourceError(msg)
    folder = data.is_dir()
    mistakes: list[str] = []
    paths = _files_in(data, mistakes) if folder else [_file_at(data)]
    suffixes = {path: path.name[-len(table_suffix(path.name)) :] for path in paths}
    pattern = glob.escape(str(paths[0]))
    partitions: tuple[str, ...] = ()
    if folder:
        partitions = _partitions(data, suffixes)
        pattern = f"{glob.escape(str(paths[0].parent))}/{_PARTITION}{_either_case(set(suffixes.values()))}"
    if "{" in str(paths[0] if not folder else paths[0].parent):
        msg = f"{paths[0]}: has braces in its path, in which a pattern's placeholders stand; rename it"
        raise SourceError(msg)
    check_text_options(pattern, encoding, separator)
    columns, unreadable = _columns_of(paths, encoding, separator, (key, text))
    mistakes += [*unreadable[:_UNREADABLE_SHOWN], *_missing_columns(columns, wanted)]
    if more := len(unreadable[_UNREADABLE_SHOWN:]):
        mistakes.append(f"{counted(more, 'more file')} of {data} cannot be read either")
    if mistakes:
        raise SourceError("\n       ".join(mistakes))
    files = UserFiles(pattern, partitions, key, text, separator, encoding)
    return files, _found_line(data, columns)


def in_options(message: str) -> str:
    """A message in which arguments of Python are written as options of the command."""
    message = re.sub(r"\bencoding='([^']*)'", r"--encoding \1", message)
    message = re.sub(r"\bseparator='(?:\\t|\t)'", "--separator tab", message)
    return re.sub(r"\bseparator=", "--separator ", message)


def _file_at(path: Path) -> Path:
    """The file at that path, which a table can be read from."""
    if not path.exists():
        near = {p.name.casefold(): p.name for p in path.parent.iterdir()} if path.parent.is_dir() else {}
        like = difflib.get_close_matches(path.name.casefold(), near, n=1)
        meant = f"; did you mean {near[like[0]]!r}?" if like else ""
        msg = f"{path} is no file and no folder{meant}"
        raise SourceError(msg)
    if _is_spreadsheet(path):
        msg = f"{path}: spreadsheets are not read; {SPREADSHEET_REMEDY}"
        raise SourceError(msg)
    if not table_suffix(path.name):
        msg = f"{path}: its suffix names no known format; give a file of rows ({_SUFFIXES}; the first four also as .gz, ...)"
        raise SourceError(msg)
    return path.parent.resolve() / path.name


def _files_in(folder: Path, mistakes: list[str]) -> list[Path]:
    """The files of a folder that a table can be read from, of one format. Spreadsheets beside them are `mistakes`."""
    seen = sorted(p for p in folder.iterdir() if not p.name.startswith((".", "~$")) and not p.is_dir())
    found = {path: table_suffix(path.name) for path in seen if table_suffix(path.name)}
    if sheets := [path.name for path in seen if _is_spreadsheet(path)]:
        save = SPREADSHEET_REMEDY
        if found:
            save = f"move {first_few(sheets)} out of the folder, or save each sheet as CSV in its place (in Excel: Save As, CSV UTF-8)"
        more = f" (and {len(sheets) - 1} more)" if len(sheets) > 1 else ""
        mistakes.append(f"{folder / sheets[0]}{more}: spreadsheets are not read; {save}")
    if sheets and not found:
        raise SourceError(mistakes[0])
    if not found:
        others = f"; it holds {', '.join(p.name for p in seen[:5])}" if seen else ""
        msg = f"{folder} holds no files of rows ({_SUFFIXES}; the first four also as .gz, ...){others}"
        raise SourceError(msg)
    one_of_each = {suffix: path.name for path, suffix in found.items()}
    if len(one_of_each) > 1:
        mistakes.append(
            f"{folder} holds files of several formats: {', '.join(sorted(one_of_each.values()))}; keep files of one format "
            "in it, or give one file alone"
        )
        raise SourceError("\n       ".join(mistakes))
    return [folder.resolve() / path.name for path in found]


def _is_spreadsheet(path: Path) -> bool:
    return path.name.lower().endswith(SPREADSHEETS)


def _columns_of(
    paths: Sequence[Path], encoding: str, separator: str | None, wanted: Sequence[str]
) -> tuple[dict[Path, FoundColumns], list[str]]:
    """The columns of each file, and why files cannot be read; of some of those the columns are known nevertheless."""
    columns: dict[Path, FoundColumns] = {}
    unreadable: list[str] = []
    for path in paths:
        try:
            columns[path] = found_columns(str(path), encoding=encoding, separator=separator, wanted=wanted)
        except SourceError as e:
            unreadable.append(str(e))
            with suppress(SourceError):
                columns[path] = found_columns(
                    str(path), encoding=_ANY_BYTES, separator=separator, wanted=wanted
                )
    return columns, unreadable


def _partitions(folder: Path, suffixes: Mapping[Path, str]) -> tuple[str, ...]:
    """The files' names without their suffixes."""
    names: dict[str, str] = {}
    for path, suffix in suffixes.items():
        name = path.name.removesuffix(suffix)
        if name in names:
            msg = f"{folder} holds {names[name]} and {path.name}, which would be one partition; rename one of them"
            raise SourceError(msg)
        if _NOT_IN_PARTITION_KEYS.search(name):
            msg = f"{folder} holds {path.name!r}, whose name is no key of a partition; rename it, or give it alone"
            raise SourceError(msg)
        names[name] = path.name
    return tuple(names)


def _either_case(suffixes: set[str]) -> str:
    """The suffix of a pattern that matches these, which differ in case alone."""
    if len(suffixes) == 1:
        return next(iter(suffixes))
    return "".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in next(iter(suffixes)).lower())


def _missing_columns(columns: Mapping[Path, FoundColumns], wanted: Mapping[str, str]) -> Iterator[str]:
    """A line for each option that names no column of some file."""
    for option, name in wanted.items():
        lacking = [path for path, found in columns.items() if name not in found.names]
        if not lacking:
            continue
        found = columns[lacking[0]]
        more = f" (and {counted(len(lacking) - 1, 'more file')})" if len(lacking) > 1 else ""
        shown = ", ".join(f"`{n}`" for n in found.names[:_COLUMNS_SHOWN])
        if len(found.names) > _COLUMNS_SHOWN:
            shown += f" and {len(found.names) - _COLUMNS_SHOWN} more"
        having = next((path for path, one in columns.items() if name in one.names), None)
        others = f" ({having.name} has it)" if having else ""
        meant = _did_you_mean(name, found.names) or f"; name one of them with {option}"
        if found.doubt:
            meant = in_options(found.doubt)
        yield f"{lacking[0]}{more} has no column `{name}` for {option}{others}; columns found: {shown}{meant}"


def _did_you_mean(name: str, names: Sequence[str]) -> str:
    """The name that was probably meant: case and blanks at the ends do not count."""
    plain = {n.strip().casefold(): n for n in reversed(names)}
    near = difflib.get_close_matches(name.strip().casefold(), plain, n=1)
    return f"; did you mean `{plain[near[0]]}`?" if near else ""


def _found_line(data: Path, columns: Mapping[Path, FoundColumns]) -> str:
    """What was found, for whoever wonders how a file is read."""
    separators = {found.separator for found in columns.values()} - {None}
    named = [{"\t": "tab"}.get(s, s) for s in sorted(s for s in separators if s)]
    separated = f", separated by {' and '.join(named)}" if named else ""
    first = next(iter(columns.values())).names
    shown = ", ".join(f"`{n}`" for n in first[:_COLUMNS_SHOWN]) + (
        ", ..." if len(first) > _COLUMNS_SHOWN else ""
    )
    files = f"{counted(len(columns), 'file')}, " if data.is_dir() else ""
    others = [path.name for path, found in columns.items() if set(found.names) != set(first)]
    differ = (
        f"; {first_few(others)} {'has' if len(others) == 1 else 'have'} other columns, too" if others else ""
    )
    return f"{data}: {files}columns {shown}{separated}{differ}"
