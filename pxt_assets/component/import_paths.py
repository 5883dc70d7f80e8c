"""Import paths, `my_package.functions:words`, by which YAML names Python objects."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from pxt_assets.errors import DefinitionError, did_you_mean

Importer = Callable[[str], Any]
"""Imports the object of an import path. Raises DefinitionError."""


def make_importer(absolute_name: Callable[[str], str]) -> Importer:
    """An importer; `absolute_name` completes the name of a module that begins with a dot, `.functions`."""

    def import_object(path: str) -> Any:
        name, colon, attributes = path.partition(":")
        if not colon or not name.strip(".") or not attributes:
            msg = f"got {path!r}, allowed: the import path of a Python object, my_package.my_module:its_name, or with .my_module a module beside this file"
            raise DefinitionError(msg)
        try:
            found: Any = importlib.import_module(absolute_name(name))
        except Exception as e:  # whatever a module of the user's raises
            msg = f"{path}: importing {name} failed: {type(e).__name__}: {e}"
            raise DefinitionError(msg) from e
        for attribute in attributes.split("."):
            if not hasattr(found, attribute):
                public = (
                    [n for n in vars(found) if not n.startswith("_")] if hasattr(found, "__dict__") else []
                )
                msg = f"{path}: {name} has no {attribute!r}{did_you_mean(attribute, public)}"
                raise DefinitionError(msg)
            found = getattr(found, attribute)
        return found

    return import_object
