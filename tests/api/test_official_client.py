"""JSON that the wire leaves to the official client, such as with headers in the place of others."""

import asyncio

import pytest

from pxt_assets import OpenAIResource
from pxt_assets.api.failure import failure_of
from pxt_assets.functions import chat_completions
from tests.raw_server import OK, raw_server

CHAT = chat_completions.cell_request({"messages": [{"role": "user", "content": "Grüße 😀"}], "model": "m"})


def ask(server, *, key: str = "sk-secret-4711"):
    """The answer, or the failure in its place."""

    async def asked():
        transport = OpenAIResource(api_key=key, base_url=server.base_url, ledger=None)._transport()
        assert transport._wire is None
        try:
            return await transport.post(CHAT)
        except Exception as e:
            return failure_of(e, ())
        finally:
            await transport.close()

    return asyncio.run(asked())


@pytest.fixture
def _other_key(monkeypatch):
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: 1\nAuthorization: Bearer custom-key-98765432")


@pytest.mark.usefixtures("_other_key")
class TestWithAnotherKeyInTheEnvironment:
    def test_the_resources_key_is_sent(self):
        """Whose the environment's headers are is not known."""
        with raw_server() as server:
            assert ask(server).content == OK
            head = server.connections[0].heads[0].lower()
        assert head.count(b"authorization:") == 1
        assert b"authorization: bearer sk-secret-4711\r\n" in head
        assert b"x-team: 1\r\n" in head

    def test_the_body_is_the_requests_bytes(self):
        """Not read and written again."""
        with raw_server() as server:
            ask(server)
            assert server.connections[0].bodies == [CHAT.payload]

    def test_a_refusal_is_the_apis(self):
        """With the name and the words that it has over the wire."""
        refusal = b'{"error":{"message":"No such model","code":"model_not_found"}}'
        with raw_server(lambda c, _: c.send(refusal, "404 Not Found", "x-request-id: r-1")) as server:
            found = ask(server)
        assert (found.name, found.status, found.message) == ("NotFoundError", 404, "No such model")
        assert (found.code, found.request_id) == ("model_not_found", "r-1")

    def test_a_server_that_hangs_up_is_a_lost_answer(self):
        """It may have worked on it."""
        with raw_server(lambda *_: False) as server:
            found = ask(server)
        assert (found.name, found.is_lost) == ("APITimeoutError", True)

    def test_both_keys_are_secrets(self):
        """A server may quote what it was sent."""
        found = OpenAIResource(api_key="sk-secret-4711", ledger=None).known_secrets()
        assert {"sk-secret-4711", "custom-key-98765432"} <= set(found)


def test_each_of_two_headers_of_a_name_is_a_secret(monkeypatch):
    """Whichever is sent."""
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Api-Key: first-key-1\nx-api-key: second-key-2")
    found = OpenAIResource(api_key="sk-secret-4711", ledger=None).known_secrets()
    assert {"first-key-1", "second-key-2"} <= set(found)
