"""Connections that servers close, cut and break at various moments, as a server on loopback does."""

import asyncio
import socket
import ssl
import threading
from pathlib import Path

import pytest

from pxt_assets.api.failure import failure_of
from pxt_assets.api.transport import Transport, transport
from pxt_assets.api.wire import APIConnectionError, APIStatusError, Reply
from pxt_assets.functions import chat_completions
from tests.raw_server import OK, RawServer, raw_server

CHAT = chat_completions.cell_request({"messages": [{"role": "user", "content": "Hi"}], "model": "m"})
LARGE = chat_completions.cell_request(
    {"messages": [{"role": "user", "content": "x" * 9_000_000}], "model": "m"}
)
HERE = Path(__file__).parent


def opened(server: RawServer, **options: float) -> Transport:
    given = {"timeout": 10.0, "most": 100, **options}
    return transport(server.base_url, "sk-secret-4711", None, None, None, **given)


def ask(server: RawServer, *requests, between=None) -> list[Reply | Exception]:
    """The answers, and errors in place of them, to requests one after the other."""

    async def asked() -> list[Reply | Exception]:
        sender, found = opened(server), []
        for request in requests:
            if found and between is not None:
                await between()
            try:
                found.append(await sender.post(request))
            except Exception as e:
                found.append(e)
        await sender.close()
        return found

    return asyncio.run(asked())


def failure(error):
    found = failure_of(error, ())
    assert found is not None
    return found


class TestReuse:
    def test_a_connection_takes_one_request_after_the_other(self):
        """As long as the server lets it."""
        with raw_server() as server:
            assert [reply.content for reply in ask(server, *[CHAT] * 5)] == [OK] * 5
            assert server.requests == [5]

    def test_what_the_server_announces_to_close_is_not_used_again(self):
        """Each request has a connection of its own then."""
        with raw_server(lambda c, _: c.send(OK, "200 OK", "connection: close") or False) as server:
            assert [reply.content for reply in ask(server, *[CHAT] * 3)] == [OK] * 3
            assert server.requests == [1, 1, 1]

    @pytest.mark.parametrize("is_awake", [True, False])
    @pytest.mark.parametrize("ends", ["close", "reset"])
    def test_a_connection_that_ended_meanwhile_is_replaced(self, ends, is_awake):
        """Whether the event loop had a turn in which to see it or not: nothing was sent over it."""
        closed = threading.Event()

        def script(connection, _):
            connection.send()
            (connection.reset if ends == "reset" else connection.sock.close)()
            closed.set()
            return False

        async def between() -> None:
            if is_awake:
                await asyncio.to_thread(closed.wait, 5)
            else:
                closed.wait(5)
            closed.clear()

        with raw_server(script) as server:
            assert [reply.content for reply in ask(server, *[CHAT] * 3, between=between)] == [OK] * 3
            assert server.requests == [1, 1, 1]

    def test_a_request_that_crosses_the_servers_goodbye_is_sent_again(self):
        """The server's kernel has refused it: it had closed before anything arrived. It is no fault."""
        with raw_server() as server:

            async def asked() -> bytes:
                sender = opened(server)
                await sender.post(CHAT)
                connection = await sender._wire._pool.wait()  # it rests
                sender._wire._pool._give(connection)
                blind = type(connection)
                closed = server.connections[0].sock
                closed.shutdown(socket.SHUT_RDWR)
                closed.close()
                with pytest.MonkeyPatch.context() as patched:
                    patched.setattr(
                        blind, "is_open", property(lambda _: True)
                    )  # as though the goodbye were on its way
                    reply = await sender.post(CHAT)
                await sender.close()
                return reply.content

            assert asyncio.run(asked()) == OK
            assert server.requests == [1, 1]

    def test_a_request_that_was_read_and_not_answered_is_not_sent_again(self):
        """Who closes after reading it may have worked on it."""

        def script(connection, before):
            return connection.send() if before == 0 else False

        with raw_server(script) as server:
            first, error = ask(server, CHAT, CHAT)
            assert first.content == OK
            assert failure(error).name == "APITimeoutError"
            assert failure(error).maybe_sent
            assert server.requests == [2]

    def test_a_reset_proves_nothing(self):
        """It may have come after the request was read."""
        with raw_server(lambda c, before: c.reset() if before else c.send()) as server:
            _, error = ask(server, CHAT, CHAT)
            assert "Connection reset" in failure(error).message
            assert failure(error).maybe_sent

    def test_what_nobody_asked_for_ends_a_connection(self):
        """Who reads it as an answer gives it to the wrong row."""
        with raw_server(
            lambda c, _: c.sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}" * 2)
        ) as server:
            assert [reply.content for reply in ask(server, CHAT, CHAT)] == [b"{}"] * 2
            assert server.requests == [1, 1]


