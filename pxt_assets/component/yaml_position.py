"""The position of a value in a YAML file, so that an error can name its line."""

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
    """An error whose message names its position."""


@dataclass(frozen=True)
class YamlPosition:
    """The position of a value in a YAML file; without a `tree` the component was made in Python."""

    tree: SourcePositionTree | None = None
    path: tuple[str | int, ...] = ()
    label: str = ""
    """What the value declares, for messages: `tickets.answer`."""

    @classmethod
    def from_context(cls, context: dg.ResolutionContext, label: str = "") -> YamlPosition:
        """The position that a context resolves."""
        return cls(context.source_position_tree, tuple(context.path), label)

    def at(self, *path: str | int) -> YamlPosition:
        """The position of a value inside this one."""
        return YamlPosition(self.tree, (*self.path, *path), self.label)

    def with_label(self, label: str) -> YamlPosition:
        """The same position with another label."""
        return YamlPosition(self.tree, self.path, label)

    @property
    def source_position(self) -> SourcePosition | None:
        """The file and line of this value, or of what it would be inside of; None where there is no file."""
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
        """An error with that message, which names this position."""
        where = str(self)
        return _PlacedError(f"{where}: {message}" if where else message)

    @contextmanager
    def locate_errors(self, errors: type[Exception] = Exception) -> Iterator[None]:
        """Makes errors inside the `with` block name this position, unless they name one already.

        `errors` are the types that this holds for: what Dagster or a user's function raises for a bad value.
        """
        try:
            yield
        except _PlacedError:
            raise
        except errors as e:
            raise self.error(str(e)) from e
