"""Batches that are refused as a whole: each partition is told once, and nobody submits them again of his own accord."""

from pxt_assets.api.batches import RefusedError
from pxt_assets.errors import FatalApiError
from pxt_assets.storage.layout import batches_folder
from tests.later_runs import LaterTickets


def test_a_refused_batch_is_told_once_to_each_partition_and_submitted_again_on_demand(tmp_path):
    """What other batches answered is kept; runs that were asked for together do not submit it one after the other."""
    tickets = LaterTickets(tmp_path, {"mon": ["a", "b"], "tue": ["c"]})
    tickets.run(wait=False)
    tickets.batches.fail(next(iter(tickets.batches.batches)), "model_not_found", "no such model")
    told = [tickets.run(key, wait=False).end for key in ("mon", "tue")]
    assert all("no such model" in str(end.error) for end in told)
    assert all(isinstance(end.error, FatalApiError) for end in told), "no retry helps"
    assert [end.waiting[key].comes for end, key in zip(told, ("mon", "tue"), strict=True)] == [False, False]
    assert tickets.batches.calls.count("create") == 1
    assert not batches_folder(tickets.file("mon")).exists()
    assert tickets.run(wait=False).end.error is None
    assert tickets.batches.calls.count("create") == 2


def test_a_batch_that_is_refused_at_once_is_the_runs_error(tmp_path):
    tickets = LaterTickets(tmp_path, {None: ["a"]})

    async def refuse(*_):
        tickets.batches.calls.append("create")
        raise RefusedError("the API does not create the batch: no such endpoint", None)

    tickets.batches.create = refuse
    end = tickets.run(wait=False).end
    assert "no such endpoint. Nothing was paid for; correct the column" in str(end.error)
    assert not batches_folder(tickets.file()).exists()
    assert tickets.batches.files == {}


def test_now_asks_for_what_was_refused_by_batch(tmp_path):
    tickets = LaterTickets(tmp_path, {None: ["a"]})
    tickets.run(wait=False)
    tickets.batches.fail(next(iter(tickets.batches.batches)), "model_not_found", "no such model")
    run = tickets.run(within=None)
    assert run.outcomes[None].computed == 1
    assert any("was refused" in line for line in run.log)