class TestEnds:
    def test_a_server_that_is_not_there_got_nothing(self):
        """Nor is it an unknown outcome."""
        with raw_server() as server:
            pass
        (error,) = ask(server, CHAT)
        assert isinstance(error, APIConnectionError)
        assert not failure(error).maybe_sent
        assert "Cannot connect to host 127.0.0.1:" in failure(error).message

    def test_a_name_without_an_address_is_a_server_that_is_not_there(self, monkeypatch):
        """As some resolvers answer for a name of another kind."""
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
        (error,) = ask(RawServer("http://nowhere.test:80/v1"), CHAT)
        assert not failure(error).maybe_sent
        assert "Cannot connect to host nowhere.test:80 ssl:default [its name" in failure(error).message

    def test_an_answer_that_is_cut_is_none(self):
        """Its length tells."""
        with raw_server(
            lambda c, _: c.sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}") or False
        ) as server:
            (error,) = ask(server, CHAT)
            assert "received 2 of 9 bytes" in failure(error).message

    def test_what_is_no_http_is_named(self):
        """Such as the greeting of another protocol."""
        with raw_server(lambda c, _: c.sock.sendall(b"SSH-2.0\r\n") or False) as server:
            (error,) = ask(server, CHAT)
            assert failure(error).name == "ClientResponseError"

    def test_an_answer_may_end_with_its_connection(self):
        """As those of HTTP/1.0 do."""
        with raw_server(lambda c, _: c.sock.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + OK) or False) as server:
            assert [reply.content for reply in ask(server, CHAT, CHAT)] == [OK, OK]

    def test_a_refusal_while_the_request_is_being_sent_is_read(self):
        """A proxy that takes no body of that size answers at once, and reads no further."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def refuse() -> None:
                sock, _ = listener.accept()
                sock.recv(1_000)
                sock.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                threading.Timer(5, sock.close).start()

            threading.Thread(target=refuse, daemon=True).start()
            (error,) = ask(RawServer(f"http://127.0.0.1:{listener.getsockname()[1]}/v1"), LARGE)
            assert isinstance(error, APIStatusError)
            assert error.status_code == 413

    def test_large_bodies_arrive_whole(self):
        """In pieces."""
        with raw_server() as server:
            (reply,) = ask(server, LARGE)
            assert reply.content == OK
            assert server.connections[0].bodies == [LARGE.payload]

    def test_a_cancelled_request_ends_its_connection(self):
        """The server sees that nobody waits for the answer any more."""
        came, gone = threading.Event(), threading.Event()

        def script(connection, _):
            came.set()
            if connection.sock.recv(1) == b"":
                gone.set()
            return False

        async def asked(server) -> None:
            sender = opened(server)
            task = asyncio.create_task(sender.post(CHAT))
            await asyncio.to_thread(came.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(gone.wait, 5)
            await sender.close()

        with raw_server(script) as server:
            asyncio.run(asked(server))


class TestTls:
    @pytest.fixture
    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(HERE / "server.pem")
        return context

    def test_a_server_is_trusted_by_the_environments_authority(self, context, monkeypatch):
        """SSL_CERT_FILE, as the official client does."""
        monkeypatch.setenv("SSL_CERT_FILE", str(HERE / "authority.pem"))
        with raw_server(context=context) as server:
            assert [reply.content for reply in ask(server, CHAT, LARGE, CHAT)] == [OK] * 3
            assert server.requests == [3]

    def test_no_other_is_trusted(self, context, monkeypatch):
        """And it gets nothing."""
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        with raw_server(context=context) as server:
            (error,) = ask(server, CHAT)
            assert (
                "ssl:True [SSLCertVerificationError: (1, '[SSL: CERTIFICATE_VERIFY" in failure(error).message
            )
            assert not failure(error).maybe_sent
            assert server.requests in ([], [0])

    def test_another_name_is_not_trusted(self, context, monkeypatch):
        """The certificate is for another host."""
        monkeypatch.setenv("SSL_CERT_FILE", str(HERE / "authority.pem"))
        with raw_server(context=context) as server:
            server.base_url = server.base_url.replace("127.0.0.1", "127.0.0.2")
            (error,) = ask(server, CHAT)
            assert not failure(error).maybe_sent

    def test_a_file_that_is_not_there_is_said_at_once(self, monkeypatch, tmp_path):
        """Before anything is asked."""
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        with pytest.raises(FileNotFoundError):
            ask(RawServer("https://127.0.0.1:9/v1"), CHAT)

    def test_a_connection_that_ended_unseen_is_replaced(self, context, monkeypatch):
        """Over TLS too."""
        monkeypatch.setenv("SSL_CERT_FILE", str(HERE / "authority.pem"))
        with raw_server(lambda c, _: c.send() or False, context) as server:
            assert [reply.content for reply in ask(server, *[CHAT] * 3)] == [OK] * 3
