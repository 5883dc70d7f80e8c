"""The group of a table's assets: its table, unless anybody says otherwise."""

from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from pxt_assets import Table, udf
from pxt_assets.functions import embeddings


@udf
def words(text: str) -> int:
    return len(text.split())


@dg.asset(group_name="support")
def grouped() -> None: ...


@dg.asset
def loose() -> None: ...


def table(asset: Any, **options: Any) -> Table:
    made = Table(asset, key="id")
    made.add_computed_column(n=words(made.body), **options)
    return made


def groups(assets: Any) -> set[str]:
    return {spec.group_name for asset in assets for spec in asset.specs}


def loaded(made: Table, **options: Any) -> set[str]:
    """The groups of a table in a module that is loaded with these options."""
    module = ModuleType("assets")
    module.made = made  # type: ignore[attr-defined]
    return groups(dg.load_assets_from_modules([module], **options))


@pytest.mark.parametrize(
    ("asset", "group"),
    [
        ("tickets", "tickets"),
        ("raw/tickets", "raw__tickets"),
        (dg.AssetKey(["a-b", "c"]), "a_b__c"),
        (loose, "loose"),
        (grouped, "support"),
        (dg.AssetSpec("t", group_name="own"), "own"),
    ],
)
def test_a_column_is_in_the_group_of_its_table(asset: Any, group: str) -> None:
    """That is the group that was chosen for the table's asset, or else the table's name in letters that are allowed."""
    assert groups(table(asset)) == {group}


def test_a_chosen_group_is_kept() -> None:
    """Dagster's own default, too."""
    assert groups(table("t", group_name="mine")) == {"mine"}
    assert groups(table("t", group_name="default")) == {"default"}


def test_all_assets_of_a_table_of_files_are_together() -> None:
    """The files, the columns, the index and its vectors."""
    made = Table.from_files("raw/tickets", "data/*.csv", key="id")
    made.add_computed_column(n=words(made.body))
    made.add_embedding_index(made.body, embedding=embeddings.using(model="m"))
    assert len(made.assets) == 4
    assert groups(made) == {"raw__tickets"}


@pytest.mark.parametrize("group", ["mine", "default"])
def test_a_group_that_is_chosen_for_files_is_that_of_their_columns(group: str) -> None:
    """Dagster's own default, too."""
    made = Table.from_files("raw/tickets", "data/*.csv", key="id", group_name=group)
    made.add_computed_column(n=words(made.body))
    assert groups(made) == {group}


def test_a_table_of_files_may_be_loaded_into_a_group() -> None:
    """Its columns too, since nobody chose a group for it."""
    made = Table.from_files("raw/tickets", "data/*.csv", key="id")
    made.add_computed_column(n=words(made.body))
    assert loaded(made, group_name="all") == {"all"}


def test_modules_may_be_loaded_into_a_group() -> None:
    """As those of plain assets without one; those with one are refused alike."""
    assert loaded(table(loose), group_name="all") == {"all"}
    assert loaded(table(loose), group_name="all", key_prefix="eu") == {"all"}
    assert loaded(table(loose)) == {"loose"}
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="conflicts with the group name all"):
        loaded(table(grouped), group_name="all")


def test_to_whoever_changes_a_spec_it_is_in_no_group() -> None:
    """So that a group can be given to those that have none; other changes leave it where it is."""

    def owned(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(owners=["team:search"])

    def grouped_by_need(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(group_name="rest") if spec.group_name == "default" else spec

    assets = [*table(loose), *table(grouped)]
    assert groups(dg.map_asset_specs(owned, assets)) == {"loose", "support"}
    assert groups(dg.map_asset_specs(grouped_by_need, assets)) == {"rest", "support"}
    again = dg.map_asset_specs(grouped_by_need, dg.map_asset_specs(owned, assets))
    assert groups(dg.map_asset_specs(owned, again)) == {"rest", "support"}


def test_a_group_by_key_takes_its_place() -> None:
    """As that of a plain asset; a chosen one is refused."""
    (free,), (bound,) = table(loose).assets, table(grouped).assets
    assert groups([free.with_attributes(group_names_by_key={free.key: "new"})]) == {"new"}
    assert groups([free.with_attributes(tags_by_key={})]) == {"loose"}
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="group_name already exists"):
        bound.with_attributes(group_names_by_key={bound.key: "new"})
