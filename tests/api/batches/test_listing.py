"""Batches found in the list of an account: by name, in any order, with odd pages."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.batches.api_server import NOW, ApiServer, Reply, batch, page


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(lambda _: Reply(batch())).running() as running:
        yield running


async def find(server: ApiServer, since: float = NOW) -> Any:
    async with server.batches() as api:
        return await api.find("b-1", since)


def test_of_two_with_one_name_the_later_is_cancelled(server: ApiServer) -> None:
    found = [batch("batch_2", created_at=NOW + 5), batch("batch_1")]
    server.route = lambda asked: page(found, asked) if asked.method == "GET" else Reply(found[0])
    assert asyncio.run(find(server)).id == "batch_1"
    assert server.paths == ["GET /batches", "POST /batches/batch_2/cancel"]


def test_one_of_which_nothing_came_is_not_preferred(server: ApiServer) -> None:
    """The first one failed; the second one is on its way, or has answers."""
    for more in ({"status": "in_progress"}, {"status": "expired", "output_file_id": "file-5"}):
        found = [batch("batch_2", created_at=NOW + 5, **more), batch("batch_1", status="failed")]
        server.route = lambda asked, found=found: page(found, asked)
        assert asyncio.run(find(server)).id == "batch_2"


def test_the_list_is_read_as_far_as_the_time_of_creation(server: ApiServer) -> None:
    """With some minutes for the server's clock, and not further."""
    things = [batch(f"batch_{i}", f"x-{i}", created_at=NOW - 10 * i) for i in range(1_000)]
    things[180] = batch("batch_180", created_at=NOW - 600)
    server.route = lambda asked: page(things, asked, 50)
    assert asyncio.run(find(server)) is None
    assert len(server.asked) == 2  # 15 minutes are 90 of them
    assert asyncio.run(find(server, NOW - 1_000)).id == "batch_180"


@pytest.mark.parametrize("order", ["rising", "mixed", "without times"])
def test_a_list_in_another_order_is_read_wholly(server: ApiServer, order: str) -> None:
    """The oldest first, as it comes, or without times."""
    things = [batch(f"batch_{i}", f"x-{i}", created_at=NOW - 100_000 + i) for i in range(120)]
    things[-1] = batch("batch_119", created_at=NOW)
    if order == "mixed":
        things = things[::2] + things[1::2]
    if order == "without times":
        things = [{**one, "created_at": None} for one in things]
    server.route = lambda asked: page(things, asked, 50)
    assert asyncio.run(find(server)).id == "batch_119"


@pytest.mark.parametrize("has_more", [True, None])
def test_a_list_that_never_ends_is_left(server: ApiServer, has_more: bool | None) -> None:
    """A server that knows no `after` gives its first page again and again."""
    things = [batch(f"batch_{i}", f"x-{i}") for i in range(100)]
    server.route = lambda _: Reply({"data": things, "has_more": has_more})
    assert asyncio.run(find(server)) is None
    assert len(server.asked) == 2


@pytest.mark.parametrize("said", [{"data": None}, {"data": [None, 1, {}]}, [], {"object": "list"}])
def test_an_odd_list_holds_nothing(server: ApiServer, said: Any) -> None:
    server.route = lambda _: Reply(said)
    assert asyncio.run(find(server)) is None
