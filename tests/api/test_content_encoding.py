"""Compressed answers, whole, cut, and in encodings that nobody asked for."""

import asyncio
import gzip
import json
import zlib

import httpx2
import pytest

from pxt_assets.api.content_encoding import check_encoding, decoded
from pxt_assets.errors import CellError
from pxt_assets.functions import chat_completions, image_variations, speech
from tests.pictures import picture
from tests.runs import materialize, rows_asset, stored, values
from tests.scripted_server import Reply, chat, resource_of

BODY = json.dumps({"choices": [{"message": {"content": "yes " * 500}}]}).encode()


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


def read(
    content: bytes, encoding: str, status: int = 200, piece: int = 7, asked: str = "gzip, deflate"
) -> bytes:
    """What an answer that comes in pieces is read as."""

    class Pieces(httpx2.AsyncByteStream):
        async def __aiter__(self):
            for i in range(0, len(content), piece):
                yield content[i : i + piece]

    async def main() -> bytes:
        request = httpx2.Request("POST", "http://h", headers={"accept-encoding": asked})
        headers = {"content-encoding": encoding}
        response = httpx2.Response(status, headers=headers, stream=Pieces(), request=request)
        await check_encoding(response)
        return await response.aread()

    return asyncio.run(main())


@pytest.mark.parametrize("piece", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("GZIP", gzip.compress(BODY, mtime=0)),
        ("x-gzip", gzip.compress(BODY, mtime=0)),
        ("gzip", gzip.compress(BODY[:50], mtime=0) + gzip.compress(BODY[50:], mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("gzip", BODY),
        ("deflate", BODY),
        ("identity", BODY),
        ("utf-8", BODY),
    ],
)
def test_a_whole_answer_is_decoded(encoding, content, piece):
    """Also one whose proxy has decoded it, and left the header as it was."""
    assert read(content, encoding, piece=piece) == BODY


def test_an_empty_answer_is_empty():
    """As a 204 may say it would be gzip."""
    assert read(b"", "gzip") == b""


@pytest.mark.parametrize("end", [1, 2, 9, 40, -9, -1])
@pytest.mark.parametrize(
    ("encoding", "content"), [("gzip", gzip.compress(BODY, mtime=0)), ("deflate", zlib.compress(BODY))]
)
def test_a_cut_answer_is_no_answer(encoding, content, end):
    """The HTTP client would hand out what came until then as though it were all."""
    with pytest.raises(httpx2.DecodingError, match=f"the answer was cut: its {encoding} ends early"):
        read(content[:end], encoding)


def test_a_broken_answer_is_no_answer():
    """Its checksum tells."""
    content = bytearray(gzip.compress(BODY, mtime=0))
    content[-6] ^= 1
    with pytest.raises(httpx2.DecodingError, match="the answer's gzip is broken"):
        read(bytes(content), "gzip")


def test_of_an_error_that_is_cut_the_first_words_are_read():
    """Its status says what to do."""
    assert BODY.startswith(read(gzip.compress(BODY, mtime=0)[:60], "gzip", status=500))


@pytest.mark.parametrize(("encoding", "package"), [("br", "brotli"), ("zstd", "zstandard")])
def test_an_encoding_that_nobody_asked_for_is_named_with_its_package(encoding, package):
    """Asking again would bring the same."""
    with pytest.raises(CellError, match=f"in the encoding '{encoding}', .*install the package {package}"):
        read(b"\x0b\x02\x80", encoding)
    assert b"not asked for" in read(b"\x0b\x02\x80", encoding, status=401)


@pytest.mark.parametrize("encodings", ["zstd, gzip", "gzip, zstd", "gzip,br"])
@pytest.mark.parametrize("content", [gzip.compress(BODY, mtime=0), BODY])
def test_of_several_encodings_one_that_is_gone_is_passed_over(encodings, content):
    """A proxy has decoded it and left its name."""
    assert decoded(content, encodings, strict=True) == BODY


@pytest.mark.parametrize("encodings", ["zstd, gzip", "deflate, zstd", "zstd"])
def test_one_that_is_there_is_named(encodings):
    """With its package, as where it is the only one."""
    zstd = b"\x28\xb5\x2f\xfd rest"
    content = gzip.compress(zstd, mtime=0) if encodings.endswith("gzip") else zstd
    with pytest.raises(CellError, match="install the package zstandard"):
        decoded(content, encodings, strict=True)
    assert b"install the package zstandard" in decoded(content, encodings, strict=False)


def test_an_encoding_that_was_asked_for_is_the_http_clients():
    """It asks for those that it can decode."""

    async def main() -> None:
        request = httpx2.Request("POST", "http://h", headers={"accept-encoding": "gzip, br"})
        response = httpx2.Response(200, headers={"content-encoding": "br"}, content=b"", request=request)
        await check_encoding(response)
        assert response.headers["content-encoding"] == "br"

    asyncio.run(main())


class TestRuns:
    @pytest.mark.parametrize("cuts", [1, 2])
    def test_a_cut_answer_is_asked_for_again(self, serve, store, cuts):
        """Even where it is the first that ever came."""
        left = [cuts]

        def script(asked):
            body = gzip.compress(json.dumps(chat(asked, "yes").body).encode())
            left[0] -= 1
            return Reply(body[:30] if left[0] >= 0 else body, headers={"content-encoding": "gzip"})

        server = serve(script)
        column = table_of(lambda t: chat_completions(t.messages, model="m"))
        materialize(column, store, resource_of(server, max_retries=2))
        assert len(server.texts) == cuts + 1
        assert stored(store, "tickets/c")["c_errortype"].to_pylist() == [None]

    def test_answers_that_are_always_cut_are_their_rows_errors(self, serve, store):
        """The message says what is wrong; the server was reached."""
        server = serve(
            lambda _: Reply(gzip.compress(BODY, mtime=0)[:30], headers={"content-encoding": "gzip"})
        )
        assets = table_of(lambda t: chat_completions(t.messages, model="m"), on_error="ignore")
        materialize(assets, store, resource_of(server, max_retries=1))
        assert (
            "the answer was cut: its gzip ends early" in stored(store, "tickets/c")["c_errormsg"][0].as_py()
        )

    @pytest.mark.parametrize(
        "call",
        [
            lambda t: chat_completions(t.messages, model="m"),
            lambda t: speech(t.body, model="m", voice="v"),
            lambda _: image_variations(picture(), model="m"),
        ],
    )
    def test_an_answer_in_an_unknown_encoding_is_asked_for_once(self, serve, store, call):
        """It may be paid for; typed calls and plain ones say the same."""
        asked = []

        def script(request):
            asked.append(request)
            return Reply(b"\x0b\x02\x80hello\x03", headers={"content-encoding": "br"})

        materialize(table_of(call, on_error="ignore"), store, resource_of(serve(script)))
        assert stored(store, "tickets/c")["c_errortype"].to_pylist() == ["UndecodableAnswer"]
        assert len(asked) == 1


def table_of(call, **options):
    """A table of one row with a column `c` of that call."""
    from pxt_assets import Table

    messages = [{"role": "user", "content": "a"}]
    upstream = rows_asset({"id": [1], "body": ["a"], "messages": [messages]})
    table = Table(upstream, key="id")
    table.add_computed_column(c=call(table), **options)
    return [upstream, *table.assets]


def test_an_answer_with_odd_numbers_is_kept(serve, store):
    """It is paid for; what JSON cannot hold is null in it."""
    body = json.dumps({"choices": [{"message": {"content": "yes"}, "logprobs": float("nan")}]}).encode()
    server = serve(lambda _: Reply(body))
    materialize(table_of(lambda t: chat_completions(t.messages, model="m")), store, resource_of(server))
    (cell,) = values(store, "tickets/c")
    assert json.loads(cell)["choices"][0] == {"message": {"content": "yes"}, "logprobs": None}
