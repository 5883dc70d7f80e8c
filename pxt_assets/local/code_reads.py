"""What the code of a Python function reads from outside: its source text, and the globals that it names."""

from __future__ import annotations

import builtins
import dis
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import PurePath
from typing import Any

MISSING = object()
"""Stands for a global that is not defined yet."""
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")


@cache
def source_of(code: types.CodeType) -> str | None:
    """The source text of a code object; None where there is none, as for code typed into a shell."""
    try:
        return textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError, IndexError, SyntaxError):
        return None


def bytecode_text(code: types.CodeType) -> str:
    """The instructions and constants of a code object, the same in every process of one version of Python."""
    constants = [_constant_text(c) for c in code.co_consts]
    return repr((code.co_code.hex(), constants, code.co_names, code.co_varnames))


def _constant_text(value: object) -> str:
    if isinstance(value, types.CodeType):
        return bytecode_text(value)
    if isinstance(value, frozenset):  # whose order differs between processes
        return repr(sorted(map(repr, value)))
    return repr(value)


def globals_read(function: Callable[..., Any], own: str) -> Iterator[tuple[str, Any]]:
    """The globals that a function's code names, sorted, each with its value, MISSING for one not defined yet.

    An attribute of a module that is no library is such a global too: `settings.LIMIT`. `own` is the package whose modules
    are none.
    """
    namespace = function.__globals__
    found: dict[str, Any] = {}
    for path in _paths_read(function.__code__):
        name, *attributes = path
        if name.startswith("__") or (name not in namespace and hasattr(builtins, name)):
            continue
        value, known = namespace.get(name, MISSING), [name]
        for attribute in attributes:
            if not isinstance(value, types.ModuleType) or is_library(value.__name__, own):
                break
            value = vars(value).get(attribute, MISSING)
            known.append(attribute)
        found[".".join(known)] = value
    yield from found.items()


@cache
def _paths_read(code: types.CodeType) -> list[tuple[str, ...]]:
    """The globals that code and the functions in it name, each with the attributes that are taken of it at once."""
    found: set[tuple[str, ...]] = set()
    path: list[str] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBALS:
            found.add(tuple(path))
            path = [str(instruction.argval)]
        elif path and instruction.opname in _ATTRIBUTES:
            path.append(str(instruction.argval))
        elif instruction.opname != "CACHE":
            found.add(tuple(path))
            path = []
    found.add(tuple(path))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found.update(_paths_read(constant))
    return sorted(found - {()})


def is_library(module: str | None, own: str) -> bool:
    """Whether a module is Python's own, or installed, and no part of the package `own`."""
    top = (module or "").partition(".")[0]
    if not top or top in (own, "__main__"):
        return False
    if top in sys.stdlib_module_names or top == "pxt_assets":
        return True
    file = getattr(sys.modules.get(str(module)), "__file__", None) or getattr(
        sys.modules.get(top), "__file__", None
    )
    return bool({"site-packages", "dist-packages"} & {*PurePath(file or "").parts})
