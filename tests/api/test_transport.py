"""One attempt of a request, as a server on loopback sees it."""

import asyncio
from typing import Any

import openai
import pytest

from pxt_assets import OpenAIResource
from pxt_assets.api.wire import APIConnectionError, APIStatusError
from pxt_assets.functions import chat_completions, image_edits, image_generations, speech, transcriptions
from tests.pictures import mask, picture, sound
from tests.scripted_server import Asked, Reply, ScriptedServer, Uploaded, refusal, resource_of

CHAT = chat_completions.cell_request({"messages": [{"role": "user", "content": "Hi 😀"}], "model": "m"})
EDIT = image_edits.cell_request(
    {"image": picture(), "mask": mask(), "prompt": "p", "model": "gpt-image-2", "n": 2}
)
HEARD = {"audio": sound(), "model": "whisper-1"}


def post(resource: OpenAIResource, *requests: Any) -> list[Any]:
    """Sends the requests one after the other."""

    async def sent() -> list[Any]:
        transport = resource._transport()
        try:
            return [await transport.post(request) for request in requests]
        finally:
            await transport.close()

    return asyncio.run(sent())


def asked(server: ScriptedServer, request: Any = CHAT, **options: Any) -> Asked:
    """What the server is asked."""
    post(resource_of(server, **options), request)
    return server.asked[-1]


class TestJson:
    def test_the_body_is_the_requests_payload(self, server):
        """As JSON in UTF-8."""
        got = asked(server)
        assert got.body == CHAT.body
        assert got.path == "/v1/chat/completions"
        assert got.headers["content-type"] == "application/json"

    @pytest.mark.parametrize("request_", [CHAT, EDIT], ids=["json", "form"])
    def test_the_account_is_named(self, server, request_):
        """The key, and the organization and project where they are given."""
        got = asked(server, request_, organization="org-1", project="proj-2").headers
        assert got["authorization"] == "Bearer sk-secret-4711"
        assert (got["openai-organization"], got["openai-project"]) == ("org-1", "proj-2")

    @pytest.mark.parametrize("request_", [CHAT, EDIT], ids=["json", "form"])
    def test_no_account_is_named_that_was_not_given(self, server, request_, monkeypatch):
        """A header that is empty would be refused."""
        for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
            monkeypatch.delenv(name, raising=False)
        got = asked(server, request_).headers
        assert not got.keys() & {"openai-organization", "openai-project"}

    def test_the_base_urls_path_is_kept(self, server):
        """With a slash at its end or without."""
        root = server.base_url.removesuffix("/v1")
        for base_url in (f"{root}/a/b", f"{root}/a/b/"):
            assert asked(server, base_url=base_url).path == "/a/b/chat/completions"

    def test_the_answer_comes_with_its_headers(self, server):
        """The limiter reads them."""
        server.script = lambda _: Reply({"x": 1}, headers={"x-ratelimit-remaining-requests": "7"})
        (response,) = post(resource_of(server), CHAT)
        assert response.headers["x-ratelimit-remaining-requests"] == "7"
        assert response.json() == {"x": 1}


class TestErrors:
    @pytest.mark.parametrize("request_", [CHAT, EDIT], ids=["json", "form"])
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, "BadRequestError"),
            (401, "AuthenticationError"),
            (403, "PermissionDeniedError"),
            (404, "NotFoundError"),
            (409, "ConflictError"),
            (413, "APIStatusError"),
            (422, "UnprocessableEntityError"),
            (429, "RateLimitError"),
            (500, "InternalServerError"),
            (529, "InternalServerError"),
        ],
    )
    def test_refusals_are_the_clients_errors(self, server, request_, status, error):
        """The same class and body, whichever way the request went; the client itself retries nothing."""
        server.script = lambda _: refusal(status, "why", code="c")
        with pytest.raises((APIStatusError, openai.APIStatusError)) as e:
            post(resource_of(server), request_)
        assert type(e.value).__name__ == error
        assert issubclass(getattr(openai, error), openai.APIStatusError)
        assert e.value.status_code == status
        assert e.value.body == {"message": "why", "type": "invalid_request_error", "param": None, "code": "c"}
        assert e.value.response.headers["x-request-id"] == "req-7"
        assert len(server.asked) == 1

    def test_a_refusal_that_is_no_json_keeps_its_text(self, server):
        """Such as a proxy's page."""
        server.script = lambda _: Reply(b"<html>too large</html>", 413)
        for request in (CHAT, EDIT):
            with pytest.raises((APIStatusError, openai.APIStatusError)) as e:
                post(resource_of(server), request)
            assert "too large" in e.value.response.text

    @pytest.mark.parametrize("request_", [CHAT, EDIT], ids=["json", "form"])
    def test_a_dropped_connection_is_no_refusal(self, server, request_):
        """It has no status."""
        server.script = lambda _: None
        with pytest.raises((APIConnectionError, openai.APIConnectionError)):
            post(resource_of(server), request_)

    @pytest.mark.parametrize("request_", [CHAT, EDIT], ids=["json", "form"])
    def test_a_server_that_is_not_there_is_no_refusal(self, request_):
        """Nothing listens at the port."""
        with pytest.raises((APIConnectionError, openai.APIConnectionError)):
            post(OpenAIResource(api_key="unused", base_url="http://127.0.0.1:9/v1"), request_)


