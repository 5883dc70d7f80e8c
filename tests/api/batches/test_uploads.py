"""Files of batches, uploaded once."""

import asyncio
import email.message
import email.policy
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.batches.api_server import KEY, NOW, ApiServer, Asked, Reply, batch, error, page


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(lambda _: Reply(batch())).running() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "lines"
    file.write_bytes(b'{"custom_id":"a"}\n' * 3)
    return file


def parts_of(asked: Asked) -> dict[str, tuple[str | None, bytes]]:
    """The fields of a form: file name and content."""
    head = f"Content-Type: {asked.headers['content-type']}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = email.message_from_bytes(head + asked.body, policy=email.policy.HTTP)
    return {
        str(part.get_param("name", header="content-disposition")): (
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    }


def test_a_file_is_uploaded_for_batches(server: ApiServer, path: Path) -> None:
    """As a form, in the name of the key, the organization and the project."""
    server.route = lambda _: Reply({"id": "file-9", "status": "processed", "bytes": 54})

    async def main() -> str:
        async with server.batches() as api:
            return await api.upload(path, "b-1.jsonl")

    assert asyncio.run(main()) == "file-9"
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/files")
    assert parts_of(asked) == {"purpose": (None, b"batch"), "file": ("b-1.jsonl", path.read_bytes())}
    sent = [asked.headers[name] for name in ("authorization", "openai-organization", "openai-project")]
    assert sent == [f"Bearer {KEY}", "org-1", "proj-1"]


@pytest.mark.parametrize("fault", [None, Reply(b"<html>busy</html>"), error(502), error(504), Reply(b"")])
def test_an_upload_whose_answer_was_lost_is_found(server: ApiServer, path: Path, fault: Reply | None) -> None:
    """By its name and size; it is not uploaded twice."""
    other = {"id": "file-8", "filename": "b-1.jsonl", "bytes": 7, "created_at": NOW}
    files = [other, {"id": "file-9", "filename": "b-1.jsonl", "bytes": 54, "created_at": NOW}]
    server.route = lambda asked: fault if asked.method == "POST" else page(files, asked)

    async def main() -> str:
        async with server.batches() as api:
            return await api.upload(path, "b-1.jsonl")

    assert asyncio.run(main()) == "file-9"
    assert server.paths == ["POST /files", "GET /files"]
    assert server.asked[1].query == {"purpose": "batch", "limit": "1000", "order": "desc"}


def test_an_upload_that_the_server_never_took_is_made_again(server: ApiServer, path: Path) -> None:
    """With the whole file, after some looks at the list; afterwards it is looked for another one."""
    server.route = lambda asked: Reply({"id": "file-9"}) if asked.method == "POST" else page([], asked)
    server.first(None)

    async def main() -> str:
        async with server.batches() as api:
            return await api.upload(path, "b-1.jsonl")

    assert asyncio.run(main()) == "file-9"
    assert server.paths == ["POST /files", *["GET /files"] * 4, "POST /files", "GET /files"]
    assert parts_of(server.asked[5])["file"][1] == path.read_bytes()


def test_a_file_that_is_not_ready_is_waited_for(server: ApiServer, path: Path) -> None:
    """Azure refuses batches of a file that it has not looked at yet."""
    states = iter(["pending", "running", "processed"])
    server.route = lambda _: Reply({"id": "file-9", "status": next(states)})

    async def main() -> str:
        async with server.batches(azure=True) as api:
            return await api.upload(path, "b-1.jsonl")

    assert asyncio.run(main()) == "file-9"
    assert server.paths == ["POST /files", "GET /files/file-9", "GET /files/file-9"]
