"""Requests as the package sends them, held against the API's official description.

The description is `openai-2.3.0-subset.json`: OpenAI's own, title "OpenAI API", version 2.3.0, MIT license; see
`openapi.py` for how it is read.
"""

import asyncio
import base64
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pxt_assets import Table
from pxt_assets.api.meter import Meter
from pxt_assets.api.request import pack
from pxt_assets.functions import (
    chat_completions,
    embeddings,
    image_edits,
    image_generations,
    responses,
    transcriptions,
    translations,
)
from pxt_assets.values.types import Audio, Image
from tests.conformance.media_calls import MASK, MEDIA_CALLS
from tests.conformance.openapi import fields, problems
from tests.conformance.samples import picture, recording
from tests.conformance.text_calls import CHAT_MODEL, HELLO, TEXT_CALLS, asking, chat_image
from tests.runs import materialize, rows_asset
from tests.scripted_server import Asked, Reply, ScriptedServer, chat, resource_of, vectors

CALLS = {**TEXT_CALLS, **MEDIA_CALLS}
NOT_FOR_CELLS = {
    "/chat/completions": {"stream", "stream_options", "functions", "function_call"},
    "/responses": {"stream", "stream_options"},
    "/images/generations": {"stream", "partial_images"},
    "/images/edits": {"stream", "partial_images"},
    "/audio/transcriptions": {"stream"},
}
"""Arguments that no call has: cells hold whole answers, and `functions` became `tools` in 2023."""


def answer(asked: Asked) -> Reply:
    """An answer of each endpoint."""
    path = asked.path.removeprefix("/v1")
    if path == "/chat/completions":
        return chat(asked, "fine")
    if path == "/embeddings":
        return vectors(asked)
    if path.startswith("/images/"):
        return Reply({"created": 1, "data": [{"b64_json": base64.b64encode(picture()).decode()}]})
    if path == "/audio/speech":
        return Reply(recording())
    if path.startswith("/audio/"):
        is_text = asked.body.get("response_format") in ("text", "srt", "vtt")
        return Reply(b"fine" if is_text else {"text": "fine"})
    return Reply({"output": []} if path == "/responses" else {"results": [{"flagged": False}]})


@pytest.fixture(scope="module")
def api() -> Iterator[ScriptedServer]:
    """A server that answers every endpoint."""
    with ScriptedServer(answer).running() as server:
        yield server


@pytest.fixture
def store_and_api(store, api):
    api.forget()
    return {"store": store, "openai": resource_of(api, default_rpm=1e6)}


def request_of(function: Any, arguments: Mapping[str, Any]) -> Any:
    """The request of a call, as a run makes it."""
    call = function(**arguments)
    request = call._function.cell_request(call._arguments)
    return request if request.max_cells == 1 else pack([request, request])


def sent(api: ScriptedServer, function: Any, arguments: Mapping[str, Any]) -> Asked:
    """What arrives at the server."""

    async def send() -> None:
        async with resource_of(api, default_rpm=1e6).client() as client:
            await client.send(request_of(function, arguments), Meter())

    api.forget()
    asyncio.run(send())
    (asked,) = api.asked
    return asked


@pytest.mark.parametrize(
    ("path", "more"),
    [
        pytest.param(path, more, id=f"{function.name}: {what}")
        for path, (function, _, matrix) in CALLS.items()
        for what, more in matrix.items()
    ],
)
def test_requests_conform(api, path, more):
    """Method, path, content type, and every field of what is sent are as described."""
    function, least, _ = CALLS[path]
    asked = sent(api, function, {**least, **more})
    assert asked.path == f"/v1{path}"
    assert problems(asked) == []


def test_images_of_responses_may_leave_out_detail(api):
    """As in the documented example; the description requires it, so it is sent as "auto"."""
    parts = [{"type": "input_text", "text": "?"}, {"type": "input_image", "image_url": picture()}]
    assert problems(sent(api, responses, {"input": asking(*parts), "model": CHAT_MODEL})) == []


@pytest.mark.parametrize("path", CALLS)
def test_all_arguments_are_tried(path):
    """Each argument that an endpoint has is in one of the calls above."""
    function, least, matrix = CALLS[path]
    tried = {name for more in matrix.values() for name in request_of(function, {**least, **more}).body}
    assert fields(path) - NOT_FOR_CELLS.get(path, set()) == tried


