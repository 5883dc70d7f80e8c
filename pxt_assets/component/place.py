"""Where in a YAML file something stands, so that an error can say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from pxt_assets.errors import DefinitionError

if TYPE_CHECKING:
    from dagster_shared.yaml_utils.source_position import SourcePosition, SourcePositionTree


class _PlacedError(DefinitionError):
    """An error that says already where it is."""


@dataclass(frozen=True)
class Place:
    """A value in a YAML file, or in none where a component is made in Python."""

    tree: SourcePositionTree | None = None
    path: tuple[str | int, ...] = ()
    what: str = ""
    """What stands there, for messages: `tickets.answer`."""

    @classmethod
    def of(cls, context: dg.ResolutionContext, what: str = "") -> Place:
        """The place that is being resolved."""
        return cls(context.source_position_tree, tuple(context.path), what)

    def at(self, *path: str | int) -> Place:
        """A value inside this one."""
        return Place(self.tree, (*self.path, *path), self.what)

    def of_what(self, what: str) -> Place:
        """The same place by another name."""
        return Place(self.tree, self.path, what)

    @property
    def position(self) -> SourcePosition | None:
        """Of this value, or of what it would stand in; None where there is no file."""
        if self.tree is None:
            return None
        position, _ = self.tree.lookup_closest_and_path(self.path, None)
        return None if position.filename == "<string>" else position

    def __str__(self) -> str:
        """`/project/defs/tickets/defs.yaml:12: tickets.answer`"""
        position = self.position
        parts = [f"{position.filename}:{position.start.line}"] if position else []
        return ": ".join([*parts, self.what] if self.what else parts)

    def error(self, message: str) -> DefinitionError:
        """An error at this place."""
        where = str(self)
        return _PlacedError(f"{where}: {message}" if where else message)

    @contextmanager
    def named(self, refused: type[Exception] = Exception) -> Iterator[None]:
        """Lets errors of what is declared here say where it is, unless they say it more exactly.

        `refused` are the errors that Dagster, or a function of the user's, refuses it by.
        """
        try:
            yield
        except _PlacedError:
            raise
        except refused as e:
            raise self.error(str(e)) from e
