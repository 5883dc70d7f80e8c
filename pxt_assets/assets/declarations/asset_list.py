"""Objects that Dagster takes for lists of assets, as it finds them in a module or a `defs` folder."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from pxt_assets.errors import DefinitionError
from pxt_assets.expressions.asset_arguments import called_by_dagster


class AssetList:
    """An object that holds assets. Iterating gives these, and `isinstance` takes it for a list.

    A list is what Dagster looks into when it collects the assets of a module; its methods, whose names may be those of
    columns, such an object has not.
    """

    @property
    def assets(self) -> Sequence[dg.AssetsDefinition]:
        """The assets that it holds."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[dg.AssetsDefinition]:
        return iter(self.assets)

    def __reduce__(self) -> tuple[Any, ...]:  # by itself, pickle would hold it for a list
        return _new, (type(self),), self.__dict__

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """Raises DefinitionError where Dagster wants an asset: a list is none."""
        if called_by_dagster(1, through_abc=False):
            msg = (
                f"{self!r} is a table of assets, no asset; write its assets, as in dg.Definitions(assets=[*tbl]), or one of "
                "them: what add_computed_column returned"
            )
            raise DefinitionError(msg)
        return list


def _new(cls: type[AssetList]) -> AssetList:
    return cls.__new__(cls)
