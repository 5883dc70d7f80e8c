"""A run in a background window: each row is asked for at once, and fetched by its id."""

import json

import pytest

from pxt_assets.compute.run_partitions import PartitionsRun
from pxt_assets.functions import responses
from tests.fake_batches import chat_answer
from tests.later_runs import LaterTickets

WINDOW = {"8h": 28_800.0, "2h": 7_200.0}


class Server:
    """Takes responses for the background, and answers those that a test completes."""

    def __init__(self, tickets: LaterTickets) -> None:
        self.tickets = tickets
        self.bodies: dict[str, dict] = {}
        tickets.column = lambda table: responses(table.body, model="gpt-6-luna")
        tickets.online.answer = self.answer

    def answer(self, line):
        body = line["body"]
        if not body.get("background"):
            return chat_answer(line)
        response_id = f"resp-{len(self.bodies)}"
        self.bodies[response_id] = body
        self.tickets.background.respond(response_id, "queued")
        return 200, {"id": response_id, "object": "response", "status": "queued", "model": body["model"]}

    def complete(self, *texts: str) -> None:
        for response_id, body in self.bodies.items():
            if not texts or body["input"] in texts:
                _, said = chat_answer({"url": "/v1/responses", "body": body})
                self.tickets.background.respond(response_id, "completed", {**said, "id": response_id})

    def fetches(self) -> int:
        return sum(name == "fetch" for name, _ in self.tickets.background.calls)


@pytest.fixture
def tickets(tmp_path):
    return LaterTickets(tmp_path, {None: ["a", "b", "c"]})


@pytest.fixture
def server(tickets):
    return Server(tickets)


def said(tickets):
    return [json.loads(cell)["output_text"] for cell in tickets.stored()]


def test_what_is_made_has_its_room_in_the_budget_before_more_is_asked_for(tickets, server):
    tickets.rows[None] = [f"row {i}" for i in range(40)]
    tickets.run(within="8h", wait=False, budget=0.5)
    posted = len(server.bodies)
    assert 0 < posted < 40
    tickets.run(within="8h", wait=False, budget=0.5)
    assert len(server.bodies) == posted
    server.complete()
    assert tickets.run(within="8h", wait=False, budget=0.5).end.error is None
    assert len(server.bodies) == 40, "what is known by then has room for all"


def test_each_row_is_asked_for_in_the_background_and_fetched(tickets, server):
    tickets.at(3_600, server.complete)
    run = tickets.run(within="8h")
    assert run.end.error is None
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert run.outcomes[None].computed == 3
    (body, *_) = server.bodies.values()
    assert body["background"] is True
    assert body["store"] is True
    assert body["background_options"] == {"completion_window": "8h"}


def test_the_cell_is_the_one_that_is_asked_for_now(tickets, server):
    tickets.at(60, server.complete)
    tickets.run(within="2h")
    run = tickets.run(within=None)
    assert run.outcomes[None].reused == 3
    assert len(tickets.online.asked) == 3


def test_rounds_of_fetching_come_ever_more_rarely_and_at_most_once_a_minute(tickets, server):
    tickets.at(3_600, server.complete)
    tickets.run(within="8h")
    assert tickets.naps[0] == 2.0
    assert max(tickets.naps) == 60.0
    assert len(tickets.naps) < 80


def test_a_round_ends_after_some_that_are_still_made(tickets, server):
    tickets.rows[None] = [f"{i:04}" for i in range(500)]
    tickets.at(300, server.complete)
    tickets.run(within="8h")
    assert server.fetches() < 20 * 40 + 500


def test_no_row_is_looked_at_while_nothing_has_come(tickets, server, monkeypatch):
    passes, compute = [], PartitionsRun.compute
    monkeypatch.setattr(
        PartitionsRun, "compute", lambda run, *given: passes.append(given[0]) or compute(run, *given)
    )
    tickets.at(3_600, server.complete)
    tickets.run(within="8h")
    assert len(said(tickets)) == 3
    assert len(passes) == 3, "one asks, one learns what is made first, one takes what has come"


def test_the_next_run_fetches_what_the_last_one_asked_for(tickets, server):
    run = tickets.run(within="8h", wait=False)
    assert run.end.waiting[None].rows == 3
    assert not tickets.exists()
    server.complete()
    tickets.run(within="8h", wait=False)
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert len(server.bodies) == 3


