"""Columns that are given to Dagster in place of their assets: `deps=[tbl.response]`, `AssetIn(tbl.response)`.

Dagster tells an asset, a key and a text apart by `isinstance`, and names only the type of what it refuses. Asked by Dagster,
a column therefore says itself what to write.
"""

import sys

from pxt_assets.errors import DefinitionError

_ASKING = ("dagster._core.definitions.", "dagster_shared.check", "dagster._check")
_SCANNING = ("dagster._core.definitions.module_loaders",)
"""Modules that look at whatever a user's module holds."""


def called_by_dagster(depth: int, *, through_abc: bool = True) -> bool:
    """Whether the caller, `depth` calls above the one that asks, is a function of Dagster's that is given arguments.

    `through_abc` says whether `isinstance` with an abstract class, such as Sequence, counts.
    """
    module = _module(depth + 2)
    if through_abc and module == "abc":
        module = _module(depth + 3)
    return module.startswith(_ASKING) and not module.startswith(_SCANNING)


def called_by_scan(depth: int) -> bool:
    """Whether the caller, `depth` calls above the one that asks, looks for assets among all that a module holds."""
    return _module(depth + 2).startswith(_SCANNING)


def _module(depth: int) -> str:
    return str(sys._getframe(depth).f_globals.get("__name__", ""))


def asset_argument_error(column: object, path: list[str] | None) -> DefinitionError:
    """The error for a column, or another value of each row, that was given in place of an asset."""
    write = "what add_computed_column returned, or the asset's key"
    if path is not None:
        write = f"dg.AssetKey({path!r}), or what add_computed_column returned"
    return DefinitionError(
        f"{column!r} is a column of a table, no asset; as the asset that holds it, write {write}"
    )
