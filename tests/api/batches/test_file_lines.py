"""The lines of a remote file: whole ones, each once, whatever becomes of the connection."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator

import pytest

import pxt_assets.api.batches.file_lines as file_lines
from pxt_assets.api.batches import UnknownFileError
from pxt_assets.errors import FatalApiError, RunError
from tests.api.batches.api_server import ApiServer, Asked, Reply, error

LINES = [json.dumps({"custom_id": str(i), "text": "x" * (i % 90)}).encode() for i in range(400)]
CONTENT = b"\n".join(LINES) + b"\n"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(lambda _: Reply(CONTENT)).running() as running:
        yield running


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lines, "_CHUNK_BYTES", 1_000)


async def read(server: ApiServer, **options: object) -> list[bytes]:
    async with server.batches(**options) as api:
        return [line async for group in api.lines("file-1") for line in group]


def ranged(asked: Asked, content: bytes = CONTENT, **more: object) -> Reply:
    """What a server gives that knows ranges."""
    first = asked.headers.get("range", "").removeprefix("bytes=").rstrip("-")
    if not first:
        return Reply(content, **more)
    start = int(first)
    head = {"content-range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
    return Reply(content[start:], 206, head, **more)


def test_all_lines_come_in_groups(server: ApiServer) -> None:
    async def main() -> list[int]:
        async with server.batches() as api:
            return [len(group) async for group in api.lines("file-1")]

    sizes = asyncio.run(main())
    assert sum(sizes) == 400
    assert 5 < len(sizes) < 100
    assert asyncio.run(read(server)) == LINES
    assert server.paths[0] == "GET /files/file-1/content"


@pytest.mark.parametrize(
    "content",
    [
        CONTENT[:-1],
        CONTENT.replace(b"\n", b"\r\n"),
        CONTENT.replace(b"\n", b"\n\n \n"),
        b"\xef\xbb\xbf" + CONTENT,
        b"\n" + CONTENT + b"\n\0\n"[:0],
    ],
    ids=["no last break", "crlf", "blank lines", "byte order mark", "blank first line"],
)
def test_breaks_and_blanks_are_no_lines(server: ApiServer, content: bytes) -> None:
    server.route = lambda _: Reply(content)
    assert [line.lstrip(b"\xef\xbb\xbf") for line in asyncio.run(read(server))] == LINES


def test_an_empty_file_has_no_lines(server: ApiServer) -> None:
    for content in (b"", b"\n"):
        server.route = lambda _, content=content: Reply(content)
        assert asyncio.run(read(server)) == []


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize("cut", [0, 1, 999, 1_000, 12_345, len(CONTENT) - 1])
def test_a_download_that_breaks_off_goes_on(server: ApiServer, cut: int, knows_ranges: bool) -> None:
    """By a range, or from the beginning: each line comes once, and none is half."""
    cuts = iter([cut, cut // 2, None])

    def route(asked: Asked) -> Reply:
        here = next(cuts)
        return ranged(asked, cut=here) if knows_ranges else Reply(CONTENT, cut=here)

    server.route = route
    assert asyncio.run(read(server)) == LINES
    assert len(server.asked) in (2, 3)  # of a short rest nothing is cut


def test_a_download_that_goes_on_slowly_is_not_given_up(server: ApiServer) -> None:
    """A server that drops each connection after some kilobytes: there is progress each time."""
    server.route = lambda asked: ranged(asked, cut=2_000)
    content = CONTENT

    def route(asked: Asked) -> Reply:
        reply = ranged(asked)
        return Reply(reply.body, reply.status, reply.headers, cut=2_500 if len(reply.body) > 2_500 else None)

    server.route = route
    assert asyncio.run(read(server, max_retries=0)) == LINES
    assert len(server.asked) > len(content) / 2_500


@pytest.mark.parametrize("at", ["within a line", "between lines"])
def test_a_file_of_unknown_length_is_compared_with_its_description(server: ApiServer, at: str) -> None:
    """An answer that ends with the connection may have been cut, where nobody says how long it is."""
    end = 5_000 if at == "within a line" else CONTENT.index(b"\n", 5_000) + 1
    cuts = iter([end, None])

    def route(asked: Asked) -> Reply:
        if asked.path == "/files/file-1":
            return Reply({"id": "file-1", "bytes": len(CONTENT)})
        return Reply(CONTENT, cut=next(cuts), states_length=False)

    server.route = route
    assert asyncio.run(read(server)) == LINES


@pytest.mark.parametrize(
    "content", [b"\0\0\n" + CONTENT, b"\0\0\n", b"half of it"], ids=["first", "only", "open"]
)
@pytest.mark.parametrize("is_described", [True, False])
def test_a_first_line_that_is_garbled_costs_no_other(
    server: ApiServer, content: bytes, is_described: bool
) -> None:
    """It comes a second time so, and the file is as long as its description says, or has lines besides."""

    def route(asked: Asked) -> Reply:
        if asked.path.endswith("content"):
            return Reply(content)
        return Reply({"id": "file-1", "bytes": len(content)}) if is_described else error(404, "unknown")

    server.route = route
    if is_described or CONTENT in content:
        given = asyncio.run(read(server))
        assert given[-len(LINES) :] == (LINES if CONTENT in content else given)
        assert len(given) == content.count(b"\n")
    else:
        with pytest.raises(RunError, match="no JSON Lines"):
            asyncio.run(read(server))


def test_half_a_last_line_is_never_given(server: ApiServer) -> None:
    """Where nothing else says that the file was cut, its last line does; if it stays so, the line is left out."""
    half = CONTENT[:5_000]
    server.route = lambda asked: (
        Reply(half, states_length=False) if asked.path.endswith("content") else error(404, "no description")
    )
    given = asyncio.run(read(server))
    assert given == LINES[: len(given)]
    assert len(given) == half.count(b"\n")


def test_a_page_in_place_of_the_file_is_a_fault(server: ApiServer) -> None:
    """A gateway's words with status 200 are never taken for lines; the file is asked for again."""
    server.first(Reply(b"<html>\nbusy\n</html>\n"), Reply(b"busy"))
    assert asyncio.run(read(server)) == LINES
    server.route = lambda _: Reply(b"<html>\nsign in\n</html>\n")
    with pytest.raises(RunError, match="Check base_url"):
        asyncio.run(read(server))


