"""Columns that are given to Dagster in place of assets: each of its functions says what to write."""

import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any

import dagster as dg
import pytest

from pxt_assets import Table
from pxt_assets.errors import DefinitionError
from tests.runs import ask


def _asset(**options: Any) -> Any:
    @dg.asset(**options)
    def below(x: Any = None) -> None: ...

    return below


def _check(asset: Any) -> Any:
    @dg.asset_check(asset=asset)
    def is_fine() -> dg.AssetCheckResult: ...

    return is_fine


GIVEN: dict[str, Callable[[Any], object]] = {
    "deps": lambda column: _asset(deps=[column]),
    "AssetDep": dg.AssetDep,
    "AssetIn": dg.AssetIn,
    "AssetIn by name": lambda column: dg.AssetIn(key=column),
    "ins": lambda column: _asset(ins={"x": column}),
    "AssetSpec": lambda column: dg.AssetSpec("x", deps=[column]),
    "AssetSelection.assets": dg.AssetSelection.assets,
    "a difference of selections": lambda column: dg.AssetSelection.all() - column,
    "define_asset_job": lambda column: dg.define_asset_job("job", selection=[column]),
    "materialize": lambda column: dg.materialize([_asset()], selection=[column]),
    "asset_check": _check,
    "AssetCheckSpec": lambda column: dg.AssetCheckSpec("is_fine", asset=column),
    "freshness checks": lambda column: dg.build_last_update_freshness_checks(
        assets=[column], lower_bound_delta=timedelta(days=1)
    ),
    "schema checks": lambda column: dg.build_column_schema_change_checks(assets=[column]),
    "ScheduleDefinition": lambda column: dg.ScheduleDefinition(
        name="daily", target=[column], cron_schedule="@daily"
    ),
    "AutomationConditionSensorDefinition": lambda column: dg.AutomationConditionSensorDefinition(
        "sensor", target=[column]
    ),
    "asset_sensor": lambda column: dg.asset_sensor(asset_key=column, job_name="job")(lambda: None),
    "multi_asset_sensor": lambda column: dg.multi_asset_sensor(monitored_assets=[column])(lambda: None),
    "MaterializeResult": lambda column: dg.MaterializeResult(asset_key=column),
    "load_asset_value": lambda column: dg.Definitions(assets=[dg.AssetSpec("a")]).load_asset_value(column),
    "Definitions": lambda column: dg.Definitions(assets=[column]),
}


@pytest.fixture
def tbl() -> Table:
    table = Table("tickets", key="id")
    table.add_computed_column(response=ask(table.body))
    return table


@pytest.mark.parametrize("give", GIVEN.values(), ids=GIVEN)
def test_a_column_given_as_an_asset_says_what_to_write(give: Callable[[Any], object], tbl: Table) -> None:
    """The key of the asset that holds it."""
    told = r"tickets\.response is a column .* write dg\.AssetKey\(\['tickets', 'response'\]\)"
    with pytest.raises(DefinitionError, match=told):
        give(tbl.response)


@pytest.mark.parametrize("name", ["deps", "AssetSelection.assets", "Definitions", "materialize"])
def test_a_table_given_as_an_asset_says_what_to_write(name: str, tbl: Table) -> None:
    """Its assets."""
    with pytest.raises(DefinitionError, match=r"Table\('tickets'\) is a table of assets.*\*tbl"):
        GIVEN[name](tbl)


def test_an_upstream_column_is_held_by_the_upstream_asset(tbl: Table) -> None:
    """Which has the table's key."""
    with pytest.raises(DefinitionError, match=r"write dg\.AssetKey\(\['tickets'\]\)"):
        dg.AssetDep(tbl.body)  # type: ignore[arg-type]


def test_a_path_is_no_asset_either(tbl: Table) -> None:
    """What is given is named, and the asset that it is a part of."""
    told = (
        r"tickets\.response\.choices\[0\] is .* no asset; .* write dg\.AssetKey\(\['tickets', 'response'\]\)"
    )
    with pytest.raises(DefinitionError, match=told):
        dg.AssetDep(tbl.response.choices[0])  # type: ignore[arg-type]


def test_columns_left_in_a_module_are_no_concern_of_its_loader(tbl: Table) -> None:
    """Dagster looks at whatever a module holds."""
    module: Any = ModuleType("assets")
    module.tbl, module.body, module.path = tbl, tbl.body, tbl.response.choices
    assert [one.key.path for one in dg.load_assets_from_modules([module])] == [["tickets", "response"]]


def test_elsewhere_a_column_has_the_type_that_it_has(tbl: Table) -> None:
    """It is copied and pickled as ever."""
    body = Table("tickets").body
    assert isinstance(body, body.__class__)
    assert repr(copy.deepcopy(body)) == repr(pickle.loads(pickle.dumps(body))) == "tickets.body"
    assert repr(pickle.loads(pickle.dumps(Table("tickets")))) == "Table('tickets')"


def test_a_table_is_a_list_to_no_one_but_dagster(tbl: Table) -> None:
    """Code that treats lists alike, such as `dataclasses.asdict` and printers, takes it for what it is."""
    assert isinstance(tbl, Table)
    assert not isinstance(tbl, list)


def test_a_column_is_copied_with_what_holds_it(tbl: Table) -> None:
    """As `dataclasses.asdict` and pydantic do; it never changes, and its assets cannot be copied."""
    held = {"column": tbl.response.choices[0]}
    assert repr(copy.deepcopy(held)) == repr(held)
