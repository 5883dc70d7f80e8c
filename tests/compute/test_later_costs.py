"""What a run by batch costs, and what a budget admits of it."""

import pytest

from pxt_assets.functions import chat_completions
from tests.fake_batches import chat_answer
from tests.later_runs import DAY, LaterTickets
from tests.runs import ask


@pytest.fixture
def tickets(tmp_path):
    return LaterTickets(tmp_path, {None: ["a", "b", "c"]})


def test_a_budget_admits_what_fits_at_half_the_price(tmp_path):
    tickets = LaterTickets(tmp_path, {None: [f"{i:04}" for i in range(100)]})
    tickets.column = lambda table: ask(table.body, max_tokens=1_000)
    tickets.batches.at_once = True
    run = tickets.run(budget=0.003)
    first = next(iter(tickets.batches.batches.values())).total
    assert 5 <= first <= 10  # of $0.0003 each at most
    assert run.end.error is None
    assert run.outcomes[None].computed == 100
    assert sum("have no room in max_cost_usd=0.003: $0.00 are spent" in line for line in run.log) == 1


def test_a_budget_without_room_for_a_row_fails_and_says_what_to_do(tickets):
    run = tickets.run(budget=0.000001)
    assert "have no room in max_cost_usd" in str(run.end.error)
    assert tickets.batches.calls == []


def rows(count, name="row"):
    return [f"{name} {i}" for i in range(count)]


def test_a_trial_tells_what_a_budget_sets_aside(tmp_path):
    """Of answers that nothing limits: without it, a row may be as long as the model can make it."""
    tickets = LaterTickets(tmp_path, {None: rows(100)})
    unknown = tickets.run(budget=0.01, wait=False)
    assert "nothing limits its answer, which may have 16,384 tokens" in str(unknown.end.error)
    assert "Set max_completion_tokens, or run a trial first (limit: 20)" in str(unknown.end.error)
    assert unknown.end.waiting[None].rows_without_budget == 100 - sum(
        batch.total for batch in tickets.batches.batches.values()
    )
    tickets.batches.complete()
    tickets.run(limit=20)
    known = tickets.run(budget=0.01, wait=False)
    assert known.end.error is None
    assert known.end.waiting[None].rows_without_budget == 0


@pytest.mark.parametrize(("code_version", "fits"), [("1", True), ("2", False)])
def test_other_partitions_tell_it_whose_column_is_defined_alike(tmp_path, code_version, fits):
    tickets = LaterTickets(tmp_path, {"mon": rows(20), "tue": rows(100, "more")})
    tickets.run("mon", within=None)
    tickets.code_version = code_version
    assert (tickets.run("tue", wait=False, budget=0.01).end.error is None) == fits


def test_what_a_budget_lacks_is_said_once_and_the_rest_follows(tmp_path):
    """The run that collects is no failure as long as what it has asked for makes room."""
    tickets = LaterTickets(tmp_path, {None: rows(100)})
    assert tickets.run(budget=0.03, wait=False).end.error is not None
    first = sum(batch.total for batch in tickets.batches.batches.values())
    assert 0 < first < 20
    tickets.batches.complete()
    assert tickets.run(budget=0.03, wait=False).end.error is None
    tickets.batches.complete()
    assert tickets.run(budget=0.03, wait=False).outcomes[None].rows == 100


def test_a_run_that_goes_on_says_what_has_no_room_yet(tmp_path):
    tickets = LaterTickets(tmp_path, {None: rows(100)})
    tickets.run(budget=0.03, wait=False)
    again = tickets.run(budget=0.03, wait=False)
    assert again.end.error is None
    assert any("have no room in max_cost_usd=0.03" in line and "makes room" in line for line in again.log)


def test_each_answer_is_counted_by_the_run_that_collects_it(tickets):
    """Also where others of its partition wait."""
    tickets.run(wait=False)
    tickets.batches.complete()
    tickets.rows[None] = ["a", "b", "d"]
    waits = tickets.run(wait=False).end.waiting[None]
    assert (waits.rows, waits.computed) == (1, 2)
    tickets.batches.complete()
    outcome = tickets.run(wait=False).outcomes[None]
    assert (outcome.computed, outcome.reused) == (1, 2)
    assert waits.meter.cost_usd == pytest.approx(2 * outcome.meter.cost_usd)
    assert waits.meter.requests + outcome.meter.requests == 3


