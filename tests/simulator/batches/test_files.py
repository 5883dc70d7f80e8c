"""The files of the API, as its own client meets them."""

import asyncio

import pytest
from openai import AsyncOpenAI

from pxt_assets.simulator.server import later_routes
from pxt_assets.simulator.server.simulator import DroppedConnectionError
from tests.simulator.batches.later import DAY, asked, read, refused, strict

HOUR = {"anchor": "created_at", "seconds": 3_600}


async def upload(client: AsyncOpenAI, name: str = "rows.jsonl", content: bytes = b"{}\n", **arguments):
    return await client.files.create(file=(name, content), **{"purpose": "batch", **arguments})


def test_an_upload_is_described_as_the_api_does(simulator):
    """With all fields of the client's type, and thirty days to live."""
    file = asked(simulator, upload)
    assert strict(file).filename == "rows.jsonl"
    assert (file.bytes, file.purpose, file.status) == (3, "batch", "processed")
    assert (file.created_at, file.expires_at) == (1_000, 1_000 + 30 * DAY)


def test_a_file_is_shown_read_and_deleted(simulator):
    """By its id; then it is unknown."""

    async def use(client):
        file = await upload(client, content=b'{"a": 1}\n')
        assert strict(await client.files.retrieve(file.id)) == file
        assert await read(client, file.id) == [{"a": 1}]
        assert strict(await client.files.delete(file.id)).deleted
        return [
            await refused(call(file.id))
            for call in (client.files.retrieve, client.files.content, client.files.delete)
        ]

    for error in asked(simulator, use):
        assert error.status_code == 404
        assert "No such File object: sim-file-" in error.message


def test_large_files_are_streamed(simulator):
    """What comes in, goes out, in pieces."""
    content = bytes(range(256)) * 8_192  # more than fits in one piece, and than stays in memory

    async def use(client):
        file = await upload(client, content=content)
        return file, (await client.files.content(file.id)).content

    file, read_again = asked(simulator, use)
    assert file.bytes == len(content)
    assert read_again == content


def test_files_are_listed_in_pages(simulator):
    """The newest first or last, after a file, of a purpose; the client asks for page after page."""

    async def use(client):
        made = [
            (await upload(client, f"{n}.jsonl", purpose="batch" if n % 2 else "user_data")).filename
            for n in range(5)
        ]
        newest = [file.filename async for file in client.files.list(limit=2)]
        oldest = [file.filename async for file in client.files.list(limit=3, order="asc")]
        batches = [file.filename async for file in client.files.list(purpose="batch")]
        page = await client.files.list(limit=2)
        return made, newest, oldest, batches, page.has_more, (await page.get_next_page()).has_more

    made, newest, oldest, batches, more, still_more = asked(simulator, use)
    assert newest == made[::-1]
    assert oldest == made
    assert batches == ["3.jsonl", "1.jsonl"]
    assert (more, still_more) == (True, True)


def test_files_expire(simulator):
    """At the end of the time that they were given."""

    async def use(client):
        file = await upload(client, expires_after=HOUR)
        assert file.expires_at == file.created_at + 3_600
        simulator.time.now += 3_599
        assert await client.files.retrieve(file.id)
        simulator.time.now += 1
        return await refused(client.files.retrieve(file.id)), [f async for f in client.files.list()]

    error, listed = asked(simulator, use)
    assert (error.status_code, listed) == (404, [])


def test_a_download_breaks_off_half_way(simulator, monkeypatch):
    """Where a dropped connection is drawn for it; its length is told before."""
    content = bytes(range(256)) * 4
    file = asked(simulator, lambda client: upload(client, content=content))
    monkeypatch.setattr(simulator.app.state.simulator, "_draw_fault", lambda: "dropped")
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    headers = [(b"authorization", b"Bearer sk-test")]
    scope = {"type": "http", "method": "GET", "path": f"/v1/files/{file.id}/content", "headers": headers}
    with pytest.raises(DroppedConnectionError):
        asyncio.run(simulator.app({**scope, "query_string": b"", "root_path": ""}, receive, send))
    start, *pieces = sent
    assert (b"content-length", b"1024") in start["headers"]
    assert b"".join(piece["body"] for piece in pieces) == content[:512]


def test_an_upload_whose_answer_is_lost_has_arrived(simulator, monkeypatch):
    """The client does not learn of it, and finds it in the list."""
    drawn = iter(["dropped", None])
    monkeypatch.setattr(simulator.app.state.simulator, "_draw_fault", lambda: next(drawn))

    async def use(client):
        with pytest.raises(DroppedConnectionError):
            await upload(client)
        return [file.filename async for file in client.files.list()]

    assert asked(simulator, use) == ["rows.jsonl"]


def test_other_keys_see_nothing(simulator):
    """Files belong to the key that sent them."""
    file = asked(simulator, upload)

    async def look(client):
        return [f async for f in client.files.list()], await refused(client.files.retrieve(file.id))

    assert asked(simulator, look, key="sk-other")[0] == []


@pytest.mark.parametrize(
    ("arguments", "code", "param"),
    [
        ({"purpose": "fun"}, "invalid_value", "purpose"),
        ({"name": "rows.csv"}, None, "file"),
        ({"expires_after": {"anchor": "created_at", "seconds": 60}}, "integer_below_min_value", "seconds"),
        (
            {"expires_after": {"anchor": "last_active_at", "seconds": 3_600}},
            "invalid_value",
            "expires_after.anchor",
        ),
        (
            {"expires_after": {"anchor": "created_at"}},
            "missing_required_parameter",
            "expires_after.seconds",
        ),
    ],
)
def test_a_wrong_upload_is_refused(simulator, arguments, code, param):
    """400, with the argument that is wrong."""
    error = asked(simulator, lambda client: refused(upload(client, **arguments)))
    assert (error.status_code, error.code, error.param) == (400, code, param)


def test_a_file_that_is_too_large_is_refused(simulator, monkeypatch):
    """413, before it is read."""
    monkeypatch.setattr(later_routes, "MAX_UPLOAD_BYTES", 0)
    monkeypatch.setattr(later_routes, "_FORM_BYTES", 1_000)
    error = asked(simulator, lambda client: refused(upload(client, content=b"x" * 1_000)))
    assert error.status_code == 413


def test_no_key_no_files(simulator):
    """401, as everywhere."""
    assert simulator.get("/v1/files", key=None).status_code == 401
    assert simulator.get("/v1/batches", key="sk-invalid").status_code == 401
