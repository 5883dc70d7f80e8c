"""Answers without end, of other protocols and of odd statuses, as a server on loopback sends them."""

import asyncio
import gzip
from contextlib import suppress

import pytest

from pxt_assets.api.failure import Failure, failure_of
from pxt_assets.api.transport import transport
from pxt_assets.api.wire import Reply
from pxt_assets.functions import chat_completions
from tests.raw_server import OK, raw_server

CHAT = chat_completions.cell_request({"messages": [{"role": "user", "content": "Hi"}], "model": "m"})
HEAD = b"HTTP/1.1 200 OK\r\n"
WHOLE = b"content-length: %d\r\n\r\n%b" % (len(OK), OK)
CHUNKED = b"transfer-encoding: chunked\r\n\r\ne\r\n%b\r\n0\r\n" % OK
TOO_LONG = "Got more than 8190 bytes when reading: b'aaaa"


def ask(*pieces: bytes, endless: bytes = b"") -> Reply | Failure:
    """What a server's answer, whose `endless` part goes on and on, is taken for."""

    def script(connection, _):
        for piece in pieces:
            connection.sock.sendall(piece)
        with suppress(OSError):
            while endless:
                connection.sock.sendall(endless)

    async def asked(url: str) -> Reply | Failure:
        sender = transport(url, "sk-secret-4711", None, None, None, timeout=10.0, most=9)
        try:
            async with asyncio.timeout(5):
                return await sender.post(CHAT)
        except Exception as e:
            found = failure_of(e, ())
            assert found is not None
            return found
        finally:
            await sender.close()

    with raw_server(script) as server:
        return asyncio.run(asked(server.base_url))


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 ",
        HEAD,
        HEAD + b"x-a: ",
        HEAD + b"x-a: 1\r\nx-b: ",
        HEAD + CHUNKED,
        HEAD + CHUNKED + b"x-a: ",
    ],
    ids=["reason", "name", "value", "later value", "name after the body", "value after the body"],
)
def test_a_line_without_end_is_refused_at_once(start):
    """Its memory is the client's."""
    assert TOO_LONG in ask(start, endless=b"a" * 65_536).message


@pytest.mark.parametrize("start", [HEAD, HEAD + CHUNKED], ids=["before the body", "after it"])
def test_lines_without_end_are_refused(start):
    """However short each is."""
    assert "Too many headers received" in ask(start, endless=b"x-a: 1\r\n" * 999).message


@pytest.mark.parametrize(
    ("head", "is_taken"),
    [
        (HEAD + b"x-a: %b\r\n" % (b"a" * 8_187), True),
        (HEAD + b"x-a: %b\r\n" % (b"a" * 8_188), False),
        (HEAD + b"%b: 1\r\n" % (b"a" * 8_191), False),
        (b"HTTP/1.1 200 %b\r\n" % (b"a" * 8_190), True),
        (b"HTTP/1.1 200 %b\r\n" % (b"a" * 8_191), False),
        (HEAD + b"x: 1\r\n" * 127, True),
        (HEAD + b"x: 1\r\n" * 128, False),
    ],
)
def test_what_a_head_may_hold(head, is_taken):
    """8,190 bytes a line, 128 headers: what the official client takes."""
    found = ask(head + WHOLE)
    assert (found.content == OK) if is_taken else (found.name == "ClientResponseError")


def test_a_long_body_has_no_such_bound():
    """In one piece, or in many small ones."""
    body = b" " * 1_000_000 + OK
    assert ask(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body)).content == body
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in OK * 9)
    assert ask(HEAD + b"transfer-encoding: chunked\r\n\r\n", chunks + b"0\r\n\r\n").content == OK * 9


@pytest.mark.parametrize(
    ("upgrade", "rest"), [(b"upgrade: h2c\r\nconnection: upgrade\r\n\r\n", b"\0\1"), (b"\r\n", b"")]
)
def test_a_change_of_protocol_is_an_answer_of_its_status(upgrade, rest):
    """Nobody asked for it, and nothing that follows is an answer."""
    found = ask(b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade, rest)
    assert (found.name, found.status, found.is_lost) == ("APIStatusError", 101, False)


@pytest.mark.parametrize(("status", "name"), [(99, "APIStatusError"), (600, "InternalServerError")])
def test_a_status_that_is_none_is_named(status, name):
    """It is no word before the answer, and nothing comes after it."""
    found = ask(b"HTTP/1.1 %03d Odd\r\n" % status + WHOLE)
    assert (found.name, found.status) == (name, status)


def test_words_before_the_answer_are_passed_over():
    """As many as there are, with headers of their own."""
    early = b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % (b"x: 1\r\n" * 99)
    assert ask(early * 3 + b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + WHOLE).content == OK


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"{}", "Bad status line:\n  Expected HTTP/, RTSP/ or ICE/:\n\n  b'{}'\n    ^"),
        (HEAD + b"x-a : 1\r\n" + WHOLE, "Invalid header token:\n\n  b'x-a : 1'\n       ^"),
        (HEAD + b"x-a: 1\0\r\n" + WHOLE, "Invalid HTTP header: b'1\\x00'"),
    ],
)
def test_what_is_no_http_is_shown(answer, words):
    """The line, and the place in it."""
    assert ask(answer).message.startswith(f"400, message={words!r}, url=")


def test_an_answer_that_breaks_off_into_something_else_was_begun():
    """It has come in part."""
    found = ask(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"no size\r\n")
    assert found.is_lost


def test_spaces_after_a_header_are_no_part_of_it():
    """Nor those before."""
    found = ask(
        HEAD + b"x-request-id:  a b \t\r\ncontent-encoding: gzip \r\n",
        b"content-length: %d\r\n\r\n%b" % (len(body := gzip.compress(OK)), body),
    )
    assert (found.headers["x-request-id"], found.content) == ("a b", OK)
