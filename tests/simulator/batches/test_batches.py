"""The life of a batch, by the clock, as the API's own client meets it."""

import asyncio
import json

import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from pxt_assets.simulator.batches import batches as batches_module
from pxt_assets.simulator.batches import work as work_module
from tests.simulator.batches.later import CHAT, DAY, asked, ids, line, read, refused, strict, submit

ROWS = [line(number) for number in range(20)]


def test_a_batch_goes_through_its_states_by_the_clock(simulate):
    """Nothing happens but when somebody asks, and the clock says when it happened."""
    simulator = simulate(batch_seconds=1_000)

    async def use(client):
        batch = await submit(client, ROWS, metadata={"name": "a"})
        seen = [strict(batch)]
        for _ in range(4):
            simulator.time.now += 250
            seen.append(strict(await client.batches.retrieve(batch.id)))
        return seen

    new, early, half, late, over = asked(simulator, use)
    assert [one.status for one in (new, early, half, late, over)] == [
        "validating",
        *3 * ["in_progress"],
        "completed",
    ]
    assert (new.created_at, new.expires_at, new.model) == (1_000, 1_000 + DAY, None)
    assert (new.request_counts.total, new.metadata) == (0, {"name": "a"})
    assert [one.request_counts.completed for one in (early, half, late, over)] == [3, 10, 16, 20]
    assert {one.request_counts.total for one in (early, half, late, over)} == {20}
    assert (over.in_progress_at, over.finalizing_at, over.completed_at) == (1_100, 1_900, 2_000)
    assert over.model == "gpt-6-luna"
    assert (half.output_file_id, over.error_file_id) == (None, None)


def test_a_batch_is_finalizing_at_last(simulate):
    """When all is answered, and before its results are there."""
    simulator = simulate(batch_seconds=100)

    async def use(client):
        batch = await submit(client, ROWS)
        simulator.time.now += 95
        return await client.batches.retrieve(batch.id)

    batch = asked(simulator, use)
    assert (batch.status, batch.request_counts.completed, batch.output_file_id) == ("finalizing", 20, None)


def test_answers_are_those_that_would_have_come_at_once(simulator):
    """To the byte, but in another order; each of a request of its own."""

    async def use(client):
        batch = await submit(client, ROWS)
        simulator.time.now += 1
        batch = await client.batches.retrieve(batch.id)
        file = await client.files.retrieve(batch.output_file_id)
        content = (await client.files.content(file.id)).content
        assert strict(file).bytes == len(content)
        assert (file.purpose, file.created_at) == ("batch_output", batch.completed_at)
        return batch, await read(client, batch.output_file_id)

    batch, lines = asked(simulator, use)
    assert sorted(ids(lines)) == sorted(ids(ROWS))
    assert ids(lines) != ids(ROWS)
    online = {row["custom_id"]: simulator.request("POST", CHAT, _compact(row["body"])).json() for row in ROWS}
    for one in lines:
        assert one.keys() == {"id", "custom_id", "response", "error"}
        assert one["error"] is None
        assert one["response"].keys() == {"status_code", "request_id", "body"}
        assert one["response"]["status_code"] == 200
        assert one["response"]["body"] == online[one["custom_id"]]
        ChatCompletion.model_validate(one["response"]["body"], strict=True)
    assert len({one["id"] for one in lines} | {one["response"]["request_id"] for one in lines}) == 40
    usage = [answer["usage"] for answer in online.values()]
    assert batch.usage.input_tokens == sum(one["prompt_tokens"] for one in usage)
    assert batch.usage.output_tokens == sum(one["completion_tokens"] for one in usage)
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens


def _compact(body):
    return json.dumps(body, separators=(",", ":")).encode()


PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
BODIES = {
    "/v1/responses": {"model": "gpt-6-luna", "input": "Hello."},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 8},
    "/v1/moderations": {"input": "murder"},
    "/v1/images/generations": {"model": "gpt-image-2", "prompt": "A cat"},
    "/v1/images/edits": {"model": "gpt-image-2", "prompt": "A cat", "images": [{"image_url": PICTURE}]},
}


@pytest.mark.parametrize("endpoint", BODIES)
def test_every_endpoint_has_batches(simulator, endpoint):
    """With the same answers as online."""
    row = {"custom_id": "a", "method": "POST", "url": endpoint, "body": BODIES[endpoint]}

    async def use(client):
        batch = await submit(client, [row], endpoint)
        simulator.time.now += 1
        batch = await client.batches.retrieve(batch.id)
        return await read(client, batch.output_file_id)

    [answer] = asked(simulator, use)
    online = simulator.request("POST", endpoint, _compact(BODIES[endpoint]))
    assert online.status_code == 200, online.text
    assert answer["response"]["body"] == online.json()


def test_requests_that_fail_are_lines_of_the_error_file(simulator):
    """With the status and the body that they would have had online; the others are answered."""
    rows = [line(0), line(1, temperature=9), line(2, max_tokens=0), line(3)]

    async def use(client):
        batch = await submit(client, rows)
        simulator.time.now += 1
        batch = await client.batches.retrieve(batch.id)
        return batch, await read(client, batch.output_file_id), await read(client, batch.error_file_id)

    batch, output, errors = asked(simulator, use)
    assert batch.status == "completed"
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 2)
    assert sorted(ids(output)) == ["row-0", "row-3"]
    online = {row["custom_id"]: simulator.request("POST", CHAT, _compact(row["body"])) for row in rows}
    for one in errors:
        assert one["error"] is None
        assert one["response"]["status_code"] == 400
        assert one["response"]["body"] == online[one["custom_id"]].json()