def test_the_cost_is_that_of_the_batch(tickets):
    tickets.at(60, tickets.batches.complete)
    by_batch = tickets.run().outcomes[None].meter.cost_usd
    tickets.rows[None] = ["d", "e", "f"]
    now = tickets.run(within=None).outcomes[None].meter.cost_usd
    assert by_batch == pytest.approx(now / 2)


def test_a_paid_answer_that_is_no_object_has_no_known_price(tickets):
    tickets.batches.answer = lambda _: (200, "no json")
    tickets.at(60, tickets.batches.complete)
    run = tickets.run(on_error="ignore")
    assert run.outcomes[None].failed == 3
    assert run.outcomes[None].meter.rows_unpriced == 3


def test_what_is_set_aside_for_later_has_no_room_for_what_is_asked_for_now(tickets):
    """Of ten rows that are overdue and ten new ones, no more is asked for than fits beside what is on its way."""

    def long(line):
        status, said = chat_answer(line)
        return status, {
            **said,
            "usage": {"prompt_tokens": 10, "completion_tokens": 1_000, "total_tokens": 1_010},
        }

    tickets.column = lambda table: ask(table.body, max_tokens=1_000)
    tickets.online.answer = tickets.batches.answer = long
    tickets.rows[None] = [f"old {i}" for i in range(10)]
    tickets.run(wait=False)
    tickets.now += DAY
    tickets.batches.expire()
    tickets.rows[None] += [f"new {i}" for i in range(10)]
    run = tickets.run(wait=False, budget=0.0032)
    assert "The budget of $0.0032 is spent" in str(run.end.error)
    on_their_way = sum(b.total for b in tickets.batches.batches.values() if not b.is_ended)
    assert 0.0003 * on_their_way + 0.0006 * len(tickets.online.asked) <= 0.0032 + 0.0006


def test_what_other_partitions_have_on_its_way_has_its_room_first(tmp_path):
    """Their rows are come to later, in a run over both."""
    tickets = LaterTickets(tmp_path, {"mon": rows(20, "new"), "tue": rows(20, "old")})
    tickets.column = lambda table: ask(table.body, max_tokens=500)
    on_its_way = tickets.run("tue", wait=False).end.waiting["tue"].expected_cost_usd
    tickets.run("mon", "tue", wait=False, budget=on_its_way + 0.001)
    new = list(tickets.batches.batches.values())[1]
    assert 0 < new.total < 10


def test_rows_that_failed_for_the_mark_of_their_prefix_are_asked_for_without_it(tickets):
    """The mark names no cell, so that the next run finds the same rows."""
    system = {"role": "system", "content": "Answer in one word, as the rules say. " * 300}

    def refused(line):
        if "prompt_cache" in str(line["body"]):
            return 400, {
                "error": {
                    "message": "Unknown parameter: 'prompt_cache_options'.",
                    "type": "invalid_request_error",
                }
            }
        return chat_answer(line)

    tickets.column = lambda table: chat_completions(
        [system, {"role": "user", "content": table.body}], model="gpt-6-luna"
    )
    tickets.batches.at_once = True
    tickets.batches.answer = refused
    run = tickets.run()
    assert 'cache="off"' in str(run.end.failures[None])
    assert tickets.run().outcomes[None].computed == 3


@pytest.mark.parametrize("together", [True, False])
def test_a_request_that_several_partitions_make_costs_once(tmp_path, together):
    tickets = LaterTickets(tmp_path, {"p": ["same", "a"], "q": ["same", "b"]})
    tickets.run(wait=False)
    tickets.batches.complete()
    done = [tickets.run("p", "q")] if together else [tickets.run("p"), tickets.run("q")]
    meters = {key: outcome.meter for run in done for key, outcome in run.outcomes.items()}
    assert {key: meter.requests for key, meter in meters.items()} == {"p": 2, "q": 1}
    assert sum(tickets.batches.paid.values()) == 3
    assert meters["p"].cost_usd == pytest.approx(2 * meters["q"].cost_usd)
    assert meters["q"].usage.input_tokens == 10
    assert [len(tickets.stored(key)) for key in "pq"] == [2, 2]
