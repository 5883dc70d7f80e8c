"""The assets of a table, as Dagster has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.resource_requirement import ResourceRequirement
from dagster._utils.warnings import disable_dagster_warnings

from pxt_assets.assets.step.grouped_asset import GroupedAsset
from pxt_assets.assets.step.resource_keys import class_requirements
from pxt_assets.errors import DefinitionError


class TableAsset(GroupedAsset):
    """An asset of a table: it loads its inputs by itself, and refuses resources of another kind when definitions load.

    Dagster gives its step the IO managers of its inputs, but no values: see `UpstreamRows`. To Dagster the inputs are of
    the type Nothing. Called directly, as tests do, it takes values for them, by position or by name.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**_with_input_type(attributes, dg.Nothing))

    def get_resource_requirements(self) -> Iterator[ResourceRequirement]:
        """What Dagster requires, and the kinds of the resources."""
        yield from super().get_resource_requirements()
        (asset,) = self.node_keys_by_output_name.values()  # `keys` is empty where only checks are selected
        yield from class_requirements(self.op, asset.to_user_string())

    def __call__(self, *args: Any, **values: Any) -> object:
        """Computes the asset from `context` and its inputs, and gives the list of what its step yields.

        The first is a MaterializeResult whose `value` is the rows. Raises DefinitionError for inputs that it has not.
        """
        attributes = _with_input_type(dg.AssetsDefinition.get_attributes_dict(self), Any)
        names = [*attributes["node_def"].input_dict]
        context, by_name = args[:1], dict(zip(names, args[1:], strict=False)) | values
        if len(args) - 1 > len(names) or by_name.keys() - {"context"} != {*names}:
            got = ", ".join(sorted(by_name)) if len(args) - 1 <= len(names) else f"{len(args) - 1} inputs"
            msg = f"{self.key.to_user_string()}: got {got or 'no inputs'}, allowed: a table for each of {', '.join(names)}"
            raise DefinitionError(msg)
        with disable_dagster_warnings():
            asset = dg.AssetsDefinition(**attributes)
        called = asset(*context, **by_name)
        return [*called] if isinstance(called, Iterator) else called


def _with_input_type(attributes: dict[str, Any], input_type: Any) -> dict[str, Any]:
    """The attributes of an asset, with inputs of that type.

    An op whose inputs are of it stays the same object: copies of an asset are in one repository by its name.
    """
    op: dg.OpDefinition = attributes["node_def"]
    as_type = dg.In(input_type)
    if all(definition.dagster_type is as_type.dagster_type for definition in op.input_defs):
        return attributes
    inputs = dict.fromkeys(op.input_dict, as_type)
    return attributes | {"node_def": op.with_replaced_properties(op.name, ins=inputs)}
