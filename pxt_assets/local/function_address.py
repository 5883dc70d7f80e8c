"""Where another process finds a user's function: the module that defines it, and its name there."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from pxt_assets.errors import RunError
from pxt_assets.local.udf import LocalFunction

SCRIPT = "__mp_main__"
"""The name under which a script is imported: not the one that starts it, but that by which multiprocessing imports it too."""
_FROZEN = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


class LoadError(Exception):
    """A function that this process cannot load; the text says why."""


@dataclass(frozen=True)
class FunctionAddress:
    """What another process needs to load a function."""

    label: str
    """How messages name it: "udf embed"."""
    module: str
    file: str | None
    path: tuple[str, ...]
    """The attributes that lead to it from the module."""
    folders: tuple[str, ...]
    """Where modules of this process come from which `sys.path` no longer names: Dagster sets it while definitions load."""
    version: str
    """What the function's results are named by."""
    batch_size: int | None
    given_version: str | None
    on: str | None


def address_of(function: LocalFunction[...]) -> FunctionAddress:
    """Where another process finds the function. Raises RunError where none could."""
    label = f"udf {function.name}"
    found = next(_places_of(function), None)
    if found is None:
        msg = (
            f'{label}: on="{function.on}" demands a function that another process can import, and this one has no name in '
            "any module: it is defined inside another function, or changed by a decorator; define it at the top of a "
            "module, or leave out on="
        )
        raise RunError(msg)
    module, path = found
    name, file = module.__name__, getattr(module, "__file__", None)
    if name == "__main__":
        spec = getattr(module, "__spec__", None)
        if spec is None and (file is None or not Path(file).is_file()):
            msg = (
                f'{label}: on="{function.on}" demands a function that another process can import, and this one is typed into '
                "a notebook or a shell; write it into a file (%%writefile functions.py) and import it, or leave out on="
            )
            raise RunError(msg)
        name = SCRIPT if spec is None else spec.name
    return FunctionAddress(
        label,
        name,
        None if file is None else str(Path(file).absolute()),
        path,
        tuple(_unlisted_folders()),
        function.version,
        function.batch_size if function.is_batched else None,
        function.given_version,
        function.on,
    )


def load(address: FunctionAddress) -> LocalFunction[...]:
    """The function, in another process. Raises LoadError, whatever its module raises while it is imported."""
    sys.path += [folder for folder in address.folders if folder not in sys.path]
    where = f"{address.module}" + (f" ({address.file})" if address.file else "")
    try:
        found: Any = _import(address.module, address.file)
        for name in address.path:
            found = getattr(found, name)
        plain = found.function if isinstance(found, LocalFunction) else found
        function: LocalFunction[...] = LocalFunction(
            plain, batch_size=address.batch_size, version=address.given_version, on=address.on
        )
        version = function.version
    except BaseException as e:  # a script may even end the program
        frames = [f for f in traceback.extract_tb(e.__traceback__) if f.filename not in (__file__, *_FROZEN)]
        at = f", in {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        msg = f"{address.label}: a worker cannot import it from {where}: {type(e).__name__}: {e}{at}"
        raise LoadError(msg[:4_000]) from e
    if version != address.version:
        msg = (
            f"{address.label}: a worker found another version of it in {where} than this run was started with, as the file "
            "was changed meanwhile (reload the code location and run again), or what it reads is set at run time, or defined "
            "below the columns that are made of it (define it above them)"
        )
        raise LoadError(msg)
    return function


def _places_of(function: LocalFunction[...]) -> Iterator[tuple[ModuleType, tuple[str, ...]]]:
    """The modules that have the function, each with the attributes that lead to it: first the one that defines it."""
    plain = function.function
    own = sys.modules.get(str(getattr(plain, "__module__", None)))
    if own is not None:
        names = tuple(str(getattr(plain, "__qualname__", "")).split("."))
        found: Any = own
        for name in names:
            found = getattr(found, name, None)
        if _is_of(found, function):
            yield own, names
    for module in [own, *sys.modules.values()]:
        if isinstance(module, ModuleType):
            for name, value in [*vars(module).items()]:
                if _is_of(value, function):
                    yield module, (name,)


def _is_of(value: Any, function: LocalFunction[...]) -> bool:
    return value is function.function or (
        type(value) is LocalFunction and value.function is function.function
    )


def _unlisted_folders() -> Iterator[str]:
    known = {str(Path(folder).absolute()) for folder in sys.path}
    for name, module in [*sys.modules.items()]:
        if "." in name:
            continue
        for path in _paths_of(module):
            if path.stem == name and (folder := str(path.parent)) not in known:
                known.add(folder)
                yield folder


def _paths_of(module: ModuleType) -> list[Path]:
    """A module's file, or its folder; a package without `__init__.py` may have several."""
    file = getattr(module, "__file__", None)
    if file is None:
        return [Path(str(folder)).absolute() for folder in getattr(module, "__path__", ())]
    if not isinstance(file, str) or not file.endswith(".py"):
        return []
    path = Path(file).absolute()
    return [path.parent if path.stem == "__init__" else path]


def _import(name: str, file: str | None) -> ModuleType:
    """A module by its name, or, where that leads to none or to another file, by its file."""
    known = sys.modules.get(name)
    if known is not None and (name != SCRIPT or getattr(known, "__file__", None) == file):
        return known  # multiprocessing gives the script's name to what started this process
    is_here = file is not None and file.endswith(".py") and Path(file).is_file()
    if name != SCRIPT and ("." in name or not is_here or _origin(name) == Path(str(file)).resolve()):
        return importlib.import_module(name)
    loader = SourceFileLoader(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if name == SCRIPT:
        sys.modules["__main__"] = module  # what was pickled by the script names its classes so
    loader.exec_module(module)
    if name == SCRIPT:
        module.__spec__ = None  # as a script has none; processes that it spawns would import it by that name
    return module


def _origin(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve()
