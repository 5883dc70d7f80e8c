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
class YamlPosition:
    """A value in a YAML file, or in none where a component is made in Python."""

    tree: SourcePositionTree | None = None
    path: tuple[str | int, ...] = ()
    label: str = ""
    """What stands there, for messages: `tickets.answer`."""

    @classmethod
    def from_context(cls, context: dg.ResolutionContext, what: str = "") -> YamlPosition:
        """The place that is being resolved."""
        return cls(context.source_position_tree, tuple(context.path), what)

    def at(self, *path: str | int) -> YamlPosition:
        """A value inside this one."""
        return YamlPosition(self.tree, (*self.path, *path), self.label)

    def with_label(self, what: str) -> YamlPosition:
        """The same place by another name."""
        return YamlPosition(self.tree, self.path, what)

    @property
    def source_position(self) -> SourcePosition | None:
        """Of this value, or of what it would stand in; None where there is no file."""
        if self.tree is None:
            return None
        position, _ = self.tree.lookup_closest_and_path(self.path, None)
        return None if position.filename == "<string>" else position

    def __str__(self) -> str:
        """`/project/defs/tickets/defs.yaml:12: tickets.answer`"""
        position = self.source_position
        parts = [f"{position.filename}:{position.start.line}"] if position else []
        return ": ".join([*parts, self.label] if self.label else parts)

    def error(self, message: str) -> DefinitionError:
        """An error at this place."""
        where = str(self)
        return _PlacedError(f"{where}: {message}" if where else message)

    @contextmanager
    def locate_errors(self, refused: type[Exception] = Exception) -> Iterator[None]:
        """Lets errors of what is declared here say where it is, unless they say it more exactly.

        `refused` are the errors that Dagster, or a function of the user's, refuses it by.
        """
        try:
            yield
        except _PlacedError:
            raise
        except refused as e:
            raise self.error(str(e)) from e
