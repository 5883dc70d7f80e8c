"""What `pxt-assets gc` prints and does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pxt_assets.assets.cleaning.code_locations import CodeLocations, default_target, load_code_locations
from pxt_assets.assets.cleaning.leftovers import Leftover, find_leftovers, remove_leftover
from pxt_assets.errors import RunError
from pxt_assets.storage.store import ColumnStore
from pxt_assets.values.wording import counted

if TYPE_CHECKING:
    from upath import UPath


def clean(*, module: str | None, file: Path | None, workspace: Path | None, delete: bool) -> None:
    """Prints what could be removed from the stores of the code locations, or moved, and does it if `delete`.

    Without one that is named, they are those that `dagster` finds in the present folder; as there, the variables of its
    `.env` file count. Raises DefinitionError if they cannot be loaded.
    """
    from dagster._core.secrets.env_file import get_env_var_dict
    from dagster._utils.env import environ

    if module is None and file is None and workspace is None:
        workspace = default_target(Path.cwd())
        click.echo(f"code locations of {workspace}")
    with environ(get_env_var_dict(str(Path.cwd()))):
        _clean(load_code_locations(module=module, file=file, workspace=workspace), delete=delete)


def _clean(locations: CodeLocations, *, delete: bool) -> None:
    removed = moved = total = 0
    for store in _distinct_stores(locations.stores):
        for leftover in list(find_leftovers(store, locations)):
            if leftover.kept:
                _print_leftover("keep", leftover)
                continue
            done: Leftover | None = leftover
            if delete:
                done = _try_to_remove(leftover, store, locations)
            else:
                _print_leftover("could remove" if leftover.moves_to is None else "could move", leftover)
            if done is not None and done.moves_to is not None:
                moved += 1
            elif done is not None:
                total += done.size_bytes
                removed += 1
    if delete:
        also = f"; moved {counted(moved, 'thing')}" if moved else ""
        click.echo(f"removed {counted(removed, 'thing')}, {counted(total, 'byte')}{also}")
    else:
        moves = f", and {counted(moved, 'thing')} be moved" if moved else ""
        it = "does it" if moved else "removes them"
        click.echo(f"{counted(total, 'byte')} could be removed{moves}; this was a dry run, --delete {it}")


def _distinct_stores(stores: tuple[ColumnStore, ...]) -> list[ColumnStore]:
    """The stores without those at the same path: code locations may share one."""
    return list({(store.base_path, repr(store.storage_options)): store for store in stores}.values())


def _try_to_remove(leftover: Leftover, store: ColumnStore, locations: CodeLocations) -> Leftover | None:
    """What was removed or moved; None, and a line that says why, if nothing was."""
    try:
        now = remove_leftover(leftover, store, locations)
    except (RunError, OSError) as e:
        click.echo(f"skip {_printable(leftover.path)}: {e}")
        return None
    if now is None:
        click.echo(f"skip {_printable(leftover.path)}: a run has changed it meanwhile")
        return None
    _print_leftover("keep" if now.kept else "removed" if now.moves_to is None else "moved", now)
    return None if now.kept else now


def _print_leftover(what: str, leftover: Leftover) -> None:
    to = "" if leftover.moves_to is None else f" to {_printable(leftover.moves_to)}"
    click.echo(
        f"{what} {_printable(leftover.path)}{to} ({counted(leftover.size_bytes, 'byte')}): {leftover.reason}"
    )


def _printable(path: UPath) -> str:
    """A path without characters that a terminal would take for a command."""
    return "".join(c if c.isprintable() else "?" for c in str(path.path))