def test_batches_draw_on_no_limit_of_online_requests(simulate):
    """Neither their requests, nor what is asked of them and of their files."""
    simulator = simulate(rpm=1, tpm=20)

    async def use(client):
        batch = await submit(client, ROWS)
        simulator.time.now += 1
        return await client.batches.retrieve(batch.id)

    assert asked(simulator, use).request_counts.completed == 20
    assert simulator.chat("Hi").status_code == 200


def test_what_is_asked_of_batches_is_counted_apart(simulator):
    """Until the counters are reset; requests that were answered online are counted as ever."""

    async def use(client):
        batch = await submit(client, ROWS)
        await client.batches.retrieve(batch.id)

    asked(simulator, use)
    later = simulator.get("/simulator/later", key=None).json()
    assert later == {"files": 1, "batches": 1, "batch_polls": 1, "background_polls": 0}
    assert simulator.counters()["requests"] == 0
    simulator.post("/simulator/reset", {}, key=None)
    assert set(simulator.get("/simulator/later", key=None).json().values()) == {0}


def test_a_batch_whose_requests_all_fail_has_no_output(simulator):
    """It is completed all the same."""

    async def use(client):
        batch = await submit(client, [line(0, temperature=9)])
        simulator.time.now += 1
        return await client.batches.retrieve(batch.id)

    batch = asked(simulator, use)
    assert (batch.status, batch.output_file_id, batch.request_counts.failed) == ("completed", None, 1)
    assert batch.error_file_id is not None


def test_batches_are_listed_in_pages(simulate):
    """The newest first, each as it is now."""
    simulator = simulate(batch_seconds=100)

    async def use(client):
        made = []
        for number in range(5):
            made.append((await submit(client, [line(number)])).id)
            simulator.time.now += 40
        page = await client.batches.list(limit=2)
        assert page.has_more
        return made, [strict(batch) async for batch in client.batches.list(limit=2)]

    made, listed = asked(simulator, use)
    assert [batch.id for batch in listed] == made[::-1]
    assert [batch.status for batch in listed] == ["in_progress", "in_progress", *3 * ["completed"]]


def test_results_live_as_long_as_was_asked(simulator):
    """From the time when they were made."""

    async def use(client):
        batch = await submit(client, ROWS, output_expires_after={"anchor": "created_at", "seconds": 3_600})
        simulator.time.now += 1
        batch = await client.batches.retrieve(batch.id)
        file = await client.files.retrieve(batch.output_file_id)
        simulator.time.now += 3_600
        return (
            batch,
            file,
            await refused(client.files.content(file.id)),
            await client.batches.retrieve(batch.id),
        )

    batch, file, error, later = asked(simulator, use)
    assert file.expires_at == batch.completed_at + 3_600
    assert error.status_code == 404
    assert later == batch


def test_results_are_deleted_one_by_one(simulator):
    """What is left is still read."""

    async def use(client):
        batch = await submit(client, [line(0), line(1, temperature=9)])
        simulator.time.now += 1
        batch = await client.batches.retrieve(batch.id)
        await client.files.delete(batch.input_file_id)
        await client.files.delete(batch.error_file_id)
        left = await read(client, batch.output_file_id)
        await client.files.delete(batch.output_file_id)
        return left, await refused(client.files.content(batch.output_file_id))

    left, error = asked(simulator, use)
    assert ids(left) == ["row-0"]
    assert error.status_code == 404


def test_a_batch_whose_work_takes_longer_is_still_validated(simulator, monkeypatch):
    """The clock does not make it ready: who asks waits for a while, and learns how far it is."""
    monkeypatch.setattr(batches_module, "WAIT_SECONDS", 0.0)
    may_go_on = asyncio.Event()

    async def do_work_later(*arguments):
        await may_go_on.wait()
        return await work_module.do_work(*arguments)

    monkeypatch.setattr(batches_module, "do_work", do_work_later)

    async def use(client):
        batch = await submit(client, ROWS)
        simulator.time.now += 1
        early = await client.batches.retrieve(batch.id)
        may_go_on.set()
        monkeypatch.setattr(batches_module, "WAIT_SECONDS", 60.0)
        return early, await client.batches.retrieve(batch.id)

    early, late = asked(simulator, use)
    assert (early.status, early.request_counts.total, late.status) == ("validating", 0, "completed")


def test_embeddings_are_read_by_the_client(simulator):
    """Of a batch, as floats or base64."""
    row = line(0, url="/v1/embeddings")
    row["body"] = BODIES["/v1/embeddings"]

    async def use(client):
        batch = await submit(client, [row], "/v1/embeddings")
        simulator.time.now += 1
        batch = await client.batches.retrieve(batch.id)
        return batch, await read(client, batch.output_file_id)

    batch, [answer] = asked(simulator, use)
    parsed = CreateEmbeddingResponse.model_validate(answer["response"]["body"])
    assert [len(one.embedding) for one in parsed.data] == [8, 8]
    assert batch.usage.input_tokens == parsed.usage.prompt_tokens