def test_what_is_wrong_is_found_on_this_way(api):
    """Other keywords are sent as they are given, in JSON and in forms, so a mistaken one arrives and is found."""
    misspelt = {"messages": HELLO, "model": CHAT_MODEL, "temprature": 1}
    assert problems(sent(api, chat_completions, misspelt)) != []
    mistyped = {"audio": recording(), "model": "whisper-1", "temperature": "warm"}
    assert problems(sent(api, transcriptions, mistyped)) != []


class TestColumns:
    """What stands in columns is sent like what stands in code."""

    def check(self, api: ScriptedServer, requests: int) -> None:
        assert len(api.asked) == requests
        assert [problems(asked) for asked in api.asked] == [[]] * requests

    def test_images_by_their_paths(self, store_and_api, api, tmp_path):
        """The files are sent, not their paths."""
        paths = [tmp_path / "a.jpeg", tmp_path / "b.bmp"]
        for path in paths:
            path.write_bytes(picture(path.suffix[1:].upper()))
        pictures = rows_asset({"picture": [str(path) for path in paths]})
        tbl = Table(pictures, schema={"picture": Image})
        tbl.add_computed_column(seen=chat_completions(chat_image(tbl.picture), model=CHAT_MODEL))
        materialize([pictures, *tbl.assets], **store_and_api)
        self.check(api, 2)
        urls = sorted(asked.body["messages"][0]["content"][1]["image_url"]["url"] for asked in api.asked)
        assert [url.partition(";")[0] for url in urls] == ["data:image/jpeg", "data:image/png"]

    def test_images_as_bytes_and_masks(self, store_and_api, api):
        """The name of each file tells what it is; the row without a mask has no such field."""
        pictures = rows_asset({"picture": [picture(), picture("WEBP")], "mask": [MASK, None]})
        tbl = Table(pictures, schema={"picture": Image, "mask": Image})
        edited = image_edits(tbl.picture, prompt="Add a hat", model="gpt-image-2", mask=tbl.mask)
        tbl.add_computed_column(edited=edited)
        materialize([pictures, *tbl.assets], **store_and_api)
        self.check(api, 2)
        files = {
            asked.body["image"].filename: {name for name in asked.body if name != "image"}
            for asked in api.asked
        }
        assert files == {"image.png": {"mask", "model", "prompt"}, "image.webp": {"model", "prompt"}}

    def test_recordings(self, store_and_api, api, tmp_path):
        """The name that is sent has the extension of what the file is, not of the file."""
        path = tmp_path / "voice.mp3"
        path.write_bytes(recording())
        recordings = rows_asset({"voice": [str(path)]})
        tbl = Table(recordings, schema={"voice": Audio})
        tbl.add_computed_column(heard=transcriptions(tbl.voice, model="whisper-1", language="en"))
        materialize([recordings, *tbl.assets], **store_and_api)
        self.check(api, 1)
        assert api.asked[0].body["file"].filename == "file.wav"

    def test_many_texts_in_one_request(self, store_and_api, api):
        """Embeddings of equal options are asked for together."""
        texts = rows_asset({"text": ["a", "b", None, "c"]})
        tbl = Table(texts)
        tbl.add_computed_column(embed=embeddings(tbl.text, model="text-embedding-3-small", dimensions=8))
        materialize([texts, *tbl.assets], **store_and_api)
        self.check(api, 1)
        assert sorted(api.asked[0].body["input"]) == ["a", "b", "c"]

    def test_options_of_each_row(self, store_and_api, api):
        """A column of options, and one of models."""
        rows = rows_asset({"text": ["a", "b"], "model": ["gpt-5-mini", CHAT_MODEL], "most": [16, 32]})
        tbl = Table(rows)
        options = {"max_output_tokens": tbl.most, "instructions": "Be brief."}
        tbl.add_computed_column(said=responses(tbl.text, model=tbl.model, model_kwargs=options))
        materialize([rows, *tbl.assets], **store_and_api)
        self.check(api, 2)


@pytest.mark.parametrize("model", ["gpt-image-2", "gpt-image-1.5", "chatgpt-image-latest"])
def test_gpt_image_models_are_asked_for_no_response_format(api, model):
    """They know none, which the description says in prose alone."""
    arguments = {"prompt": "A cat", "model": model, "response_format": "b64_json"}
    assert "response_format" not in sent(api, image_generations, arguments).body


def test_translations_are_asked_for_no_language(api):
    """The API has none, though the documented example gives one."""
    arguments = {"audio": recording(), "model": "whisper-1", "language": "en"}
    assert sent(api, translations, arguments).body.keys() == {"file", "model"}
