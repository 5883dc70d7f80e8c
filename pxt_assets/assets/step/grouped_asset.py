"""Assets whose group is their table's name unless anybody says otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Self

import dagster as dg
from dagster._core.definitions.utils import DEFAULT_GROUP_NAME
from dagster._utils.warnings import disable_dagster_warnings


def group_of_table(table: dg.AssetKey) -> str:
    """The name of a table as the name of a group, in which Dagster allows letters, digits and underscores."""
    return "__".join(re.sub(r"[^A-Za-z0-9_]", "_", part) for part in table.path)


def chosen_group(group_name: str | None) -> str | None:
    """A group that was chosen; None for the one that Dagster gives to assets that have none."""
    return None if group_name == DEFAULT_GROUP_NAME else group_name


class GroupedAsset(dg.AssetsDefinition):
    """An asset that is in a default group as long as nobody chose another. To whoever changes it, it is in none then.

    Otherwise `load_assets_from_modules(group_name=...)` would refuse it, as it does assets that have a group.
    """

    def __init__(self, *, default_group: str | None = None, **attributes: Any) -> None:
        if default_group is not None:
            attributes["specs"] = [
                _in_group(spec, default_group) if chosen_group(spec.group_name) is None else spec
                for spec in attributes["specs"]
            ]
        with disable_dagster_warnings():  # that parts of it are beta: there is nothing for a user to decide
            super().__init__(**attributes)
        self.default_group = default_group
        """None where a group was chosen."""

    @classmethod
    def dagster_internal_init(cls, **attributes: Any) -> Self:
        """What Dagster makes copies by, with other keys or attributes."""
        return cls(**attributes)

    def get_attributes_dict(self) -> dict[str, Any]:
        return {**super().get_attributes_dict(), "default_group": self.default_group}

    def map_asset_specs(self, fn: Callable[[dg.AssetSpec], dg.AssetSpec]) -> dg.AssetsDefinition:
        """The asset with each spec changed by `fn`; one that then has no group is in the default one again."""
        return super().map_asset_specs(lambda spec: fn(self._without_default_group(spec)))

    def with_attributes(
        self, *, group_names_by_key: Mapping[dg.AssetKey, str] | None = None, **attributes: Any
    ) -> dg.AssetsDefinition:
        """The asset with other attributes; a group takes the place of the default one."""
        groups = dict(group_names_by_key or {})
        chosen = {
            spec.key: groups.pop(spec.key)
            for spec in self.specs
            if spec.key in groups and spec.group_name == self.default_group
        }
        asset = super().map_asset_specs(lambda spec: _in_group(spec, chosen.get(spec.key, spec.group_name)))
        return dg.AssetsDefinition.with_attributes(asset, group_names_by_key=groups, **attributes)

    def _without_default_group(self, spec: dg.AssetSpec) -> dg.AssetSpec:
        return _in_group(spec, DEFAULT_GROUP_NAME) if spec.group_name == self.default_group else spec


def _in_group(spec: dg.AssetSpec, group: str | None) -> dg.AssetSpec:
    return spec.replace_attributes(group_name=group)
