"""A run by batch that was killed: the next one goes on where it was, and nothing is paid twice."""

import asyncio
import json
from unittest import mock

import pytest

from pxt_assets.compute.claims.claim import hold_claim
from pxt_assets.compute.deferred.deferred_column import DeferredColumn
from pxt_assets.storage.layout import batches_folder
from pxt_assets.storage.parquet import ParquetFile
from tests.fake_batches import Died
from tests.later_runs import LaterTickets

STEPS = [
    "before upload",
    "after upload",
    "before create",
    "after create",
    "before retrieve",
    "before lines",
    "before delete_file",
]


@pytest.fixture
def tickets(tmp_path):
    tickets = LaterTickets(tmp_path, {"p": ["a", "b"], "q": ["c", "d", "a"]})
    tickets.batches.at_once = True
    return tickets


def said(tickets):
    return [
        [json.loads(cell)["choices"][0]["message"]["content"] for cell in tickets.stored(key)]
        for key in ("p", "q")
    ]


def killed(tickets, **options):
    with pytest.raises(Died):
        tickets.run(**options)


@pytest.mark.parametrize("step", STEPS)
def test_a_run_goes_on_after_a_kill(tickets, step):
    """Equal rows of two partitions are one line."""
    tickets.batches.die.add(step)
    killed(tickets)
    run = tickets.run()
    assert run.end.error is None
    assert said(tickets) == [["re: a", "re: b"], ["re: c", "re: d", "re: a"]]
    assert max(tickets.batches.paid.values()) == 1
    assert tickets.online.asked == []


@pytest.mark.parametrize("lines", [0, 1, 3])
def test_a_file_that_was_half_read_is_read_again(tickets, lines):
    tickets.batches.cut_after = lines
    killed(tickets)
    tickets.run()
    assert said(tickets) == [["re: a", "re: b"], ["re: c", "re: d", "re: a"]]
    assert max(tickets.batches.paid.values()) == 1


@pytest.mark.parametrize("step", ["submit", "settle", "poll"])
@pytest.mark.parametrize("call", [0, 1])
def test_a_run_goes_on_after_a_kill_between_its_own_steps(tickets, step, call):
    done, calls = getattr(DeferredColumn, step), [0]

    def dying(self, *given, **named):
        calls[0] += 1
        if calls[0] > call:
            raise Died(step)
        return done(self, *given, **named)

    with mock.patch.object(DeferredColumn, step, dying):
        killed(tickets)
    tickets.run()
    assert said(tickets) == [["re: a", "re: b"], ["re: c", "re: d", "re: a"]]
    assert max(tickets.batches.paid.values()) == 1


def test_a_run_that_is_killed_while_it_cancels_goes_on(tickets):
    tickets.batches.at_once = False
    tickets.run(wait=False)
    tickets.batches.die.add("after cancel")
    killed(tickets, within=None)
    tickets.at(10, lambda: tickets.batches.finish_cancel(after=2))
    tickets.run(within=None)
    assert said(tickets) == [["re: a", "re: b"], ["re: c", "re: d", "re: a"]]
    assert sum(tickets.batches.paid.values()) == 2


def test_another_run_over_the_column_pays_for_nothing(tickets):
    """It begins while the first one waits, and ends before."""
    tickets.batches.at_once = False
    others = []

    def other():
        import threading

        def run():
            tickets.batches.complete()
            others.append(tickets.run(wait=False))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    tickets.at(600, other)
    run = tickets.run()
    assert run.end.error is None
    assert others[0].end.error is None
    assert said(tickets) == [["re: a", "re: b"], ["re: c", "re: d", "re: a"]]
    assert max(tickets.batches.paid.values()) == 1
    assert tickets.batches.calls.count("create") == 1


def test_who_has_a_columns_batches_in_hand_for_a_day_is_named(tickets):
    """It may be a run of other partitions."""
    file = ParquetFile(batches_folder(tickets.file("p")) / "submission.parquet")

    async def wait():
        async with hold_claim(file, "run-of-q"):
            return await tickets._run(("p",), "24h", False, None, None, {})

    error = str(asyncio.run(wait()).end.error)
    assert error.startswith("tickets/c: the run run-of-q (process")
    assert "has had the batches of this column in hand for a day" in error


def test_one_prompt_of_a_thousand_that_changed_is_submitted_alone(tmp_path):
    tickets = LaterTickets(tmp_path, {None: [f"{i:04}" for i in range(1_000)]})
    tickets.batches.at_once = True
    tickets.run()
    tickets.rows[None][500] = "changed"
    tickets.run()
    assert [batch.total for batch in tickets.batches.batches.values()] == [1_000, 1]
