"""What `pxt-assets gc` prints and does."""

from __future__ import annotations

from pathlib import Path

import click

from pxt_assets.assets.cleaning.code_locations import CodeLocations, load_code_locations
from pxt_assets.assets.cleaning.leftovers import Leftover, find_leftovers, remove_leftover
from pxt_assets.errors import RunError
from pxt_assets.storage.store import ColumnStore


def clean(*, module: str | None, file: Path | None, workspace: Path, delete: bool) -> None:
    """Prints what could be removed from the stores of the code locations, and removes it if `delete`.

    Raises DefinitionError if they cannot be loaded.
    """
    given = module is not None or file is not None
    locations = load_code_locations(module=module, file=file, workspace=None if given else workspace)
    removed = total = 0
    for store in _distinct_stores(locations.stores):
        for leftover in list(find_leftovers(store, locations)):
            if leftover.kept:
                _print_leftover("keep", leftover)
            elif not delete:
                _print_leftover("could remove", leftover)
                total += leftover.size_bytes
            elif (gone := _try_to_remove(leftover, store, locations)) is not None:
                total += gone.size_bytes
                removed += 1
    if delete:
        click.echo(f"removed {removed} things, {total:,} bytes")
    else:
        click.echo(f"{total:,} bytes could be removed; this was a dry run, --delete removes them")


def _distinct_stores(stores: tuple[ColumnStore, ...]) -> list[ColumnStore]:
    """The stores without those at the same path: code locations may share one."""
    return list({(store.base_path, repr(store.storage_options)): store for store in stores}.values())


def _try_to_remove(leftover: Leftover, store: ColumnStore, locations: CodeLocations) -> Leftover | None:
    """What was removed; None, and a line that says why, if nothing was."""
    try:
        now = remove_leftover(leftover, store, locations)
    except (RunError, OSError) as e:
        click.echo(f"skip {_printable_path(leftover)}: {e}")
        return None
    if now is None:
        click.echo(f"skip {_printable_path(leftover)}: a run has changed it meanwhile")
        return None
    _print_leftover("keep" if now.kept else "removed", now)
    return None if now.kept else now


def _print_leftover(what: str, leftover: Leftover) -> None:
    click.echo(f"{what} {_printable_path(leftover)} ({leftover.size_bytes:,} bytes): {leftover.reason}")


def _printable_path(leftover: Leftover) -> str:
    """Its path without characters that a terminal would take for a command."""
    return "".join(c if c.isprintable() else "?" for c in str(leftover.path.path))
