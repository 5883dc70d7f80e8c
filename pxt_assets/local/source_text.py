"""A version for a Python function: results are reused while it stays the same.

It is made of the function's source text and the JSON that it closes over, as it always was, and of the contents of
whatever else it is made of, if there is any: other values that it closes over, the object that it is a method of, the
wrappers around it, defaults, and the globals that it reads, unless a library defines them. Where one of these has no
contents, an author says by `version` what it is.
"""

from __future__ import annotations

import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from pxt_assets.errors import DefinitionError
from pxt_assets.local.code_reads import bytecode_text
from pxt_assets.local.decorator_text import without_placing
from pxt_assets.local.value_contents import Contents, UnnameableError, is_plain
from pxt_assets.values.digest import digest
from pxt_assets.values.json_text import dumps


class Version(NamedTuple):
    """A function's version."""

    text: str
    is_complete: bool
    """Whether all that the function reads was defined; if not, it may be another one later."""


def version_of(function: Callable[..., Any], version: str | None = None) -> str:
    """A text that changes with a function's source, what else it is made of, and `version`.

    Raises DefinitionError for what has no contents, unless a `version` is given: then only the source, and the JSON that
    the function closes over, count beside it.
    """
    return versioned(function, version).text


def versioned(
    function: Callable[..., Any],
    version: str | None = None,
    *,
    who: str | None = None,
    is_placed: bool = False,
) -> Version:
    """The same; `who` begins the error's message: "udf words".

    With `is_placed` its decorator says where it runs, which counts for nothing (see `decorator_text`).
    """
    name = f"{getattr(function, '__qualname__', type(function).__qualname__)}"
    short_name = getattr(function, "__name__", name)
    source = _source_text(function)
    if is_placed:
        source = without_placing(source, function)
    parts = [name, source, _closure_constants_text(function), version or ""]
    encoded = [part.encode(errors="surrogatepass") for part in parts]
    is_complete = True
    if version is None:
        contents = Contents(str(getattr(function, "__module__", "")).partition(".")[0])
        try:
            encoded += _further_contents(function, contents)
        except (UnnameableError, RecursionError) as e:
            where, why = (e.where, e.why) if isinstance(e, UnnameableError) else ("it", "it is too deep")
            raise DefinitionError(_unnameable_message(who or f"function {short_name}", where, why)) from None
        is_complete = contents.complete
    return Version(f"{short_name}:{digest(*encoded).hex()}", is_complete)


def _unnameable_message(who: str, where: str, why: str) -> str:
    return (
        f"{who} depends on {where}: {why}, so that nothing would tell when it changes, and results of the old one would be "
        'reused. Give the function a version, @udf(version="1") or tool(f, version="1"), and another one whenever that '
        'changes (version="" finds what earlier releases stored); or let it take the value as an argument'
    )


def _source_text(function: Callable[..., Any]) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # typed into a shell, or not written in Python
        code = getattr(function, "__code__", None)
        return (
            f"{type(function).__module__}.{type(function).__qualname__}"
            if code is None
            else bytecode_text(code)
        )


def _wrapping_chain(function: Callable[..., Any]) -> list[Any]:
    """The function and the functions that it wraps, outermost first."""
    chain: list[Any] = [function]
    while (wrapped := getattr(chain[-1], "__wrapped__", None)) is not None and len(chain) < 100:
        chain.append(wrapped)
    return chain


def _closure_constants_text(function: Callable[..., Any]) -> str:
    """The constants that a function and the functions it wraps close over, as JSON."""
    return dumps([_closure_constants(one) for one in _wrapping_chain(function)])


def _closure_constants(function: Callable[..., Any]) -> dict[str, str]:
    constants = {}
    for name, value in _closure(function):
        with suppress(TypeError, ValueError, RecursionError):  # no JSON
            constants[name] = dumps(value)
    return constants


_UNASSIGNED = object()


def _closure(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """The variables that a function closes over; _UNASSIGNED, which is no JSON, for one without a value."""
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    for name, cell in zip(code.co_freevars if code else (), cells, strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:
            yield name, _UNASSIGNED


def _further_contents(function: Callable[..., Any], contents: Contents) -> list[bytes]:
    """What a function is made of beside its source and the JSON that it closes over; nothing for most."""
    parts: list[bytes] = []
    chain = _wrapping_chain(function)
    for depth, one in enumerate(chain):
        found = [*_own_contents(one, contents, is_wrapper=depth < len(chain) - 1, chain=chain)]
        if found:
            parts += [
                b"%d" % depth,
                *(p.encode("utf-8", "surrogatepass") if isinstance(p, str) else p for p in found),
            ]
    hinted = [contents.of(cls, "", strict=False) for cls in _classes_in_hints(function, contents)]
    return [*parts, b"hints", *hinted] if hinted else parts


def _classes_in_hints(function: Callable[..., Any], contents: Contents) -> list[type]:
    """The classes of the author's own in a function's hints, by which arguments are converted."""
    try:
        hints = [*typing.get_type_hints(function, include_extras=True).values()]
    except Exception:  # whatever evaluating a hint raises; who needs them says so
        return []
    found: list[type] = []
    for hint in hints:  # grows
        hints += [*typing.get_args(hint)]
        if isinstance(hint, type) and not contents.is_of_library(hint) and hint not in found:
            found.append(hint)
    return found


def _own_contents(
    function: Any, contents: Contents, *, is_wrapper: bool, chain: list[Any]
) -> Iterator[bytes | str]:
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType):
        yield "self"
        yield contents.of(owner, f"the object that it is a method of ({type(owner).__qualname__})")
    plain = getattr(function, "__func__", function)
    if not isinstance(plain, types.FunctionType):
        return
    for name, value in _closure(plain):
        if value is _UNASSIGNED:
            contents.complete = False
        elif not _is_plain(value) and not any(value is one for one in chain):
            yield name
            yield contents.of(value, name)
    if is_wrapper:  # its own source and defaults are not those that the function shows
        yield from contents.code_of(plain)
    elif code := contents.code_beside_source(plain):
        yield code
    for name, default in _defaults(plain):
        if is_wrapper or not _is_plain(default):
            yield f"{name}="
            yield contents.of(default, f"the default of {name}")
    yield from contents.globals_of(plain, "", strict=True)


def _defaults(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    code = function.__code__
    given = function.__defaults__ or ()
    yield from zip(code.co_varnames[code.co_argcount - len(given) : code.co_argcount], given, strict=True)
    yield from (function.__kwdefaults__ or {}).items()


def _is_plain(value: Any) -> bool:
    try:
        return is_plain(value)
    except RecursionError:
        return False
