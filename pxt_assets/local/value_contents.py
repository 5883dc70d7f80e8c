"""The contents of Python values: a digest that is the same in every process, and another for another value.

What pickle can hold has contents: they are what it is made of again. Functions, lambdas and classes have their source,
what they close over, their defaults and the globals that they read; what a library defines is known by its name. What
has no contents, such as a connection, is told by `UnnameableError`.
"""

from __future__ import annotations

import asyncio
import contextvars
import copyreg
import enum
import functools
import inspect
import logging
import math
import re
import textwrap
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from typing import Any

from pxt_assets.local.code_reads import MISSING, bytecode_text, globals_read, is_library, source_of
from pxt_assets.values.digest import digest

_MAX_VALUES = 500_000
_MAX_BYTES = 64 * 2**20
"""How many values, and bytes of them, are looked at: definitions must load in seconds."""
_ATOMS = (type(None), bool, int, float, complex, type(...), type(NotImplemented), range, slice)
_WITHOUT_DATA = (
    logging.Logger,
    logging.LoggerAdapter,
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Condition,
    threading.Event,
    threading.Semaphore,
    threading.local,
    asyncio.Lock,
    asyncio.Semaphore,
    contextvars.ContextVar,
)
"""What changes no result: known by its type."""
_CONSTANTS = ("datetime", "decimal", "fractions", "uuid", "pathlib", "zoneinfo", "collections")
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_BUILTINS = (
    types.BuiltinFunctionType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
)


_PARTS: Sequence[tuple[type, Callable[[Any], Sequence[Any]]]] = (
    (types.ModuleType, lambda v: [v.__name__]),
    (types.MethodType, lambda v: [v.__func__, v.__self__]),
    (functools.partial, lambda v: [v.func, v.args, v.keywords]),
    (staticmethod, lambda v: [v.__func__]),
    (classmethod, lambda v: [v.__func__]),
    (property, lambda v: [v.fget, v.fset, v.fdel]),
    (functools.cached_property, lambda v: [v.func]),
    (enum.Enum, lambda v: [type(v), v.name, v.value]),
    (type(functools.cache(len)), lambda v: [v.__wrapped__]),
    (re.Pattern, lambda v: [v.pattern, v.flags]),
)
"""What values of some types are made of."""


class UnnameableError(Exception):
    """A value without contents: `where` it was met, and `why` it has none."""

    def __init__(self, where: str, why: str) -> None:
        self.where = where.rstrip(".")
        super().__init__(f"{self.where}: {why}")
        self.why = why


