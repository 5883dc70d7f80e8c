"""A ledger that is not reached, at a run: its log and its page say so, where users look."""

import logging
from pathlib import Path

import dagster as dg
import pytest

from pxt_assets import ColumnStore, OpenAIResource
from tests.runs import ask, metadata
from tests.scripted_server import ScriptedServer, chat
from tests.tickets import Tickets

ROWS = {number: f"ticket {number}" for number in range(3)}
SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("ledger", "address"),
    [
        (f"postgresql://someone:{SECRET}@127.0.0.1:9/limits", "postgresql://127.0.0.1:9/limits"),
        ("sqlite:////dev/null/ledger.sqlite", "sqlite:////dev/null/ledger.sqlite"),
        ("sqlite:///{folder}/ledger.sqlite", None),
        ("memory", None),
    ],
)
def test_a_ledger_that_is_not_reached_is_in_the_runs_log_and_on_the_page(
    tmp_path: Path, ledger: str, address: str | None
) -> None:
    """One warning and an entry, with the address and the reason, and no secret; nothing where it is reached."""
    with (
        ScriptedServer(lambda asked: chat(asked, "fine")).running() as server,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        openai = OpenAIResource(
            base_url=server.base_url, api_key="sk-test", ledger=ledger.format(folder=tmp_path)
        )
        tickets = Tickets(ColumnStore(base_path=str(tmp_path / "store")), openai)
        for table in ({0: "one"}, ROWS):  # the second one begins without the ledger
            result = tickets.run(table, lambda table: ask(table.body), instance=instance)
            said = metadata(result, "tickets/c").get("pxt/ledger")
            warnings = [
                entry.user_message
                for entry in instance.all_logs(result.run_id)
                if entry.level == logging.WARNING and "not reached" in entry.user_message
            ]
            if address is None:
                assert (said, warnings) == (None, [])
                continue
            assert str(said).startswith(f"not reached for some time: the ledger at {address} (")
            (warning,) = warnings
            assert warning.startswith(f"not reached: the ledger at {address} (")
            assert SECRET not in f"{said} {warning}"
