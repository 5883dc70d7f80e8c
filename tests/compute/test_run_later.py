"""A run by batch: one submission over its partitions, and each partition stored once nothing of it waits."""

import json

import pytest

from pxt_assets.compute.partition.column import CellsFailedError
from pxt_assets.storage.layout import batches_folder
from tests.later_runs import DAY, LaterTickets
from tests.runs import ask


@pytest.fixture
def tickets(tmp_path):
    return LaterTickets(tmp_path, {None: ["a", "b", "c"]})


@pytest.fixture
def partitions(tmp_path):
    return LaterTickets(tmp_path, {f"p{i}": [f"{i} {j}" for j in range(5)] for i in range(4)})


def said(tickets, partition=None):
    return [json.loads(cell)["choices"][0]["message"]["content"] for cell in tickets.stored(partition)]


def test_a_run_waits_for_its_batch_and_stores_the_answers(tickets):
    """Nothing is asked for now."""
    tickets.at(3_600, tickets.batches.complete)
    run = tickets.run()
    assert run.end.error is None
    assert not run.end.waiting
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert run.outcomes[None].computed == 3
    assert run.outcomes[None].reused == 0
    assert tickets.online.asked == []
    assert max(tickets.batches.paid.values()) == 1


def test_it_polls_ever_more_rarely_and_at_most_once_a_minute(tickets):
    tickets.at(3_600, tickets.batches.complete)
    tickets.run()
    polls = tickets.batches.calls.count("retrieve")
    assert tickets.naps[0] == pytest.approx(2.0)
    assert 58 <= polls <= 75


def test_all_partitions_of_a_run_are_one_batch(partitions):
    partitions.at(600, partitions.batches.complete)
    run = partitions.run()
    assert partitions.batches.calls.count("create") == 1
    assert sorted(run.outcomes) == ["p0", "p1", "p2", "p3"]
    assert said(partitions, "p3") == [f"re: 3 {j}" for j in range(5)]


def test_a_run_that_does_not_wait_says_what_waits(partitions):
    run = partitions.run(wait=False)
    assert run.end.error is None
    assert run.outcomes == {}
    assert {key: one.rows for key, one in run.end.waiting.items()} == dict.fromkeys(partitions.rows, 5)
    (batch,) = run.end.waiting["p0"].batches
    assert batch.id in partitions.batches.batches
    assert batch.total == 20
    assert not partitions.exists("p0")


def test_the_next_run_collects_what_the_last_one_submitted(partitions):
    partitions.run(wait=False)
    partitions.batches.complete()
    run = partitions.run(wait=False)
    assert sorted(run.outcomes) == ["p0", "p1", "p2", "p3"]
    assert not run.end.waiting
    assert partitions.batches.calls.count("create") == 1


def test_a_run_meanwhile_pays_for_nothing_and_says_what_is_on_its_way(partitions):
    partitions.run(wait=False)
    run = partitions.run("p1", wait=False)
    assert run.end.waiting["p1"].rows == 5
    assert partitions.batches.calls.count("create") == 1


def test_a_changed_row_is_asked_for_alone(tickets):
    tickets.run(wait=False)
    tickets.rows[None] = ["a", "B", "c"]
    tickets.run(wait=False)
    sizes = [batch.total for batch in tickets.batches.batches.values()]
    assert sizes == [3, 1]
    tickets.batches.complete()
    tickets.run(wait=False)
    assert said(tickets) == ["re: a", "re: B", "re: c"]


def test_an_answer_to_a_row_that_is_gone_is_found_when_the_row_comes_back(tickets):
    tickets.run(wait=False)
    tickets.rows[None] = ["a", "c"]
    tickets.batches.complete()
    tickets.run(wait=False)
    assert said(tickets) == ["re: a", "re: c"]
    tickets.rows[None] = ["a", "b", "c"]
    run = tickets.run(wait=False)
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert run.outcomes[None].computed == 1
    assert tickets.batches.calls.count("create") == 1
    assert tickets.online.asked == []


def test_switching_to_now_asks_for_nothing_that_is_answered(tickets):
    tickets.at(60, tickets.batches.complete)
    tickets.run()
    run = tickets.run(within=None)
    assert tickets.online.asked == []
    assert run.outcomes[None].reused == 3


