"""Batches that end otherwise than completed: cancelled, expired, failed, or refused by the queue."""

import pytest

from tests.simulator.batches.later import DAY, asked, ids, line, read, refused, strict, submit

ROWS = [line(number) for number in range(20)]


async def results(client, batch):
    """The custom ids of the output file, and the lines of the error file."""
    output = ids(await read(client, batch.output_file_id))
    return output, await read(client, batch.error_file_id)


def check_unanswered(lines, code):
    """Lines that say why nobody answered."""
    for one in lines:
        assert one.keys() == {"id", "custom_id", "response", "error"}
        assert one["response"] is None
        assert one["error"]["code"] == code
        assert one["error"]["message"]


def test_a_cancelled_batch_keeps_what_was_answered(simulate):
    """In the output file; it takes a while to be cancelled."""
    simulator = simulate(batch_seconds=1_000)

    async def use(client):
        batch = await submit(client, ROWS)
        simulator.time.now += 500
        at_once = strict(await client.batches.cancel(batch.id))
        simulator.time.now += 99
        still = await client.batches.cancel(batch.id)
        simulator.time.now += 1
        batch = strict(await client.batches.retrieve(batch.id))
        return at_once, still, batch, *await results(client, batch)

    at_once, still, batch, output, errors = asked(simulator, use)
    assert (at_once.status, still.status, batch.status) == ("cancelling", "cancelling", "cancelled")
    assert (at_once.cancelling_at, still.cancelling_at, batch.cancelled_at) == (1_500, 1_500, 1_600)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (10, 0)
    assert len(output) == 10
    assert sorted(output + ids(errors)) == sorted(ids(ROWS))
    check_unanswered(errors, "batch_cancelled")


def test_a_batch_is_cancelled_within_ten_minutes(simulate):
    """However long it takes."""
    simulator = simulate(batch_seconds=50_000)

    async def use(client):
        batch = await submit(client, ROWS)
        simulator.time.now += 25_000
        await client.batches.cancel(batch.id)
        simulator.time.now += 600
        return await client.batches.retrieve(batch.id)

    assert asked(simulator, use).status == "cancelled"


def test_a_batch_that_is_cancelled_at_once_has_answered_nothing(simulate):
    """And says so of each request."""
    simulator = simulate(batch_seconds=1_000)

    async def use(client):
        batch = await submit(client, ROWS)
        await client.batches.cancel(batch.id)
        simulator.time.now += 1_000
        batch = await client.batches.retrieve(batch.id)
        return batch, *await results(client, batch)

    batch, output, errors = asked(simulator, use)
    assert (batch.status, output, len(errors)) == ("cancelled", [], 20)
    assert (batch.in_progress_at, batch.usage.total_tokens) == (None, 0)


def test_a_batch_that_is_over_is_not_cancelled(simulator):
    """409, with its status."""

    async def use(client):
        batch = await submit(client, ROWS)
        simulator.time.now += 1
        return await refused(client.batches.cancel(batch.id))

    error = asked(simulator, use)
    assert error.status_code == 409
    assert "Cannot cancel a batch with status 'completed'." in error.message


def test_a_batch_that_takes_more_than_a_day_expires(simulate):
    """What was answered is in the output file, the rest in the error file, and counts as neither."""
    simulator = simulate(batch_seconds=2 * DAY)

    async def use(client):
        batch = await submit(client, ROWS)
        simulator.time.now += DAY - 1
        assert (await client.batches.retrieve(batch.id)).status == "in_progress"
        simulator.time.now += 1
        batch = strict(await client.batches.retrieve(batch.id))
        return batch, *await results(client, batch)

    batch, output, errors = asked(simulator, use)
    assert batch.status == "expired"
    assert batch.expired_at == batch.expires_at == batch.created_at + DAY
    assert (batch.request_counts.completed, batch.request_counts.failed) == (10, 0)
    assert len(output) == 10
    assert sorted(output + ids(errors)) == sorted(ids(ROWS))
    check_unanswered(errors, "batch_expired")


@pytest.mark.parametrize(
    ("option", "status"), [("batch_expiry_rate", "expired"), ("batch_failure_rate", "failed")]
)
def test_a_share_of_the_batches_ends_early(simulate, option, status):
    """With a part of their requests answered, another part each time."""
    simulator = simulate(**{option: 1.0})

    async def use(client):
        ended = []
        for _ in range(3):
            batch = await submit(client, ROWS)
            simulator.time.now += 1
            batch = await client.batches.retrieve(batch.id)
            ended.append((batch, *await results(client, batch)))
        return ended

    ended = asked(simulator, use)
    assert {batch.status for batch, _, _ in ended} == {status}
    assert len({len(output) for _, output, _ in ended}) > 1
    for batch, output, errors in ended:
        assert batch.request_counts.completed == len(output)
        assert len(errors) == (20 - len(output) if status == "expired" else 0)
        assert (batch.errors is not None) == (status == "failed")


