"""A table of conformance: idioms of Dagster's documentation, each run on a computed column and on a plain asset.

A row is a function in `rows/`, which is given a `NewProject` and returns what is compared:

    @idiom("guides/test/unit-testing-assets-and-ops", "asset_value of a result")
    def asset_value(new: NewProject) -> object:
        project = new()
        return said(project.materialize().asset_value(project.column.key))

It runs twice, on projects of equal shape: in one `tickets/shout` is a plain asset, in the other a computed column. What
comes back must be equal, and something.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tests.conformance.idioms.projects import NewProject

DOCS = "https://docs.dagster.io/"


@dataclass(frozen=True)
class Idiom:
    """A row of the table."""

    name: str
    docs: str
    """The page that shows it, below `DOCS`."""
    run: Callable[[NewProject], object]


IDIOMS: list[Idiom] = []


def idiom(docs: str, name: str) -> Callable[[Callable[[NewProject], object]], Callable[[NewProject], object]]:
    """Adds a function to the table."""

    def add(run: Callable[[NewProject], object]) -> Callable[[NewProject], object]:
        IDIOMS.append(Idiom(name, DOCS + docs, run))
        return run

    return add


def all_idioms() -> list[Idiom]:
    """The rows of all modules in `rows/`."""
    rows: Any = import_module("tests.conformance.idioms.rows")
    for module in pkgutil.iter_modules(rows.__path__):
        import_module(f"{rows.__name__}.{module.name}")
    return IDIOMS
