"""Faults of the limiter's own, and of the ledger, at a run: no answer and no row is lost by them."""

from pathlib import Path
from typing import Any

import pytest

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.throttle.bucket import Bucket
from pxt_assets.throttle.ledger.leased_bucket import LeasedBucket
from tests.runs import ask, metadata
from tests.scripted_server import Asked, Reply, ScriptedServer, chat
from tests.tickets import Tickets

LIMITS = {
    "x-ratelimit-limit-requests": "60000",
    "x-ratelimit-remaining-requests": "59990",
    "x-ratelimit-reset-requests": "10ms",
}
ROWS = {number: f"ticket {number}" for number in range(30)}


def reply(asked: Asked) -> Reply:
    return Reply(chat(asked, "fine").body, 200, LIMITS)


@pytest.mark.parametrize(
    ("owner", "ledger"), [(Bucket, "memory"), (LeasedBucket, "sqlite:///{folder}/ledger.sqlite")]
)
@pytest.mark.parametrize("method", ["wait", "take", "observe"])
def test_a_fault_costs_no_row_and_is_in_the_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, ledger: str, method: str
) -> None:
    """Each row is asked for once, and the page says what failed and what went on in its place."""
    right, calls = getattr(owner, method), [0]

    def faulty(self: object, *arguments: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] > 3:
            raise ZeroDivisionError
        return right(self, *arguments, **more)

    monkeypatch.setattr(owner, method, faulty)
    with ScriptedServer(reply).running() as server:
        openai = OpenAIResource(
            base_url=server.base_url, api_key="sk-test", ledger=ledger.format(folder=tmp_path)
        )
        tickets = Tickets(ColumnStore(base_path=str(tmp_path / "store")), openai)
        result = tickets.run(ROWS, lambda table: ask(table.body))
    assert len(server.asked) == len(ROWS)
    told = metadata(result, "tickets/c")
    assert told["pxt/rows_computed"] == len(ROWS)
    assert told["pxt/rows_failed"] == 0
    assert str(told["pxt/limiter_fault"]).startswith("ZeroDivisionError in test_limiter_faults.py")


def test_a_run_without_a_fault_says_nothing_of_one(tmp_path: Path) -> None:
    """The entry is there when it is needed."""
    with ScriptedServer(reply).running() as server:
        openai = OpenAIResource(base_url=server.base_url, api_key="sk-test", ledger="memory")
        tickets = Tickets(ColumnStore(base_path=str(tmp_path / "store")), openai)
        told = metadata(tickets.run(ROWS, lambda table: ask(table.body)), "tickets/c")
    assert "pxt/limiter_fault" not in told
