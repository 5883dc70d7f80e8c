"""`pxt-assets batches`: what is on its way for the columns of a code location, and how it is cancelled."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.cli.commands import main
from tests.assets.later_tickets import LaterTickets, observed

DEFINITIONS = """
import dagster as dg

from pxt_assets import ColumnStore, OpenAIResource, Table
from pxt_assets.functions import chat_completions

partitions_def = dg.StaticPartitionsDefinition({partitions!r}) if {partitions!r} else None
table = Table("tickets", key="id", partitions_def=partitions_def, resource_keys={{"openai": "openai_eu"}})
table.add_computed_column(c=chat_completions([{{"role": "user", "content": table.body}}], model="gpt-4o-mini"),
    within={within})
table.add_computed_column(a=table.c.choices[0].message.content)
defs = dg.Definitions(
    table.assets,
    resources={{
        "openai_eu": OpenAIResource(base_url={base_url!r}, api_key="sk-4711-of-mine-alone"),
        "columns": ColumnStore(base_path={base_path!r}),
    }},
)
"""


@pytest.fixture
def tickets(
    store: ColumnStore, simulated: OpenAIResource, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LaterTickets]:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with dg.DagsterInstance.ephemeral() as instance:
        keyed = OpenAIResource(base_url=simulated.base_url, api_key="sk-4711-of-mine-alone")
        yield LaterTickets(store, keyed, {"1": "late", "2": "broken"}, instance=instance)


def batches(
    tickets: LaterTickets,
    tmp_path: Path,
    *arguments: str,
    base_url: str | None = None,
    within: str = '"24h"',
    partitions: Sequence[str] = (),
) -> Result:
    """What the command does for a code location whose columns these are."""
    file = tmp_path / "definitions.py"
    url = base_url or tickets.openai.base_url
    file.write_text(
        DEFINITIONS.format(
            base_url=url, base_path=tickets.store.base_path, within=within, partitions=list(partitions)
        )
    )
    return CliRunner().invoke(main, ["batches", "-f", str(file), *arguments])


@pytest.mark.parametrize(
    ("within", "told"),
    [
        ('"24h"', "Columns whose answers may come later: tickets/c (24h)."),
        ("None", "Of 1 column that asks the API none has `within`."),
    ],
)
def test_nothing_is_on_its_way(tickets: LaterTickets, tmp_path: Path, within: str, told: str) -> None:
    """It says of which columns something might be, so that nobody takes them for wrongly declared."""
    said = batches(tickets, tmp_path, within=within)
    assert said.exit_code == 0, said.output
    assert said.output == f"Nothing is on its way. {told}\n"


def test_it_lists_each_batch_and_the_sum(tickets: LaterTickets, tmp_path: Path) -> None:
    """By column and name, with state, counts, age and expected cost."""
    (said,) = observed(tickets.run()).values()
    name = said["pxt/batches"].records[0].data["name"]
    tickets.let_time_pass(3_600)
    head, line, total = batches(tickets, tmp_path).output.splitlines()
    assert head.split() == ["column", "name", "state", "answers", "failed", "age", "expected", "id"]
    assert line.split()[:8] == ["tickets/c", name, "completed", "2", "of", "2", "0", "60"]
    assert total.startswith("1 batch: 2 of 2 answers there, expected $0.000")


@pytest.mark.parametrize(("days", "told"), [(2, "d0, d1"), (3, "d0 ... d2 (3)")])
def test_it_names_the_partitions_that_wait_for_a_batch(
    tickets: LaterTickets, store: ColumnStore, tmp_path: Path, days: int, told: str
) -> None:
    """The first and the last of many."""
    names = [f"d{i}" for i in range(days)]
    rows = {name: {"1": f"late on {name}"} for name in names}
    days_def = dg.StaticPartitionsDefinition(names)
    parted = LaterTickets(store, tickets.openai, rows, instance=tickets.instance, partitions_def=days_def)
    parted.run(span=(names[0], names[-1]))
    head, line, _ = batches(parted, tmp_path, partitions=names).output.splitlines()
    assert head.split()[:3] == ["column", "partitions", "name"]
    assert line[head.index("partitions") : head.index("name")].rstrip() == told


def test_a_batch_is_cancelled_by_its_name(tickets: LaterTickets, tmp_path: Path) -> None:
    """Or all are. What it had finished is collected by the next run."""
    (said,) = observed(tickets.run()).values()
    name = said["pxt/batches"].records[0].data["name"]
    done = batches(tickets, tmp_path, "--cancel", name)
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"tickets/c {name}: cancel")
    _, line, _ = batches(tickets, tmp_path).output.splitlines()
    assert line.split()[2].startswith("cancel"), "though it is not yet time to ask about it again"
    tickets.let_time_pass(3_600)
    again = batches(tickets, tmp_path, "--cancel", "all").output
    assert "has ended already; the next run of tickets/c collects it" in again


def test_an_unknown_name_is_told_with_those_there_are(tickets: LaterTickets, tmp_path: Path) -> None:
    (said,) = observed(tickets.run()).values()
    name = said["pxt/batches"].records[0].data["name"]
    done = batches(tickets, tmp_path, "--cancel", "evening")
    assert done.exit_code == 1
    assert f"no batch is named 'evening'; there are: {name}" in done.output


def test_a_server_out_of_reach_leaves_what_is_on_record(
    tickets: LaterTickets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command says so, and fails; the key is not shown."""
    monkeypatch.setattr("pxt_assets.assets.columns.coming_answers._PATIENCE_SECONDS", 0.0)
    tickets.run()
    tickets.let_time_pass(3_600)
    done = batches(tickets, tmp_path, base_url="http://127.0.0.1:9/v1")
    assert done.exit_code == 1
    assert "0 of 2 answers there" in done.output
    assert "4711" not in done.output


@pytest.mark.parametrize("arguments", [["-m", "a", "-f", "b"]])
def test_one_place_is_named(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    done = CliRunner().invoke(main, ["batches", "-m", "a", "-f", str(tmp_path / "b")])
    assert done.exit_code == 2
    assert "give one of them" in done.output


def test_a_variable_that_is_not_set_is_told_in_a_line(
    tickets: LaterTickets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a shell without the deployment's environment."""
    monkeypatch.delenv("PXT_TEST_NO_KEY", raising=False)
    file = tmp_path / "definitions.py"
    text = DEFINITIONS.format(
        base_url=tickets.openai.base_url, base_path=tickets.store.base_path, within=None, partitions=[]
    )
    file.write_text(text.replace('"sk-4711-of-mine-alone"', 'dg.EnvVar("PXT_TEST_NO_KEY")'))
    done = CliRunner().invoke(main, ["batches", "-f", str(file)])
    assert done.exit_code == 1
    assert "PXT_TEST_NO_KEY" in done.output
    assert len(done.output.splitlines()) == 1
