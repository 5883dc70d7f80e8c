"""The simulators of resources: which share their limits, and what accounts they have."""

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.api.embedded_simulator import leave_simulator, start_simulator
from pxt_assets.api.ledger_url import default_ledger_url
from pxt_assets.simulator import SimulatorOptions
from pxt_assets.throttle.ledger import open_ledger
from tests.api.simulated_process import LIMITED, answers, ask_twenty_times
from tests.crash.forked import Forks
from tests.runs import ask, failure, materialize, rows_asset


def table_assets(model: str = "gpt-4o-mini") -> list[Any]:
    upstream = rows_asset({"id": [1, 2], "body": ["a", "b"]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body, model=model))
    return [upstream, *table.assets]


@pytest.mark.parametrize("shared", [True, False])
def test_resources_of_one_process_use_one_simulator(tmp_path: Path, shared: bool) -> None:
    """Until the last of them leaves it; those of other options have their own."""
    folder = tmp_path if shared else None
    one, same = start_simulator(LIMITED, folder), start_simulator(SimulatorOptions(rpm=30.0), folder)
    other = start_simulator(SimulatorOptions(rpm=31), folder)
    assert one is same
    assert other.account != one.account
    leave_simulator(one)
    assert answers(same, 31) == 30
    assert answers(other, 1) == 1
    leave_simulator(same)
    leave_simulator(other)
    with pytest.raises(RuntimeError, match="not running"):
        same.base_url  # noqa: B018


def test_processes_of_an_instance_share_the_limit(tmp_path: Path, forks: Forks) -> None:
    """Two that ask twenty times each are answered thirty times, and so is no third one."""
    files = [tmp_path / "one", tmp_path / "other"]
    processes = [forks.start(ask_twenty_times, tmp_path, file) for file in files]
    assert [process.wait() for process in processes] == [0, 0], forks.errors
    assert 30 <= sum(int(file.read_text()) for file in files) <= 33  # it refills meanwhile
    third = start_simulator(LIMITED, tmp_path)
    assert answers(third, 20) < 20
    leave_simulator(third)


def test_an_account_is_marked_and_stays_that_of_the_instance(tmp_path: Path) -> None:
    """It tells the options; without an instance each simulator has limits, and so an account, of its own."""
    accounts = []
    for folder in (tmp_path, tmp_path, None, None):
        simulator = start_simulator(LIMITED, folder)
        accounts.append(simulator.account)
        leave_simulator(simulator)
    assert all(account.startswith("simulator ") and account.endswith(" rpm=30") for account in accounts)
    assert accounts[0] == accounts[1]
    assert len(set(accounts)) >= 2
    assert accounts[2] not in accounts[:2]


def test_a_run_of_an_instance_keeps_its_limits_in_the_ledger(tmp_path: Path) -> None:
    """Where `pxt-assets limits` shows them; nothing of them is in that of the API's keys."""
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        store = ColumnStore(base_path=str(tmp_path / "columns"))
        materialize(table_assets(), store, OpenAIResource.simulated(rpm=600), instance=instance)
        url = default_ledger_url(Path(instance.storage_directory()))
        lines = open_ledger(url).pools()
        open_ledger(url).close()
    assert {line.key[0].split()[0] for line in lines} == {"simulator"}
    assert {line.key[0].split()[2] for line in lines} == {"rpm=600"}
    (requests,) = [line for line in lines if line.dimension == "requests"]
    assert (requests.group, requests.limit) == ("gpt-4o-mini", 600)


def test_a_misspelt_model_ends_a_rehearsal_with_what_was_meant(tmp_path: Path) -> None:
    """As it would end the run against the API."""
    store = ColumnStore(base_path=str(tmp_path))
    said = failure(materialize(table_assets("gpt-6-lunna"), store, OpenAIResource.simulated(), fails=True))
    assert "did you mean gpt-6-luna?" in said.description


def test_its_options_are_named_in_the_signature() -> None:
    """All of them, with their defaults, and all fields that make sense with a simulator."""
    parameters = inspect.signature(OpenAIResource.simulated).parameters
    for option in fields(SimulatorOptions):
        assert parameters[option.name].default == option.default
    for name in set(parameters) - {option.name for option in fields(SimulatorOptions)}:
        default = OpenAIResource.model_fields[name].default
        assert parameters[name].default == (default or None)
    of_the_server = {"api_key", "base_url", "organization", "project", "api_version", "simulator"}
    assert set(OpenAIResource.model_fields) - set(parameters) == of_the_server | {"on_other_server"}
    with pytest.raises(TypeError, match="speed"):
        OpenAIResource.simulated(speed=9)  # type: ignore[call-arg]


def test_the_resource_shows_the_options_that_differ_from_the_defaults() -> None:
    """In the launchpad, too; fields of the resource are kept."""
    resource = OpenAIResource.simulated(
        rpm=500, headers=True, models=["llama-3"], max_in_flight=7, ledger="memory"
    )
    assert resource.simulator == {"rpm": 500, "models": ["llama-3"]}
    assert (resource.max_in_flight, resource.ledger) == (7, "memory")