def test_another_part_than_asked_for_is_not_taken(server: ApiServer) -> None:
    """A server that answers a range with a later one would lose lines."""

    def route(asked: Asked) -> Reply:
        if "range" not in asked.headers:
            return Reply(CONTENT, cut=5_000 if len(server.asked) == 1 else None)
        head = {"content-range": f"bytes 9000-{len(CONTENT) - 1}/{len(CONTENT)}"}
        return Reply(CONTENT[9_000:], 206, head)

    server.route = route
    with pytest.raises(RunError, match="another part of the file"):
        asyncio.run(read(server))


def test_an_earlier_part_than_asked_for_is_taken(server: ApiServer) -> None:
    """What comes twice is left out."""

    def route(asked: Asked) -> Reply:
        if "range" not in asked.headers:
            return Reply(CONTENT, cut=5_000)
        return Reply(CONTENT[100:], 206, {"content-range": f"bytes 100-{len(CONTENT) - 1}/{len(CONTENT)}"})

    server.route = route
    assert asyncio.run(read(server)) == LINES


def test_a_compressed_file_is_read_all_the_same(server: ApiServer) -> None:
    """It is not asked for, since a range would be one of compressed bytes."""
    server.route = lambda _: Reply(gzip.compress(CONTENT), headers={"content-encoding": "gzip"})
    assert asyncio.run(read(server)) == LINES
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_a_file_that_is_gone_is_unknown(server: ApiServer) -> None:
    """Also when it goes while it is read; the message says what else it may be."""
    server.route = lambda _: error(404, "No such File object: file-1")
    with pytest.raises(UnknownFileError, match="check api_key, project"):
        asyncio.run(read(server))
    server.route = lambda asked: error(404) if len(server.asked) > 2 else Reply(CONTENT, cut=5_000)
    with pytest.raises(UnknownFileError):
        asyncio.run(read(server))


def test_a_refused_file_is_told_in_the_houses_words(server: ApiServer) -> None:
    server.route = lambda _: error(401, "wrong key sk-secret-4711")
    with pytest.raises(FatalApiError, match="Check api_key") as e:
        asyncio.run(read(server))
    assert "4711" not in str(e.value)


def test_faults_are_tried_again(server: ApiServer) -> None:
    server.first(error(500), None, error(429))
    assert asyncio.run(read(server)) == LINES


def test_a_reader_that_stops_ends_the_download(server: ApiServer) -> None:
    """The connection is given back: the next file is read over it."""

    async def main() -> list[bytes]:
        async with server.batches() as api:
            lines: AsyncIterator[list[bytes]] = api.lines("file-1")
            async for _ in lines:
                break
            await lines.aclose()  # type: ignore[attr-defined]
            return [line async for group in api.lines("file-1") for line in group]

    assert asyncio.run(main()) == LINES


def test_memory_does_not_grow_with_the_file(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 MB and 5 MB take the same."""
    monkeypatch.setattr(file_lines, "_CHUNK_BYTES", 2**18)
    line = json.dumps({"custom_id": "a" * 32, "text": "x" * 900}).encode() + b"\n"

    def peak(count: int) -> int:
        content = line * count
        server.route = lambda _: Reply(content)

        async def main() -> int:
            async with server.batches() as api:
                seen = 0
                async for group in api.lines("file-1"):
                    if not seen:
                        tracemalloc.start()
                    seen += len(group)
                assert seen == count
                most = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                return most

        return asyncio.run(main())

    assert peak(20_000) < peak(5_000) + 2**20


def test_a_long_line_comes_whole(server: ApiServer) -> None:
    """An image is megabytes in one line."""
    long = b'{"custom_id": "x", "b64": "' + b"A" * 300_000 + b'"}'
    server.route = lambda _: Reply(long + b"\n" + long + b"\n")
    assert asyncio.run(read(server)) == [long, long]
