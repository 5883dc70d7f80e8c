"""Responses that are made in the background, over HTTP."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pxt_assets.api.batches import UnknownResponseError
from pxt_assets.errors import FatalApiError, RunError
from tests.api.batches.api_server import KEY, ApiServer, Reply, error


def response(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "output": [{"status": "other"}], **more}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(
        lambda _: Reply(response("queued"), headers={"x-request-id": "req-1"})
    ).running() as running:
        yield running


async def call(server: ApiServer, name: str = "fetch", **options: Any) -> Any:
    async with server.background(**options) as api:
        return await getattr(api, name)("resp_1")


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        ("queued", False),
        ("in_progress", False),
        ("completed", True),
        ("failed", True),
        ("cancelled", True),
        ("incomplete", True),
    ],
)
def test_a_response_is_fetched_by_its_id(server: ApiServer, status: str, ended: bool) -> None:
    """Its answer is that of a line of a batch: bytes as they came, and the request's id."""
    said = response(status)
    server.route = lambda _: Reply(said, headers={"x-request-id": "req-1"})
    state = asyncio.run(call(server))
    assert (state.id, state.status, state.is_ended) == ("resp_1", status, ended)
    assert (state.answer.custom_id, state.answer.status, state.answer.request_id) == ("resp_1", 200, "req-1")
    assert json.loads(state.answer.body) == said
    assert server.paths == ["GET /responses/resp_1"]
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_an_expired_response_is_unknown(server: ApiServer) -> None:
    server.route = lambda _: error(404, "Response with id 'resp_1' not found.")
    for name in ("fetch", "cancel"):
        with pytest.raises(UnknownResponseError, match="check api_key, project, organization and base_url"):
            asyncio.run(call(server, name))


def test_faults_are_tried_again(server: ApiServer) -> None:
    server.first(error(500), None, error(429, retry_after="7"), Reply(b"<html>"), Reply({"object": "list"}))
    assert asyncio.run(call(server)).status == "queued"
    assert any(pause >= 7 for pause in server.slept)


def test_refusals_are_told_without_secrets(server: ApiServer) -> None:
    server.route = lambda _: error(401, f"wrong key {KEY}")
    with pytest.raises(FatalApiError) as e:
        asyncio.run(call(server))
    assert KEY not in str(e.value)


def test_a_response_is_cancelled(server: ApiServer) -> None:
    server.route = lambda _: Reply(response("cancelled"))
    assert asyncio.run(call(server, "cancel")).status == "cancelled"
    assert server.paths == ["POST /responses/resp_1/cancel"]


def test_one_that_has_ended_is_not_cancelled(server: ApiServer) -> None:
    """Its state is what is asked for; one that goes on is an error."""
    for status in ("completed", "in_progress"):
        server.route = lambda asked, status=status: (
            error(400, "Cannot cancel a completed response")
            if asked.method == "POST"
            else Reply(response(status))
        )
        if status == "completed":
            assert asyncio.run(call(server, "cancel")).status == "completed"
        else:
            with pytest.raises(RunError, match="Cannot cancel"):
                asyncio.run(call(server, "cancel"))


def test_a_deleted_response_may_be_deleted_again(server: ApiServer) -> None:
    for reply in (Reply({"deleted": True}), error(404)):
        server.route = lambda _, reply=reply: reply
        asyncio.run(call(server, "delete"))
    assert server.paths == ["DELETE /responses/resp_1"] * 2


def test_azure_has_its_own_path(server: ApiServer) -> None:
    asyncio.run(call(server, azure=True))
    assert server.asked[0].path == "/responses/resp_1"
    assert server.asked[0].query == {"api-version": "2025-04-01-preview"}