def test_a_batch_of_one_request_is_answered_in_the_end(simulate):
    """Also where all batches expire: who submits again what expired comes to an end."""
    simulator = simulate(batch_expiry_rate=1.0)

    async def use(client):
        for _ in range(100):
            batch = await submit(client, [line(0)])
            simulator.time.now += 1
            if (await client.batches.retrieve(batch.id)).request_counts.completed:
                return True
        return False

    assert asked(simulator, use)


def test_shares_are_drawn_by_the_seed(simulate):
    """The same batches fail in every rehearsal of the same seed."""

    def statuses(seed):
        simulator = simulate(batch_expiry_rate=0.3, batch_failure_rate=0.3, seed=seed)

        async def use(client):
            for number in range(30):
                await submit(client, [line(number)])
            simulator.time.now += 1
            return [batch.status async for batch in client.batches.list(limit=100)]

        return asked(simulator, use)

    first = statuses(1)
    assert first == statuses(1) != statuses(2)
    assert set(first) == {"completed", "expired", "failed"}


def test_requests_meet_faults(simulate):
    """By the share that online requests meet: a 5xx or a lost answer, in the error file."""
    simulator = simulate(fault_rate=0.5, slow_seconds=0, seed=3)

    async def insist(call, *arguments):
        while True:
            try:
                return await call(*arguments)
            except Exception:
                continue

    async def use(client):
        batch = await insist(submit, client, [line(number) for number in range(60)])
        simulator.time.now += 1
        batch = await insist(client.batches.retrieve, batch.id)
        return batch, await insist(read, client, batch.error_file_id)

    batch, errors = asked(simulator, use)
    assert 15 < batch.request_counts.failed == len(errors) < 45
    met = {
        one["error"]["code"] if one["response"] is None else one["response"]["status_code"] for one in errors
    }
    assert met == {500, 503, "request_timeout"}


class TestQueue:
    """The tokens of a model's batches that may wait."""

    def test_a_batch_without_room_fails(self, simulate):
        """After validation, in the API's words, with the number."""
        simulator = simulate(batch_seconds=1_000, batch_queue_limit=200)

        async def use(client):
            first = await submit(client, ROWS)  # of more than 100 tokens
            second = await submit(client, ROWS)
            early = (await client.batches.retrieve(second.id)).status
            simulator.time.now += 100
            return early, *[strict(await client.batches.retrieve(b.id)) for b in (first, second)]

        early, first, second = asked(simulator, use)
        assert (early, first.status, second.status) == ("validating", "in_progress", "failed")
        [error] = second.errors.data
        assert (error.code, error.line, error.param) == ("token_limit_exceeded", None, None)
        assert error.message == (
            "Enqueued token limit reached for gpt-6-luna in organization org-simulated. Limit: 200 enqueued tokens. "
            "Please try again once some in_progress batches have been completed."
        )
        assert (second.output_file_id, second.error_file_id) == (None, None)

    @pytest.mark.parametrize("how", ["completed", "cancelled"])
    def test_room_is_made_when_a_batch_ends(self, simulate, how):
        """However it does."""
        simulator = simulate(batch_seconds=1_000, batch_queue_limit=200)

        async def use(client):
            first = await submit(client, ROWS)
            simulator.time.now += 500
            if how == "cancelled":
                await client.batches.cancel(first.id)
            simulator.time.now += 500 if how == "completed" else 100
            second = await submit(client, ROWS)
            simulator.time.now += 500
            return await client.batches.retrieve(second.id)

        assert asked(simulator, use).status == "in_progress"

    def test_other_models_and_keys_have_room_of_their_own(self, simulate):
        """The limit is one of a key and a family of models."""
        simulator = simulate(batch_seconds=1_000, batch_queue_limit=200)

        async def use(client):
            made = [await submit(client, ROWS)]
            made.append(await submit(client, [line(n, model="gpt-4o") for n in range(20)]))
            made.append(await submit(client, [line(n, model="gpt-6-luna-2026-10-01") for n in range(20)]))
            simulator.time.now += 500
            return [(await client.batches.retrieve(batch.id)).status for batch in made]

        assert asked(simulator, use) == ["in_progress", "in_progress", "failed"]
        assert asked(simulator, use, key="sk-other") == ["in_progress", "in_progress", "failed"]

    def test_a_batch_beyond_the_whole_limit_never_has_room(self, simulate):
        """Even alone."""
        simulator = simulate(batch_queue_limit=50)

        async def use(client):
            batch = await submit(client, ROWS)
            simulator.time.now += 1
            return await client.batches.retrieve(batch.id)

        assert asked(simulator, use).errors.data[0].code == "token_limit_exceeded"
