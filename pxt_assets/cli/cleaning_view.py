"""What `pxt-assets gc` says and does."""

from __future__ import annotations

from pathlib import Path

import click

from pxt_assets.assets.cleaning.code_locations import CodeLocations, load_code_locations
from pxt_assets.assets.cleaning.leftovers import Leftover, find_leftovers, remove_leftover
from pxt_assets.errors import RunError
from pxt_assets.storage.store import ColumnStore


def clean(*, module: str | None, file: Path | None, workspace: Path, delete: bool) -> None:
    """Says what could be removed from the stores of those code locations, and removes it if `delete`.

    Raises DefinitionError if they cannot be loaded.
    """
    given = module is not None or file is not None
    defined = load_code_locations(module=module, file=file, workspace=None if given else workspace)
    removed = total = 0
    for store in _distinct_stores(defined.stores):
        for finding in list(find_leftovers(store, defined)):
            if finding.kept:
                _print_leftover("keep", finding)
            elif not delete:
                _print_leftover("could remove", finding)
                total += finding.size_bytes
            elif (done := _try_to_remove(finding, store, defined)) is not None:
                total += done.size_bytes
                removed += 1
    if delete:
        click.echo(f"removed {removed} things, {total:,} bytes")
    else:
        click.echo(f"{total:,} bytes could be removed; this was a dry run, --delete removes them")


def _distinct_stores(stores: tuple[ColumnStore, ...]) -> list[ColumnStore]:
    """The stores, one for each place: code locations may share one."""
    return list({(store.base_path, repr(store.storage_options)): store for store in stores}.values())


def _try_to_remove(finding: Leftover, store: ColumnStore, defined: CodeLocations) -> Leftover | None:
    try:
        now = remove_leftover(finding, store, defined)
    except (RunError, OSError) as e:
        click.echo(f"skip {_printable_path(finding)}: {e}")
        return None
    if now is None:
        click.echo(f"skip {_printable_path(finding)}: a run has changed it meanwhile")
        return None
    _print_leftover("keep" if now.kept else "removed", now)
    return None if now.kept else now


def _print_leftover(what: str, finding: Leftover) -> None:
    click.echo(f"{what} {_printable_path(finding)} ({finding.size_bytes:,} bytes): {finding.reason}")


def _printable_path(finding: Leftover) -> str:
    """A path without what a terminal would take for a command."""
    return "".join(c if c.isprintable() else "?" for c in str(finding.path.path))
