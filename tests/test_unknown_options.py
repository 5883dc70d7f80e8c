"""Options that nobody has are told by the package, with those there are, and without values that may be secret."""

from typing import Any

import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.errors import DefinitionError, option_meant
from tests.runs import ask

SECRET = "sk-secret"


@pytest.mark.parametrize(
    ("given", "meant"),
    [("interval", "minimum_interval_seconds"), ("nme", "name"), ("default_state", "default_status")],
)
def test_a_collector_says_which_options_it_has(given: str, meant: str) -> None:
    table = Table("tickets", key="id", within="24h")
    table.add_computed_column(c=ask(table.body))
    options: dict[str, Any] = {given: 5}
    with pytest.raises(
        DefinitionError,
        match=rf"^Table\('tickets'\)\.collector: got {given}, which is no option; allowed: name, .*did you mean '{meant}'",
    ):
        table.collector(**options)
    assert table.collector(name="x").name == "x"


def test_a_schedule_too() -> None:
    options: dict[str, Any] = {"timezone": "UTC"}
    with pytest.raises(
        DefinitionError, match=r"\.schedule: got timezone, .*did you mean 'execution_timezone'"
    ):
        Table("tickets").schedule("0 6 * * *", **options)


def test_a_simulated_resource_says_which_options_it_has() -> None:
    options: dict[str, Any] = {"batch_second": SECRET}
    with pytest.raises(
        ValueError, match=r"^OpenAIResource.simulated: got batch_second, .*did you mean 'batch_seconds'"
    ) as e:
        OpenAIResource.simulated(**options)
    assert SECRET not in str(e.value)
    assert OpenAIResource.simulated(batch_seconds=5).simulator == {"batch_seconds": 5}


def test_an_option_of_a_simulator_is_told_where_it_belongs() -> None:
    options: dict[str, Any] = {"batch_seconds": 5}
    with pytest.raises(
        ValueError, match=r"got batch_seconds, .*an option of OpenAIResource\.simulated\(\.\.\.\)"
    ):
        OpenAIResource(**options)


@pytest.mark.parametrize(
    ("resource", "given", "meant"),
    [(OpenAIResource, "api_kye", "api_key"), (ColumnStore, "base", "base_path")],
)
def test_a_resource_says_which_fields_it_has(resource: Any, given: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"{resource.__name__}: got {given}, .*did you mean '{meant}'") as e:
        resource(**{given: SECRET})
    assert SECRET not in str(e.value)


def test_a_part_of_two_names_means_neither() -> None:
    assert option_meant("rate", ["fault_rate_of_x", "expiry_rate_of_x"]) == ""
