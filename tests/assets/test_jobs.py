"""Columns under Dagster's executors and pools, and what their resources do where nothing is computed."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.plan import instance_concurrency_context
from dagster._core.execution.plan.active import ActiveExecution

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions
from pxt_assets.simulator import SimulatorServer
from pxt_assets.throttle.ledger import open_ledger
from tests import multiprocess_job
from tests.held import held
from tests.multiprocess_job import POOL
from tests.runs import ask, materialize, rows_asset, values
from tests.scripted_server import ScriptedServer

ROWS = {"id": [1, 2], "body": ["a", "b"]}
MESSAGES = [{"role": "user", "content": "x"}]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Dagster instance keeps its files."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that knows pools, of which one has a single slot."""
    with dg.DagsterInstance.local_temp(str(home)) as made:
        made.event_log_storage.set_concurrency_slots(POOL, 1)
        yield made


def pools(table: Table) -> list[str | None]:
    """The pools of a table's assets."""
    return [asset.op.pool for asset in table.assets]


def test_columns_are_in_the_pool_of_their_table_or_their_own(tmp_path: Path) -> None:
    """A pool is given for a table or for one column, in whichever way these are made; by default there is none."""
    table = Table("tickets")
    table.add_computed_column(a=ask(table.body))
    table.add_computed_column(b=ask(table.body), pool="slow")
    chat_completions.asset(name="c", table=table, messages=MESSAGES, model="m", pool="slow")
    assert pools(table) == [None, "slow", "slow"]
    pooled = Table("tickets", pool="openai")
    pooled.add_computed_column(a=ask(pooled.body))
    pooled.add_computed_column(b=ask(pooled.body), pool="slow")
    assert pools(pooled) == ["openai", "slow"]
    files = Table.from_files("files", str(tmp_path / "*.csv"), key="id", pool="openai")
    files.add_computed_column(a=ask(files.body))
    assert pools(files) == [None, "openai"]


def test_a_column_waits_for_its_pool(
    instance: dg.DagsterInstance,
    store: ColumnStore,
    openai: OpenAIResource,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A column of a pool that another run uses up asks for nothing until that run has ended, and frees it in turn."""
    upstream = rows_asset(ROWS)
    table = Table(upstream, key="id", pool=POOL)
    table.add_computed_column(c=ask(table.body))
    slots = instance.event_log_storage
    assert slots.claim_concurrency_slot(POOL, "another run", "its step").is_claimed
    waited: list[int] = []

    def wait(_: ActiveExecution) -> None:
        waited.append(len(server.asked))
        assert slots.get_concurrency_info(POOL).pending_step_count == 1
        slots.free_concurrency_slots_for_run("another run")

    monkeypatch.setattr(instance_concurrency_context, "INITIAL_INTERVAL_VALUE", 0)
    monkeypatch.setattr(ActiveExecution, "sleep_til_ready", wait)
    materialize([upstream, *table.assets], store, openai, instance=instance)
    assert waited == [0]
    assert server.texts == ["a", "b"]
    assert slots.get_concurrency_info(POOL).active_slot_count == 0


def test_columns_in_processes_of_their_own(
    instance: dg.DagsterInstance,
    home: Path,
    store: ColumnStore,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The multiprocess executor runs columns of a pool of one after another; they share a ledger, and none is left."""
    monkeypatch.setenv("PXT_TEST_STORE", store.base_path)
    monkeypatch.setenv("PXT_TEST_SERVER", server.base_url)
    materialize([multiprocess_job.tickets], store)
    before = set(_children())
    with dg.execute_job(dg.reconstructable(multiprocess_job.job), instance, raise_on_error=True) as result:
        assert result.success
        times: dict[Any, list[float]] = {"tickets__c": [], "tickets__d": []}
        for record in instance.all_logs(result.run_id):
            event = record.dagster_event
            if (
                event is not None
                and event.step_key in times
                and (event.is_step_start or event.is_step_success)
            ):
                times[event.step_key].append(record.timestamp)
    (_, first_ended), (second_started, _) = sorted(times.values())
    assert first_ended <= second_started
    assert server.texts == ["a", "a", "b", "b"]
    assert values(store, "tickets/c") == values(store, "tickets/d") != []
    (ledger,) = home.rglob("pxt_assets_ledger.sqlite")
    assert [line.group for line in open_ledger(f"sqlite:///{ledger}").pools()].count("gpt-4o-mini") >= 1
    open_ledger(f"sqlite:///{ledger}").close()
    assert set(_children()) <= before


def _children() -> list[str]:
    """The commands of this process's children that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            if lines["PPid"].strip() == str(os.getpid()) and "Z" not in lines["State"]:
                command = status.with_name("cmdline").read_bytes().decode()
                found += [command] if "resource_tracker" not in command else []
        except OSError:
            continue
    return found


def test_the_columns_of_a_run_share_a_resource(store: ColumnStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many columns a process computes in a run, the embedded simulator is started once, and stopped once."""
    calls: list[str] = []
    for name in ("start", "stop"):
        whole = getattr(SimulatorServer, name)
        monkeypatch.setattr(
            SimulatorServer, name, lambda self, name=name, whole=whole: (calls.append(name), whole(self))[1]
        )
    upstream = rows_asset(ROWS)
    table = Table(upstream, key="id")
    table.add_computed_column(c=ask(table.body))
    table.add_computed_column(d=ask(table.c.choices[0].message.content))
    materialize([upstream, *table.assets], store, OpenAIResource.simulated())
    assert calls == ["start", "stop"]


@pytest.mark.parametrize("settings", [{}, {"ledger": "sqlite"}, {"simulator": {}}], ids=str)
def test_setting_up_does_nothing(
    settings: dict[str, Any], instance: dg.DagsterInstance, home: Path, tmp_path: Path
) -> None:
    """Set-up and teardown, which the parent of steps' processes does too, open, start and write nothing at all."""
    if "ledger" in settings:
        settings = {"ledger": f"sqlite:///{tmp_path / 'ledger.sqlite'}"}
    resources = {
        "openai": OpenAIResource(api_key="sk-test", **settings),
        "columns": ColumnStore(base_path=str(tmp_path / "columns")),
    }
    temporary = Path(tempfile.gettempdir())
    before = held(home, tmp_path, temporary)
    with dg.build_resources(resources, instance=instance) as made:
        assert made.openai.max_in_flight == 1_000
        assert held(home, tmp_path, temporary) == before
    assert held(home, tmp_path, temporary) == before