def test_now_cancels_what_is_made_keeps_what_is_finished_and_asks_for_the_rest(tickets, server):
    tickets.run(within="8h", wait=False)
    server.complete("b")
    tickets.run(within=None)
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert sorted(b["input"] for b in tickets.online.asked[3:]) == ["a", "c"]
    assert sum(name == "cancel" for name, _ in tickets.background.calls) == 2


def test_an_id_that_the_server_does_not_know_is_asked_for_again(tickets, server):
    tickets.run(within="8h", wait=False)
    del tickets.background.responses["resp-0"]
    tickets.at(60, server.complete)
    tickets.run(within="8h")
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert len(server.bodies) == 4


def test_a_response_that_failed_is_the_error_of_its_row_and_tried_again_by_the_next_run(tickets, server):
    tickets.run(within="8h", wait=False)
    server.complete("a", "c")
    failed = {"error": {"code": "server_error", "message": "it broke"}}
    (name,) = [k for k, body in server.bodies.items() if body["input"] == "b"]
    tickets.background.respond(name, "failed", failed)
    run = tickets.run(within="8h", wait=False)
    assert "it broke" in str(run.end.failures[None])
    tickets.at(60, server.complete)
    again = tickets.run(within="8h")
    assert again.end.error is None
    assert len(server.bodies) == 4


def test_what_is_not_there_in_its_window_is_cancelled_and_asked_for_now(tickets, server):
    tickets.run(within="2h", wait=False)
    tickets.now += WINDOW["2h"] + 3_600
    run = tickets.run(within="2h")
    assert run.end.error is None
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert len([b for b in tickets.online.asked if not b.get("background")]) == 3


def test_switching_to_a_batch_waits_for_what_is_made_in_the_background(tickets, server):
    tickets.run(within="8h", wait=False)
    tickets.at(60, server.complete)
    tickets.run(within="24h")
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert tickets.batches.calls.count("create") == 0


def test_switching_from_a_batch_to_the_background_waits_for_the_batch(tickets, server):
    tickets.run(within="24h", wait=False)
    tickets.at(60, tickets.batches.complete)
    tickets.run(within="8h")
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert not server.bodies


def test_the_ids_are_gone_once_all_is_stored(tickets, server):
    tickets.at(60, server.complete)
    tickets.run(within="8h")
    assert not list(tickets.base.glob("**/*.background*"))


def test_the_ids_of_rows_that_are_gone_are_kept(tickets, server):
    tickets.run(within="8h", wait=False)
    tickets.rows[None] = ["a", "c"]
    server.complete()
    tickets.run(within="8h", wait=False)
    tickets.rows[None] = ["a", "b", "c"]
    tickets.run(within="8h", wait=False)
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert len(server.bodies) == 3


def test_a_server_that_makes_it_at_once_is_taken_at_its_word(tickets, server):
    tickets.online.answer = chat_answer
    run = tickets.run(within="8h")
    assert run.outcomes[None].computed == 3
    assert server.fetches() == 0


def test_a_key_that_knows_none_of_the_responses_stops_the_run(tickets, server):
    tickets.run(within="8h", wait=False)
    tickets.background.responses.clear()
    run = tickets.run(within="8h")
    assert "is the key of another project?" in str(run.end.error)
    assert len(server.bodies) == 3


def test_a_refresh_waits_for_what_is_made_already(tickets, server):
    tickets.run(within="8h", wait=False)
    tickets.at(60, server.complete)
    tickets.run(within="8h", refresh=True)
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert len(server.bodies) == 3


def test_a_plain_run_has_nothing_to_do_with_answers_that_come_later(tickets, server, monkeypatch):
    monkeypatch.setattr(tickets, "batch_api", None)
    assert tickets.run(within=None).end.error is None
    assert said(tickets) == ["re: a", "re: b", "re: c"]


def test_a_plain_run_ends_what_another_partition_has_in_the_background(tmp_path):
    tickets = LaterTickets(tmp_path, {"p": ["a"], "q": ["b"]})
    server = Server(tickets)
    tickets.run("p", "q", within="8h", wait=False)
    assert tickets.run("q", within=None).end.error is None
    assert [body.get("background", False) for body in tickets.online.asked] == [True, True, False]
    server.complete("a")
    tickets.run("p", within=None)
    assert len(tickets.online.asked) == 3