def test_switching_to_later_asks_for_nothing_that_is_answered(tickets):
    tickets.run(within=None)
    assert tickets.online.texts == ["a", "b", "c"]
    run = tickets.run()
    assert tickets.batches.calls.count("create") == 0
    assert run.outcomes[None].reused == 3


def test_now_cancels_what_is_on_its_way_keeps_what_is_finished_and_asks_for_the_rest(tickets):
    tickets.run(wait=False)
    tickets.at(100, lambda: tickets.batches.finish_cancel(after=2))
    run = tickets.run(within=None)
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert len(tickets.online.asked) == 1
    assert sum(tickets.batches.paid.values()) == 2
    assert run.outcomes[None].computed == 3


def test_what_expired_is_asked_for_now(tickets):
    tickets.run(wait=False)
    tickets.now += DAY
    tickets.batches.expire(after=1)
    run = tickets.run()
    assert run.end.error is None
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert len(tickets.online.asked) == 2
    assert sum(tickets.batches.paid.values()) == 1


def test_a_batch_that_its_server_never_ends_is_cancelled_and_asked_for_now(tickets):
    tickets.run(wait=False)
    tickets.now += DAY + 7_200
    tickets.at(30, lambda: tickets.batches.finish_cancel(after=1))
    tickets.run()
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert len(tickets.online.asked) == 2
    assert tickets.batches.calls.count("cancel") == 1


def test_what_was_cancelled_by_others_is_submitted_again(tickets):
    tickets.at(600, lambda: tickets.batches.finish_cancel(after=1))
    tickets.at(1_200, tickets.batches.complete)
    tickets.run()
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert tickets.online.asked == []
    assert sum(tickets.batches.paid.values()) == 3


def digest_of(tickets, text):
    (found,) = [
        line["custom_id"]
        for batch in tickets.batches.batches.values()
        if not batch.is_ended
        for line in tickets.batches.requests(batch.input_file_id)
        if line["body"]["messages"][-1]["content"] == text
    ][-1:]
    return found


def complete_with_failure(tickets, text):
    tickets.batches.complete(failed=[digest_of(tickets, text)])


def test_a_failed_request_fails_the_run_once_all_answers_are_kept(tickets):
    tickets.at(60, lambda: complete_with_failure(tickets, "b"))
    run = tickets.run()
    error = run.end.failures[None]
    assert isinstance(error, CellsFailedError)
    assert "BadRequestError: refused" in str(error)
    assert "1 of 3 rows failed" in str(error)
    assert not tickets.exists()


def test_a_failed_request_is_tried_again_by_the_next_run_alone(tickets):
    tickets.at(60, lambda: complete_with_failure(tickets, "b"))
    tickets.run()
    tickets.at(60, tickets.batches.complete)
    run = tickets.run()
    assert run.end.error is None
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert [batch.total for batch in tickets.batches.batches.values()] == [3, 1]


def test_a_failed_request_is_stored_as_an_error_where_errors_are_ignored(tickets):
    tickets.at(60, lambda: complete_with_failure(tickets, "b"))
    run = tickets.run(on_error="ignore", retry_errors=False)
    assert run.end.error is None
    assert run.outcomes[None].errors == {"BadRequestError": 1}
    again = tickets.run(on_error="ignore", retry_errors=False)
    assert again.outcomes[None].failed == 1
    assert tickets.batches.calls.count("create") == 1


def test_a_failed_request_is_tried_once_a_run_where_errors_are_ignored(tickets):
    tickets.at(60, lambda: complete_with_failure(tickets, "b"))
    tickets.run(on_error="ignore")
    tickets.at(60, lambda: complete_with_failure(tickets, "b"))
    run = tickets.run(on_error="ignore")
    assert run.outcomes[None].failed == 1
    assert run.outcomes[None].reused == 2
    assert [batch.total for batch in tickets.batches.batches.values()] == [3, 1]


def test_a_refresh_asks_for_all_once_over_several_runs(tickets):
    tickets.run(within=None)
    tickets.run(refresh=True, wait=False)
    tickets.run(wait=False)
    tickets.batches.complete()
    run = tickets.run(wait=False)
    assert run.outcomes[None].computed == 3
    assert sum(tickets.batches.paid.values()) == 3
    assert tickets.batches.calls.count("create") == 1
    assert tickets.run(wait=False).outcomes[None].reused == 3


