"""Batches that are refused, and those whose files are found wrong."""

import asyncio
import json

import pytest

from pxt_assets.simulator.batches import batches as batches_module
from pxt_assets.simulator.batches import input_lines, work
from tests.simulator.batches.later import CHAT, asked, line, read, refused, strict, submit

EMBEDDINGS = "/v1/embeddings"


def failed(simulator, requests, endpoint=CHAT):
    """The batch of requests, after its end, with its results."""

    async def use(client):
        batch = await submit(client, requests, endpoint)
        simulator.time.now += 1
        batch = await client.batches.retrieve(batch.id)
        return batch, await read(client, batch.output_file_id) + await read(client, batch.error_file_id)

    batch, results = asked(simulator, use)
    strict(batch)
    assert (batch.status, results) == ("failed", [])
    assert batch.failed_at is not None
    assert (batch.in_progress_at, batch.completed_at) == (None, None)
    assert (batch.request_counts.total, batch.usage.total_tokens) == (0, 0)
    assert batch.errors.object == "list"
    return batch.errors.data


GOOD = line(0)
WRONG_LINES = [
    (b"{", "invalid_json_line", None, "not parseable as valid JSON"),
    (b"[]", "invalid_json_line", None, "not parseable as valid JSON"),
    (b'{"custom_id": NaN}', "invalid_json_line", None, "not parseable as valid JSON"),
    (b"", "invalid_json_line", None, "not parseable as valid JSON"),
    ({**GOOD, "custom_id": None}, "missing_required_parameter", "custom_id", "'custom_id'"),
    ({**GOOD, "custom_id": 7}, "invalid_type", "custom_id", "expected a string, but got an integer"),
    ({**GOOD, "method": "GET", "custom_id": "b"}, "invalid_method", "method", "'GET'"),
    (
        {**GOOD, "url": EMBEDDINGS, "custom_id": "b"},
        "url_mismatch",
        "url",
        "does not match the batch endpoint",
    ),
    ({**GOOD, "url": "/chat/completions", "custom_id": "b"}, "url_mismatch", "url", CHAT),
    ({**GOOD, "body": "a", "custom_id": "b"}, "invalid_type", "body", "expected an object"),
    (GOOD, "duplicate_custom_id", "custom_id", "row-0"),
    (
        line(1, model="gpt-4o"),
        "model_mismatch",
        "body.model",
        "'gpt-4o' does not match the model 'gpt-6-luna'",
    ),
    (line(1, model="gpt-4o", temperature=9), "model_mismatch", "body.model", "gpt-4o"),
]


@pytest.mark.parametrize(("wrong", "code", "param", "message"), WRONG_LINES)
def test_a_wrong_line_fails_the_batch(simulator, wrong, code, param, message):
    """With its number, and nothing answered."""
    [error] = failed(simulator, [GOOD, wrong])
    assert (error.code, error.line, error.param) == (code, 2, param)
    assert message in error.message


def test_every_wrong_line_is_stated(simulator):
    """Up to a number of them."""
    errors = failed(simulator, [b"{"] * (input_lines.MAX_ERRORS + 5))
    assert [error.line for error in errors] == list(range(1, input_lines.MAX_ERRORS + 1))


def test_an_empty_file_fails_the_batch(simulator):
    """Of which there is nothing to answer."""
    [error] = failed(simulator, b"")
    assert (error.code, error.line) == ("empty_file", None)


def test_the_last_line_needs_no_end(simulator):
    """A file may end with its last request."""

    async def use(client):
        batch = await submit(client, json.dumps(GOOD).encode())
        simulator.time.now += 1
        return await client.batches.retrieve(batch.id)

    assert asked(simulator, use).request_counts.completed == 1


def test_a_model_that_is_not_served_fails_the_batch(simulator):
    """In the API's words."""
    [error] = failed(simulator, [line(0, model="gpt-none")])
    assert (error.code, error.param, error.line) == ("model_not_found", "body.model", 1)
    assert error.message == "The provided model 'gpt-none' is not supported by the Batch API."


def test_a_batch_has_so_many_requests_at_most(simulator, monkeypatch):
    """50,000; one more fails it."""
    assert input_lines.MAX_REQUESTS == 50_000
    monkeypatch.setattr(input_lines, "MAX_REQUESTS", 3)
    [error] = failed(simulator, [line(number) for number in range(5)])
    assert (error.code, error.line) == ("too_many_tasks", None)
    assert "maximum allowed value of 3" in error.message


