"""Runs of one column on hosts whose clocks are a minute apart, or an hour: nothing is paid for twice, nothing is lost."""

from pathlib import Path

import pytest

from tests.later_runs import LaterTickets

APART = (-3_600.0, -200.0, 200.0, 3_600.0)
"""By how many seconds the clock of the second host differs from that of the first."""


@pytest.fixture(params=APART, ids=lambda apart: f"{apart:+g} s")
def tickets(request: pytest.FixtureRequest, tmp_path: Path) -> "Hosts":
    return Hosts(tmp_path, request.param)


class Hosts(LaterTickets):
    """The column, which two hosts materialize by turns."""

    def __init__(self, folder: Path, apart: float) -> None:
        super().__init__(folder, {None: ["a", "b", "c"]})
        self.apart = apart
        self.is_second = False

    def other_host(self) -> None:
        """Goes on at the other host, whose clock shows another time."""
        self.now += -self.apart if self.is_second else self.apart
        self.is_second = not self.is_second

    @property
    def created(self) -> list[int]:
        """How many requests each batch had."""
        return [batch.total for batch in self.batches.batches.values()]


def test_what_one_host_submitted_another_one_collects(tickets: Hosts) -> None:
    """Once, whatever their clocks say."""
    tickets.run(wait=False)
    tickets.other_host()
    tickets.run(wait=False)
    tickets.batches.complete()
    tickets.other_host()
    assert tickets.run().outcomes[None].computed == 3
    assert tickets.created == [3]


@pytest.mark.parametrize("collects", ["the first", "the second"])
def test_a_refresh_that_one_host_began_is_paid_for_once(tickets: Hosts, collects: str) -> None:
    """Whoever keeps the answers that were asked for because of it."""
    tickets.run(within=None)
    tickets.run(refresh=True, wait=False)
    tickets.other_host()
    tickets.run(wait=False)
    tickets.batches.complete()
    if collects == "the first":
        tickets.other_host()
    assert tickets.run(wait=False).outcomes[None].computed == 3
    assert tickets.created == [3]
    tickets.other_host()
    assert tickets.run(wait=False).outcomes[None].reused == 3


def test_a_refresh_takes_no_answer_that_another_host_kept_before(tickets: Hosts) -> None:
    """Not even one that was kept, by that host's clock, after the refresh began."""
    tickets.run(wait=False)
    tickets.rows[None] = ["a", "c"]
    tickets.batches.complete()
    tickets.run(wait=False)
    tickets.rows[None] = ["a", "b", "c"]
    tickets.other_host()
    tickets.run(refresh=True, wait=False)
    assert tickets.created == [3, 3]


def test_answers_at_once_are_reused_by_the_other_host(tickets: Hosts) -> None:
    """A trial's, which are in the journal alone, too."""
    tickets.run(within=None, limit=2)
    tickets.other_host()
    assert tickets.run(within=None).outcomes[None].computed == 1
    assert len(tickets.online.asked) == 3


def test_a_refresh_at_once_that_was_broken_off_goes_on_at_the_other_host(tickets: Hosts) -> None:
    """What it asked for already is not asked for again, and what is older is."""
    answered = tickets.online.answer
    tickets.run(within=None)
    tickets.online.answer = lambda line: (
        (400, {"error": {"message": "no", "type": "invalid_request_error"}})
        if line["body"]["messages"][-1]["content"] == "c"
        else answered(line)
    )
    tickets.run(within=None, refresh=True)
    tickets.online.asked.clear()
    tickets.online.answer = answered
    tickets.other_host()
    tickets.run(within=None, refresh=True)
    assert tickets.online.texts == ["c"]