def test_a_refresh_takes_no_answer_that_was_kept_before(tickets):
    tickets.run(wait=False)
    tickets.rows[None] = ["a", "c"]
    tickets.batches.complete()
    tickets.run(wait=False)
    tickets.rows[None] = ["a", "b", "c"]
    tickets.now += 10
    tickets.run(refresh=True, wait=False)
    assert [batch.total for batch in tickets.batches.batches.values()] == [3, 3]


def test_a_trial_is_asked_for_now_and_says_so(tickets):
    run = tickets.run(limit=2)
    assert tickets.online.texts == ["a", "b"]
    assert tickets.batches.calls == []
    assert run.outcomes[None].trial
    assert any("in a trial rows are asked for now" in line for line in run.log)
    assert not any("left out" in line for line in run.log)


def test_a_trial_leaves_what_is_on_its_way(tickets):
    tickets.run(wait=False)
    tickets.run(limit=1, within=None)
    assert "cancel" not in tickets.batches.calls


def test_equal_rows_of_partitions_are_one_line_that_answers_both(tmp_path):
    tickets = LaterTickets(tmp_path, {"p": ["a", "a", "b"], "q": ["b", "a"]})
    tickets.at(60, tickets.batches.complete)
    tickets.run()
    assert [batch.total for batch in tickets.batches.batches.values()] == [2]
    assert said(tickets, "p") == ["re: a", "re: a", "re: b"]
    assert said(tickets, "q") == ["re: b", "re: a"]


def test_paths_around_a_call_are_made_of_its_answer(tickets):
    tickets.column = lambda table: {"said": ask(table.body).choices[0].message.content, "of": table.body}
    tickets.at(60, tickets.batches.complete)
    run = tickets.run()
    assert run.end.error is None, run.end
    assert [json.loads(cell) for cell in tickets.stored()] == [
        {"said": f"re: {text}", "of": text} for text in "abc"
    ]


def test_a_null_row_is_null_and_waits_for_nothing(tickets):
    tickets.rows[None] = ["a", None]
    tickets.at(60, tickets.batches.complete)
    run = tickets.run()
    assert run.outcomes[None].nulls == 1
    assert tickets.stored()[1] is None


def test_the_log_says_what_was_submitted_and_what_waits(tickets):
    tickets.at(3_600, tickets.batches.complete)
    log = tickets.run().log
    assert any("submitted 3 rows (gpt-4o-mini) as batch batch-2" in line for line in log)
    assert any("3 rows wait: batch-2 is" in line for line in log)
    assert len(log) < 20


def test_now_of_one_partition_leaves_the_batches_of_others(partitions):
    partitions.run("p0", wait=False)
    partitions.run("p1", within=None)
    assert partitions.batches.calls.count("cancel") == 0
    assert len(partitions.online.asked) == 5


def test_a_trial_takes_what_its_batch_has_answered(tickets):
    tickets.run(wait=False)
    tickets.batches.complete()
    run = tickets.run(limit=2)
    assert run.outcomes[None].rows == 2
    assert tickets.online.asked == []
    tickets.run(wait=False)
    assert said(tickets) == ["re: a", "re: b", "re: c"]
    assert tickets.online.asked == []


def test_a_trial_asks_for_nothing_that_is_on_its_way(tickets):
    tickets.run(wait=False)
    run = tickets.run(limit=2)
    assert tickets.online.asked == []
    assert run.end.waiting[None].rows == 2
    assert any("2 rows of the trial are on their way and left out" in line for line in run.log)


def test_runs_of_other_partitions_do_not_wait_for_one_that_asks_now(tmp_path):
    """Though something is on record: here an answer to a row that is gone."""
    tickets = LaterTickets(tmp_path, {"mon": ["a"], "tue": ["b"]})
    tickets.run("mon", wait=False)
    tickets.batches.complete()
    tickets.rows["mon"] = ["changed"]
    tickets.run("mon", within=None)
    assert list(batches_folder(tickets.file("mon")).glob("*.json"))
    tickets.rows["mon"], ended = ["changed again"], []

    async def of_tuesday(_):
        if not ended:
            ended.append(None)
            run = await tickets._run(("tue",), None, False, None, None, {})
            ended.append(run.end.error)

    tickets.online.before = of_tuesday
    tickets.run("mon", within=None)
    assert ended == [None, None]
    assert said(tickets, "tue") == ["re: b"]
    assert tickets.naps == []
