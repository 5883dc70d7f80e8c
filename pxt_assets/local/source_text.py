"""A version for a Python function, made of its source text: results are reused while it stays the same."""

from __future__ import annotations

import inspect
import textwrap
import types
from collections.abc import Callable
from typing import Any

from pxt_assets.values.digest import digest
from pxt_assets.values.json_text import dumps


def version_of(function: Callable[..., Any], version: str | None = None) -> str:
    """A text that changes with a function's source, the constants that it closes over, and `version`."""
    name = f"{getattr(function, '__qualname__', type(function).__qualname__)}"
    parts = [name, _source_text(function), _closure_constants_text(function), version or ""]
    version_digest = digest(*(part.encode(errors="surrogatepass") for part in parts))
    return f"{getattr(function, '__name__', name)}:{version_digest.hex()}"


def _source_text(function: Callable[..., Any]) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # typed into a shell, or not written in Python
        code = getattr(function, "__code__", None)
        return (
            f"{type(function).__module__}.{type(function).__qualname__}"
            if code is None
            else _bytecode_text(code)
        )


def _bytecode_text(code: types.CodeType) -> str:
    constants = [_constant_text(c) for c in code.co_consts]
    return repr((code.co_code.hex(), constants, code.co_names, code.co_varnames))


def _constant_text(value: object) -> str:
    if isinstance(value, types.CodeType):
        return _bytecode_text(value)
    if isinstance(value, frozenset):  # whose order differs between processes
        return repr(sorted(map(repr, value)))
    return repr(value)


def _closure_constants_text(function: Callable[..., Any]) -> str:
    """The constants that a function and the functions it wraps close over, as JSON."""
    chain = [function]
    while (wrapped := getattr(chain[-1], "__wrapped__", None)) is not None:
        chain.append(wrapped)
    return dumps([_closure_constants(one) for one in chain])


def _closure_constants(function: Callable[..., Any]) -> dict[str, str]:
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    constants = {}
    for name, cell in zip(code.co_freevars if code else (), cells, strict=True):
        try:
            constants[name] = dumps(cell.cell_contents)
        except (TypeError, ValueError):  # no JSON, or not assigned yet
            continue
    return constants
