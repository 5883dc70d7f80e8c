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


def test_a_budget_without_room_for_a_row_fails_and_says_what_to_do(tickets):
    run = tickets.run(budget=0.000001)
    assert "have no room in max_cost_usd" in str(run.end.error)
    assert tickets.batches.calls == []


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