class TestForms:
    def test_files_are_uploaded_beside_the_fields(self, server):
        """As multipart/form-data with a boundary of its own."""
        got = asked(server, EDIT)
        assert got.headers["content-type"].startswith("multipart/form-data; boundary=")
        assert got.body == {
            "prompt": "p",
            "model": "gpt-image-2",
            "n": "2",
            "image": Uploaded("image.png", "image/png", picture()),
            "mask": Uploaded("mask.png", "image/png", mask()),
        }

    def test_several_images_arrive_in_order(self, server):
        """Each whole."""
        images = [picture("red"), picture("blue", format="JPEG")]
        got = asked(
            server, image_edits.cell_request({"image": images, "prompt": "p", "model": "gpt-image-2"})
        )
        assert [file.content for file in got.body["image[]"]] == images

    def test_other_arguments_are_written_as_the_api_takes_them(self, server):
        """Lists by `name[]`, dicts by `name[key]`, truth as `true`."""
        more = {
            "timestamp_granularities": ["word", "segment"],
            "include": ["logprobs"],
            "chunking_strategy": {"type": "server_vad", "threshold": 0.5},
            "stream": False,
            "temperature": 0,
        }
        body = asked(server, transcriptions.cell_request({**HEARD, "model_kwargs": more})).body
        assert body["timestamp_granularities[]"] == ["word", "segment"]
        assert body["include[]"] == "logprobs"
        assert (body["chunking_strategy[type]"], body["chunking_strategy[threshold]"]) == (
            "server_vad",
            "0.5",
        )
        assert (body["stream"], body["temperature"]) == ("false", "0")
        assert body["file"].content == sound()

    def test_text_that_is_not_ascii_arrives_as_it_is(self, server):
        """As do line ends and quotes."""
        prompt = 'Grüße "😀"\r\n--boundary'
        got = asked(server, image_edits.cell_request({"image": picture(), "prompt": prompt, "model": "m"}))
        assert got.body["prompt"] == prompt


class TestAzure:
    @pytest.mark.parametrize(
        ("request_", "path"),
        [
            (CHAT, "/openai/deployments/m/chat/completions"),
            (
                image_generations.cell_request({"prompt": "p", "model": "d"}),
                "/openai/deployments/d/images/generations",
            ),
            (
                speech.cell_request({"input": "x", "model": "d", "voice": "nova"}),
                "/openai/deployments/d/audio/speech",
            ),
            (EDIT, "/openai/deployments/gpt-image-2/images/edits"),
            (transcriptions.cell_request(HEARD), "/openai/deployments/whisper-1/audio/transcriptions"),
        ],
        ids=["chat", "generations", "speech", "edits", "transcriptions"],
    )
    def test_the_model_is_the_deployment(self, server, request_, path):
        """It stands in the path; the key is in a header of Azure's own."""
        root = server.base_url.removesuffix("/v1")
        got = asked(server, request_, base_url=f"{root}/openai", api_version="2025-04-01-preview")
        assert got.path == f"{path}?api-version=2025-04-01-preview"
        assert got.headers["api-key"] == "sk-secret-4711"
        assert got.body["model"] == request_.body["model"]
