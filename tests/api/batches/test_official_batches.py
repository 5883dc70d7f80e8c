"""Batches over HTTP: created once, found again, read in every state, on servers that fail and differ."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from pxt_assets.api.batches import QueueFullError, UnknownBatchError
from pxt_assets.errors import FatalApiError, RunError
from tests.api.batches.api_server import KEY, NOW, ApiServer, Asked, Reply, batch, error, page


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(lambda _: Reply(batch())).running() as running:
        yield running


async def create(server: ApiServer, **options: Any) -> Any:
    async with server.batches(**options) as api:
        return await api.create("file-1", "/v1/responses", "b-1")


def test_a_batch_has_its_name_in_its_metadata(server: ApiServer) -> None:
    state = asyncio.run(create(server))
    assert (state.id, state.name, state.status) == ("batch_1", "b-1", "validating")
    (asked,) = server.asked
    assert asked.json == {
        "input_file_id": "file-1",
        "endpoint": "/v1/responses",
        "completion_window": "24h",
        "metadata": {"pxt_batch": "b-1"},
    }


def test_azure_has_its_own_paths_and_endpoints(server: ApiServer) -> None:
    """The version in the query, the key in its header, and no /v1."""

    async def main() -> None:
        async with server.batches(azure=True) as api:
            await api.create("file-1", "/v1/chat/completions", "b-1")
            await api.create("file-1", "/v1/responses", "b-1")
            await api.create("file-1", "/v1/embeddings", "b-1")
            await api.retrieve("batch_1")

    asyncio.run(main())
    assert [one.json["endpoint"] for one in server.asked[:3]] == [
        "/chat/completions",
        "/chat/completions",
        "/v1/embeddings",
    ]
    assert server.paths[3] == "GET /batches/batch_1"
    assert {one.query["api-version"] for one in server.asked} == {"2025-04-01-preview"}
    assert {one.headers["api-key"] for one in server.asked} == {KEY}


def test_a_lost_creation_is_looked_for_though_nothing_is_tried_again(server: ApiServer) -> None:
    server.route = lambda asked: None if asked.method == "POST" else page([batch("batch_9")], asked)
    assert asyncio.run(create(server, max_retries=0)).id == "batch_9"


def test_a_page_that_quotes_the_key_is_shown_without_it(server: ApiServer) -> None:
    """A proxy's page with status 200 may quote the headers."""
    server.route = lambda _: Reply(f"<html>Authorization: Bearer {KEY}</html>".encode())
    with pytest.raises(RunError, match="Check base_url") as e:
        asyncio.run(create(server))
    assert KEY not in str(e.value)
    assert server.said
    assert KEY not in str(server.said)


def test_a_server_that_cannot_be_reached_is_told(server: ApiServer) -> None:
    """With what to check, after the time of an outage."""

    async def main() -> None:
        async with server.batches() as api:
            server._http.server_close()
            await api.create("file-1", "/v1/responses", "b-1")

    with pytest.raises(RunError, match="cannot reach the API at http://127"):
        asyncio.run(main())
    assert sum(server.slept) >= 60


@pytest.mark.parametrize("fault", [None, Reply(b"<html>"), error(500), error(504)])
def test_a_creation_whose_answer_was_lost_is_taken_over(server: ApiServer, fault: Reply | None) -> None:
    """The list may lag: it is looked at again before another batch is created."""
    lists = iter([[], [batch("batch_7", "other")], [batch("batch_7", "other"), batch("batch_9")]])
    server.route = lambda asked: fault if asked.method == "POST" else page(next(lists), asked)
    assert asyncio.run(create(server)).id == "batch_9"
    assert server.paths == ["POST /batches", *["GET /batches"] * 3]
    assert server.slept == [2.0, 5.0, 10.0]


def test_a_lost_batch_is_found_by_its_file_where_servers_keep_no_names(server: ApiServer) -> None:
    """Metadata is null; an upload is of one batch alone."""
    found = [batch("batch_8", None, input_file_id="file-2"), batch("batch_9", None)]
    server.route = lambda asked: None if asked.method == "POST" else page(found, asked)
    assert asyncio.run(create(server)).id == "batch_9"


def test_what_was_never_created_is_created_again_and_no_two_stay(server: ApiServer) -> None:
    """The first one shows up when the second has been made: the later one is cancelled."""
    created = iter([None, Reply(batch("batch_2", created_at=NOW + 40))])
    made = [batch("batch_2", created_at=NOW + 40), batch("batch_1", created_at=NOW)]

    def route(asked: Asked) -> Reply | None:
        if asked.path == "/batches/batch_2/cancel":
            return Reply(batch("batch_2", status="cancelling"))
        if asked.method == "POST":
            return next(created)
        return page(made if len(server.asked) > 6 else [], asked)

    server.route = route
    assert asyncio.run(create(server)).id == "batch_1"
    assert server.paths[-3:] == ["POST /batches", "GET /batches", "POST /batches/batch_2/cancel"]


def test_a_creation_that_is_always_lost_ends(server: ApiServer) -> None:
    """After as many attempts as faults are tried again, with what was said."""
    server.route = lambda asked: error(500, "boom") if asked.method == "POST" else page([], asked)
    with pytest.raises(RunError, match=r"does not create the batch b-1: InternalServerError 500: boom"):
        asyncio.run(create(server))
    assert server.paths.count("POST /batches") == 3


def test_a_rejection_is_waited_out(server: ApiServer) -> None:
    """2,000 batches an hour: a 429 is no lost answer, and uses up no attempts."""
    server.first(*[error(429, "slow down", retry_after="20")] * 9)
    assert asyncio.run(create(server)).id == "batch_1"
    assert server.paths == ["POST /batches"] * 10
    assert min(server.slept) >= 20


