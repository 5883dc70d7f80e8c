"""Objects that Dagster takes for lists of assets, as it finds them in a module or a `defs` folder."""

from collections.abc import Iterator, Sequence

import dagster as dg

from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.asset_arguments import called_by_dagster, called_by_scan


class AssetList:
    """An object that holds assets. Iterating gives these, and Dagster's scan of a module takes it for a list.

    A list is what that scan looks into; its methods, whose names may be those of columns, such an object has not. To all
    others it is what it is.
    """

    @property
    def assets(self) -> Sequence[dg.AssetsDefinition]:
        """The assets that it holds."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[dg.AssetsDefinition]:
        return iter(self.assets)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """Raises DefinitionError where Dagster wants an asset: a list is none."""
        if called_by_dagster(1, through_abc=False):
            msg = (
                f"{self!r} is a table of assets, no asset; write its assets, *tbl.assets, or one of them: what "
                "add_computed_column returned"
            )
            raise DefinitionError(msg)
        return list if called_by_scan(1) else type(self)