class Contents:
    """Digests of values. `own` is the package whose functions and classes are no library's.

    With `strict`, a value without contents raises UnnameableError, and is known by its type otherwise.
    """

    def __init__(self, own: str) -> None:
        self.own = own
        self.complete = True
        """Whether all globals and variables that were met have a value."""
        self._depth_of: dict[int, int] = {}
        """The depth of the values that are being looked at, by id: a value inside itself is known by the distance."""
        self._lowest = 0
        self._known: dict[tuple[int, bool], tuple[Any, bytes]] = {}
        self._values_left = _MAX_VALUES
        self._bytes_left = _MAX_BYTES

    def of(self, value: Any, where: str, *, strict: bool = True) -> bytes:
        """The digest of a value's contents; `where` names it in the error."""
        try:
            return self._of(value, where, strict)
        except RecursionError:
            if strict:
                raise UnnameableError(where, "its parts are too deep inside each other") from None
            return _digest("type", type(value).__qualname__)

    def _of(self, value: Any, where: str, strict: bool) -> bytes:
        self._values_left -= 1
        if self._values_left < 0:
            return self._without(value, where, strict, f"it holds more than {_MAX_VALUES:,} values")
        kind = type(value)
        if kind in _ATOMS:
            return _digest(kind.__name__, repr(value))
        if kind is str or kind is bytes or kind is bytearray:
            data = value.encode("utf-8", "surrogatepass") if kind is str else bytes(value)
            return self._of_bytes(kind.__name__, data, where, strict)
        if isinstance(value, _WITHOUT_DATA):
            return _digest("type", kind.__qualname__)
        if id(value) in self._depth_of:
            depth = self._depth_of[id(value)]
            self._lowest = min(self._lowest, depth)
            return _digest("inside itself", str(len(self._depth_of) - depth))
        known = self._known.get((id(value), strict))
        if known is not None:
            return known[1]
        outer, self._lowest = self._lowest, len(self._depth_of)
        depth = len(self._depth_of)
        found = self._within(value, lambda: self._parts(value, where, strict))
        if self._lowest >= depth:  # it means the same wherever it is
            self._known[id(value), strict] = value, found
        self._lowest = min(outer, self._lowest)
        return found

    def _within(self, value: Any, parts: Callable[[], bytes]) -> bytes:
        self._depth_of[id(value)] = len(self._depth_of)
        try:
            return parts()
        finally:
            del self._depth_of[id(value)]

    def _parts(self, value: Any, where: str, strict: bool) -> bytes:
        """The digest of a value that is made of others."""
        kind = type(value)
        if kind in (list, tuple):
            return _digest(kind.__name__, *(self._of(v, where, strict) for v in value))
        if kind in (dict, types.MappingProxyType):
            return _digest("dict", *self._pairs(value.items(), where, strict))
        if kind in (set, frozenset):
            return _digest("set", *sorted(self._of(v, where, strict) for v in value))
        if kind is types.FunctionType:
            return self._function(value, where, strict)
        if isinstance(value, type):
            return self._class(value, where)
        if isinstance(value, _BUILTINS):
            return self._builtin(value, where, strict)
        for one, parts_of in _PARTS:
            if isinstance(value, one):
                return _digest(one.__name__, *self._all(parts_of(value), where, strict))
        if kind.__module__ == "numpy" and hasattr(value, "dtype") and value.dtype.hasobject is False:
            return self._of_array(value, where, strict)
        if kind.__module__.startswith("pxt_assets.") and isinstance(getattr(value, "version", None), str):
            return _digest("pxt", value.version)
        if strict:
            return self._object(value, where)
        # of what functions call in turn, functions and constants are looked at, and no objects that may do anything
        with suppress(UnnameableError):
            if kind.__module__ in _CONSTANTS or is_dataclass(kind) or hasattr(kind, "model_fields"):
                return self._object(value, where)
        return _digest("type", kind.__qualname__)

    def _object(self, value: Any, where: str) -> bytes:
        """The digest of what an object is made of again by pickle and copy."""
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            made_of = value.__reduce_ex__(4) if reduce is None else reduce(value)
        except RecursionError:
            raise
        except Exception as e:  # whatever an object raises that cannot be pickled
            why = f"it is {_a(type(value))}, which has no contents ({str(e)[:120] or type(e).__name__})"
            raise UnnameableError(where, why) from e
        if isinstance(made_of, str):
            return _digest("global", type(value).__module__, made_of)
        function, arguments, *rest = made_of
        state, items, pairs = (*rest, None, None, None)[:3]
        parts = [function, arguments, state]
        of_items: list[bytes] = [] if items is None else [self._of(v, where, True) for v in items]
        of_pairs: list[bytes] = [] if pairs is None else [*self._pairs(pairs, where, True)]
        return _digest("object", *self._all(parts, f"{where}.", True), *of_items, b"", *of_pairs)

    def _function(self, function: types.FunctionType, where: str, strict: bool) -> bytes:
        parts = self.code_of(function)
        code = function.__code__
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            parts.append(name)
            parts.append(self._of_cell(cell, f"{where} → {name}", strict))
        defaults = [function.__defaults__, function.__kwdefaults__]
        parts += self._all(defaults, f"{where}'s defaults", strict)
        parts += self.globals_of(function, where, strict=False)
        return _digest("function", *parts)

    def code_of(self, function: types.FunctionType) -> list[bytes | str]:
        """The source of a function; its code too, where the source does not tell which of several lambdas it is.

        The name of a library's function.
        """
        module = function.__globals__.get("__name__")
        if is_library(module, self.own):
            return [f"{module}.{function.__qualname__}"]
        source = source_of(function.__code__)
        return [
            source or "",
            bytecode_text(function.__code__) if source is None else self.code_beside_source(function),
        ]

    def code_beside_source(self, function: types.FunctionType) -> str:
        """The code of a lambda whose source holds several, "" of any other function: its source tells what it does."""
        source = source_of(function.__code__) or ""
        several = function.__name__ == "<lambda>" and source.count("lambda") > 1
        return bytecode_text(function.__code__) if several else ""

    def _of_cell(self, cell: types.CellType, where: str, strict: bool) -> bytes:
        try:
            value = cell.cell_contents
        except ValueError:
            self.complete = False
            return b"unassigned"
        return self._of(value, where, strict)

    def globals_of(self, function: types.FunctionType, where: str, *, strict: bool) -> list[bytes | str]:
        """Names and digests of the globals that a function reads, without what a library defines."""
        found: list[bytes | str] = []
        if is_library(function.__globals__.get("__name__"), self.own):
            return found
        for name, value in globals_read(function, self.own):
            if value is MISSING:
                self.complete = False
            elif not self.is_of_library(value):
                found += [name, self._of(value, f"{where} → {name}" if where else name, strict)]
        return found

    def is_of_library(self, value: Any) -> bool:
        """Whether a module, function or class is a library's, which is not looked into."""
        if isinstance(value, types.ModuleType):
            return is_library(value.__name__, self.own)
        if isinstance(value, types.FunctionType):
            return is_library(value.__globals__.get("__name__"), self.own) and not value.__closure__
        if isinstance(value, type):
            return is_library(value.__module__, self.own)
        return isinstance(value, _BUILTINS) and isinstance(
            getattr(value, "__self__", None), types.ModuleType | None
        )

    def _class(self, cls: type, where: str) -> bytes:
        name = f"{cls.__module__}.{cls.__qualname__}"
        if is_library(cls.__module__, self.own) or cls.__module__ == "builtins":
            return _digest("class", name)
        try:
            source = textwrap.dedent(inspect.getsource(cls))
        except (OSError, TypeError, IndexError, SyntaxError):
            source = ""
        parts: list[bytes | str] = [cls.__qualname__, source, *self._all(cls.__bases__, where, False)]
        for attribute, member in sorted(vars(cls).items()):
            if _is_of_user(attribute, member, with_source=bool(source)):
                parts += [attribute, self._of(member, where, False)]
        return _digest("class", *parts)

    def _builtin(self, value: Any, where: str, strict: bool) -> bytes:
        owner = getattr(value, "__self__", None)
        name = f"{getattr(value, '__module__', None)}.{value.__qualname__}"
        if owner is None or isinstance(owner, types.ModuleType):
            return _digest("builtin", name)
        return _digest("builtin", name, self._of(owner, where, strict))

    def _of_array(self, value: Any, where: str, strict: bool) -> bytes:
        """The digest of an array or a scalar of numpy's."""
        shape, kind = repr(value.shape), f"{type(value).__name__} {value.dtype.str} {value.dtype.descr}"
        if value.nbytes > self._bytes_left:
            return self._without(value, where, strict, f"it holds more than {_MAX_BYTES >> 20} MB")
        return _digest("array", shape, kind, self._of_bytes("bytes", value.tobytes(), where, strict))

    def _of_bytes(self, kind: str, data: bytes, where: str, strict: bool) -> bytes:
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            return self._without(data, where, strict, f"it holds more than {_MAX_BYTES >> 20} MB")
        return _digest(kind, data)

    def _without(self, value: Any, where: str, strict: bool, why: str) -> bytes:
        if strict:
            raise UnnameableError(where, why)
        return _digest("type", type(value).__qualname__)

    def _all(self, values: Iterable[Any], where: str, strict: bool) -> list[bytes]:
        return [self._of(value, where, strict) for value in values]

    def _pairs(self, pairs: Iterable[tuple[Any, Any]], where: str, strict: bool) -> Iterator[bytes]:
        for key, value in pairs:
            inner = where
            if isinstance(key, str) and strict:
                inner = f"{where}{key}" if where.endswith(".") else f"{where}[{key!r}]"
            yield self._of(key, where, strict)
            yield self._of(value, inner, strict)


def _is_of_user(attribute: str, member: Any, *, with_source: bool) -> bool:
    """Whether a member of a class was written by its author, not made by Python or a library."""
    if attribute.startswith("_abc_") or isinstance(member, _DESCRIPTORS):
        return False
    code = getattr(member, "__code__", None)
    if with_source and code is not None and code.co_filename.startswith("<"):  # as dataclasses make them
        return False
    is_dunder = attribute.startswith("__") and attribute.endswith("__")
    return not is_dunder or attribute == "__annotations__" or code is not None


def _digest(kind: str, *parts: bytes | str) -> bytes:
    return digest(
        kind.encode(), *(p.encode("utf-8", "surrogatepass") if isinstance(p, str) else p for p in parts)
    )


def _a(kind: type) -> str:
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"


def is_plain(value: Any) -> bool:
    """Whether JSON holds a value as it is: texts, numbers, booleans, lists and tuples, dicts with texts as keys."""
    kind = type(value)
    if kind in (str, bool, int, type(None)):
        return True
    if kind is float:
        return math.isfinite(value)
    if kind in (list, tuple):
        return all(map(is_plain, value))
    return kind is dict and all(type(k) is str and is_plain(v) for k, v in value.items())