def test_a_creation_that_the_queue_has_no_room_for_says_so(server: ApiServer) -> None:
    for status in (400, 403, 429):
        server.route = lambda _, status=status: error(
            status,
            "Enqueued token limit reached for m. Limit: 90,000 enqueued tokens.",
            "token_limit_exceeded",
        )
        with pytest.raises(QueueFullError, match="Limit: 90,000"):
            asyncio.run(create(server))


@pytest.mark.parametrize(
    ("reply", "error_type", "words"),
    [
        (error(401, f"Incorrect API key provided: {KEY}"), FatalApiError, "Check api_key"),
        (error(403, "no access"), FatalApiError, "check organization, project"),
        (error(429, "You exceeded your current quota", "insufficient_quota"), FatalApiError, "billing page"),
        (error(400, "billing", "billing_hard_limit_reached"), FatalApiError, "billing"),
        (
            error(400, f"bad file {KEY}"),
            RunError,
            r"does not create the batch b-1: BadRequestError 400: bad file \*\*\*",
        ),
        (error(404, "no file"), RunError, "belongs to another project, organization or key"),
    ],
    ids=range(6),
)
def test_refusals_in_the_houses_words(
    server: ApiServer, reply: Reply, error_type: type[RunError], words: str
) -> None:
    """At once, without secrets, with what to do."""
    server.route = lambda _: reply
    with pytest.raises(error_type, match=words) as e:
        asyncio.run(create(server))
    assert isinstance(e.value, FatalApiError) == (error_type is FatalApiError)
    assert KEY not in str(e.value)
    assert len(server.asked) == 1


def test_an_unknown_batch_may_be_another_projects(server: ApiServer) -> None:
    """The API says 404 of these too, so the message names what to check."""
    server.route = lambda _: error(404, "No batch found with id 'batch_1'.")

    async def main(call: str) -> None:
        async with server.batches() as api:
            await getattr(api, call)("batch_1")

    for call in ("retrieve", "cancel"):
        with pytest.raises(UnknownBatchError, match="check api_key, project, organization and base_url"):
            asyncio.run(main(call))


@pytest.mark.parametrize("fault", [None, error(500), error(503), error(429), Reply(b"<html>"), error(408)])
def test_faults_are_tried_again(server: ApiServer, fault: Reply | None) -> None:
    """With growing pauses."""
    server.first(fault, fault)

    async def main() -> str:
        async with server.batches() as api:
            return (await api.retrieve("batch_1")).status

    assert asyncio.run(main()) == "validating"
    assert len(server.asked) == 3
    assert server.slept == sorted(server.slept)
    assert server.slept[0] > 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [(error(500, "boom"), "it failed 8 times|It failed"), (Reply(b"<html>x"), "Check base_url"), (None, "")],
)
def test_an_outage_ends_after_its_time(server: ApiServer, fault: Reply | None, words: str) -> None:
    server.route = lambda _: fault

    async def main() -> None:
        async with server.batches() as api:
            await api.retrieve("batch_1")

    with pytest.raises(RunError, match=words):
        asyncio.run(main())
    assert 60 <= sum(server.slept) < 150


def test_what_has_ended_is_not_cancelled(server: ApiServer) -> None:
    """Servers refuse it, by 400 or 409: its state is what is asked for."""
    for status in (400, 409):
        server.asked.clear()
        server.route = lambda asked, status=status: (
            error(status, "Cannot cancel a batch with status 'completed'.")
            if asked.method == "POST"
            else Reply(batch(status="completed", output_file_id="file-2"))
        )

        async def main() -> Any:
            async with server.batches() as api:
                return await api.cancel("batch_1")

        state = asyncio.run(main())
        assert (state.status, state.output_file_id) == ("completed", "file-2")
        assert server.paths == ["POST /batches/batch_1/cancel", "GET /batches/batch_1"]


def test_a_cancellation_is_told_by_the_batchs_state(server: ApiServer) -> None:
    """Some servers answer it with nothing."""
    server.route = lambda asked: (
        Reply(b"", 204) if asked.method == "POST" else Reply(batch(status="cancelling"))
    )

    async def main() -> Any:
        async with server.batches() as api:
            return await api.cancel("batch_1")

    assert asyncio.run(main()).is_cancelling
    assert server.paths == ["POST /batches/batch_1/cancel", "GET /batches/batch_1"]


def test_a_refused_cancellation_of_one_on_its_way_is_an_error(server: ApiServer) -> None:
    server.route = lambda asked: (
        error(400, "not now") if asked.method == "POST" else Reply(batch(status="in_progress"))
    )

    async def main() -> None:
        async with server.batches() as api:
            await api.cancel("batch_1")

    with pytest.raises(RunError, match="not now"):
        asyncio.run(main())


def test_a_deleted_file_may_be_deleted_again(server: ApiServer) -> None:
    server.route = lambda _: error(404, "No such File object")

    async def main() -> None:
        async with server.batches() as api:
            await api.delete_file("file-1")

    asyncio.run(main())
    assert server.paths == ["DELETE /files/file-1"]


def test_files_are_found_by_their_name(server: ApiServer) -> None:
    """The oldest first; other names and purposes are left alone."""
    files = [
        {"id": "file-3", "filename": "b-1.jsonl", "created_at": NOW + 2, "bytes": 1},
        {"id": "file-2", "filename": "b-2.jsonl", "created_at": NOW + 1, "bytes": 1},
        {"id": "file-1", "filename": "b-1.jsonl", "created_at": NOW, "bytes": 1},
    ]
    server.route = lambda asked: page(files, asked, 2)

    async def main() -> list[str]:
        async with server.batches() as api:
            return await api.find_files("b-1.jsonl", NOW)

    assert asyncio.run(main()) == ["file-1", "file-3"]