def test_a_batch_has_so_many_bytes_at_most(simulator, monkeypatch):
    """200 MB; more fail it unread."""
    assert work.MAX_BYTES == 200 * 1024 * 1024
    monkeypatch.setattr(work, "MAX_BYTES", 10)
    [error] = failed(simulator, [GOOD])
    assert error.code == "file_too_large"
    assert "may have 10 at most" in error.message


def test_a_batch_has_so_many_embedding_inputs_at_most(simulator, monkeypatch):
    """50,000 over all requests."""
    assert input_lines.MAX_INPUTS == 50_000
    monkeypatch.setattr(input_lines, "MAX_INPUTS", 3)
    body = {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 4}
    rows = [{**line(n, url=EMBEDDINGS), "body": body} for n in range(3)]
    [error] = failed(simulator, rows, EMBEDDINGS)
    assert (error.code, error.line) == ("too_many_tasks", None)
    assert "embedding inputs" in error.message


def test_a_file_that_is_deleted_too_early_fails_the_batch(simulator, monkeypatch):
    """Before it was looked through."""
    deleted = asyncio.Event()

    async def do_work_later(*arguments):
        await deleted.wait()
        return await work.do_work(*arguments)

    monkeypatch.setattr(batches_module, "do_work", do_work_later)

    async def use(client):
        batch = await submit(client, [GOOD])
        await client.files.delete(batch.input_file_id)
        deleted.set()
        simulator.time.now += 1
        return await client.batches.retrieve(batch.id)

    batch = asked(simulator, use)
    assert (batch.status, batch.errors.data[0].param) == ("failed", "input_file_id")


CREATED = {"endpoint": CHAT, "completion_window": "24h"}


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"endpoint": "/v1/audio/speech"}, "invalid_value", "endpoint"),
        ({"endpoint": "/chat/completions"}, "invalid_value", "endpoint"),
        ({"endpoint": "/v1/completions"}, "not_simulated", "endpoint"),
        ({"completion_window": "1h"}, "invalid_value", "completion_window"),
        ({"metadata": {"a": 1}}, "invalid_type", "metadata.a"),
        ({"metadata": {"a" * 65: "b"}}, "string_above_max_length", "metadata"),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
            "integer_below_min_value",
            "seconds",
        ),
        ({"extra_body": {"priority": 1}}, "unknown_parameter", "priority"),
        ({"extra_body": {"endpoint": None}}, "missing_required_parameter", "endpoint"),
    ],
)
def test_wrong_arguments_are_refused(simulator, changes, code, param):
    """At once, with a 400, and without a batch."""

    async def use(client):
        file = await client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
        error = await refused(client.batches.create(**{"input_file_id": file.id, **CREATED, **changes}))
        return error, [batch async for batch in client.batches.list()]

    error, batches = asked(simulator, use)
    assert (error.status_code, error.code, error.param) == (400, code, param)
    assert batches == []


def test_a_file_that_is_not_there_is_refused(simulator):
    """404; and 400 for one of another purpose."""

    async def use(client):
        file = await client.files.create(file=("a.jsonl", b"{}"), purpose="user_data")
        return [
            await refused(client.batches.create(input_file_id=id, **CREATED)) for id in ("file-none", file.id)
        ]

    unknown, other = asked(simulator, use)
    assert (unknown.status_code, other.status_code, other.param) == (404, 400, "input_file_id")


def test_a_batch_that_is_not_there_is_not_found(simulator):
    """Whatever is asked of it; nor is another key's."""

    async def use(client):
        return await submit(client, [GOOD])

    batch = asked(simulator, use)

    async def look(client):
        return [
            await refused(client.batches.retrieve(batch.id)),
            await refused(client.batches.cancel(batch.id)),
            await refused(client.batches.list(after=batch.id)),
        ]

    assert {error.status_code for error in asked(simulator, look, key="sk-other")} == {404}


def test_without_quota_there_is_no_batch(simulator):
    """429, as online."""
    key = "sk-no-quota"
    error = asked(simulator, lambda client: refused(submit(client, [GOOD])), key=key)
    assert (error.status_code, error.code) == (429, "insufficient_quota")


@pytest.mark.parametrize("limit", [0, 101])
def test_a_page_has_a_size(simulator, limit):
    """From 1 to 100."""
    error = asked(simulator, lambda client: refused(client.batches.list(limit=limit)))
    assert (error.status_code, error.param) == (400, "limit")
