"""The routes of what is answered later: files, batches, and responses in the background."""

import asyncio
import json
import logging
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pxt_assets.simulator.batches.batches import Pieces, in_turn, unknown_file
from pxt_assets.simulator.batches.file_records import FileRecord
from pxt_assets.simulator.batches.storage import new_id, owner_of
from pxt_assets.simulator.endpoint.endpoint import Answer, Call
from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request, no_quota, server_error
from pxt_assets.simulator.endpoint.multipart import open_form
from pxt_assets.simulator.responses.response import ResponseCall
from pxt_assets.simulator.server.begun_answer import begin_answer
from pxt_assets.simulator.server.later_arguments import read_batch, read_page, read_upload
from pxt_assets.simulator.server.request_body import read_json, read_key
from pxt_assets.simulator.server.simulator import DROPPED, DroppedConnectionError, Simulator

_log = logging.getLogger("pxt_assets.simulator")
MAX_UPLOAD_BYTES = 512 * 1024 * 1024
_CHUNK = 256 * 1024
_FORM_BYTES = 1024 * 1024
"""Bytes that a form may have beside its file."""

Content = dict[str, Any] | tuple[Pieces, int]
"""An answer: an object, or a file's content in pieces and its size."""
Handler = Callable[["_Asked"], Awaitable[Content]]


class _Asked:
    """A request, with who asks."""

    def __init__(self, simulator: Simulator, request: Request) -> None:
        self.simulator = simulator
        self.request = request
        self.key = read_key(request)
        self.owner = owner_of(self.key)

    def answering(self, endpoint: str) -> "_Answering":
        """What answers the requests of a batch of that endpoint, such as "/v1/embeddings"."""
        root = str(self.request.base_url)
        return _Answering(self.simulator, endpoint.removeprefix("/v1/"), self.key, root)

    def find_file(self) -> FileRecord:
        """The file that is asked for. Raises a 404 for one that is not there."""
        id = self.request.path_params["id"]
        file = self.simulator.uploads.find(self.owner, id)
        if file is None:
            raise unknown_file(id)
        return file

    async def settle(self) -> None:
        """Record what is over by now, so that its results are files."""
        await self.simulator.batches.settle(self.owner, self.answering)


class _Answering:
    """Answers the requests of one batch as the simulator's endpoint does."""

    def __init__(self, simulator: Simulator, endpoint: str, key: str, root_url: str) -> None:
        self._simulator = simulator
        self._endpoint = endpoint
        self._key = key
        self._root_url = root_url

    async def read(self, body: dict[str, Any]) -> Call:
        """The call that a body asks for."""
        call = await self._simulator.read_call(self._endpoint, body, self._key)
        if isinstance(call, ResponseCall) and call.request.background:
            raise bad_request("'background' is not supported in a batch.", param="background")
        return call

    async def answer(self, call: Call, identity: bytes) -> Answer:
        """Its answer."""
        answer = await self._simulator.answer_call(self._endpoint, call, identity)
        return self._simulator.publish(answer, self._root_url)


class _LaterApp:
    """The ASGI application of one route: the key, a fault if one is drawn, the answer."""

    def __init__(self, simulator: Simulator, handler: Handler) -> None:
        self._simulator = simulator
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        simulator, arrived_at = self._simulator, self._simulator.clock()
        try:
            asked = _Asked(simulator, Request(scope, receive))
            dropped = await simulator.meet_fault(arrived_at)
            content = await self._handler(asked)
            if dropped:  # it has been done, and the client does not learn of it
                await self._break_off(content, arrived_at, send)
                raise DroppedConnectionError(DROPPED)
            response = self._response(content, arrived_at)
        except SimulatedError as error:
            response = self._refusal(error, arrived_at)
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, DroppedConnectionError):
                raise
            _log.warning("The simulator's files and batches cannot be used: %s", error)
            response = self._refusal(server_error(), arrived_at)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _refusal(self, error: SimulatedError, arrived_at: float) -> Response:
        body = error.body()
        response = Response(body, error.status)
        headers = [*self._simulator.standard_headers(arrived_at), *error.headers]
        response.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]
        return response

    async def _break_off(self, content: Content, arrived_at: float, send: Send) -> None:
        """Send the beginning of an answer; of a file some half of it."""
        headers = self._simulator.standard_headers(arrived_at)
        if not isinstance(content, tuple):
            await begin_answer(send, headers)
            return
        pieces, size = content
        start = {"status": 200, "headers": [*headers, (b"content-length", b"%d" % size)]}
        await send({"type": "http.response.start", **start})
        left = size // 2
        with closing(pieces):
            for piece in pieces:
                await send({"type": "http.response.body", "body": piece[:left], "more_body": True})
                left -= len(piece)
                if left <= 0:
                    return

    def _response(self, content: Content, arrived_at: float) -> Response:
        response: Response
        if isinstance(content, tuple):
            pieces, size = content
            response, kind = StreamingResponse(in_turn(pieces)), "application/octet-stream"
        else:
            body = json.dumps(content).encode()
            response, size, kind = Response(body), len(body), "application/json"
        headers = self._simulator.standard_headers(arrived_at, kind)
        response.raw_headers = [*headers, (b"content-length", b"%d" % size)]
        return response


async def _upload(asked: _Asked) -> Content:
    simulator = asked.simulator
    async with open_form(asked.request, MAX_UPLOAD_BYTES + _FORM_BYTES) as form:
        given = read_upload(form)
        id = new_id("file")
        content = simulator.uploads.content(id)
        size = await asyncio.to_thread(_copy, given.file.file, content)
    now = simulator.storage.now()
    expires = None if given.kept_seconds is None else now + given.kept_seconds
    simulator.later.files += 1
    name = Path(given.file.filename or "").name
    return simulator.uploads.add(asked.owner, id, name, given.purpose, size, now, expires).as_json()


def _copy(file: BinaryIO, to: Path) -> int:
    """Copy an upload to its place; its size in bytes."""
    with to.open("wb") as copy:
        shutil.copyfileobj(file, copy, _CHUNK)
        return copy.tell()


async def _list_files(asked: _Asked) -> Content:
    await asked.settle()
    page = read_page(asked.request.query_params, 10_000, 10_000, of_files=True)
    uploads = asked.simulator.uploads
    after = None
    if page.after is not None:
        after = uploads.find(asked.owner, page.after)
        if after is None:
            raise unknown_file(page.after)
    found, more = uploads.page(
        asked.owner, after=after, limit=page.limit, ascending=page.ascending, purpose=page.purpose
    )
    return _list([file.as_json() for file in found], more)


async def _show_file(asked: _Asked) -> Content:
    await asked.settle()
    return asked.find_file().as_json()


async def _show_content(asked: _Asked) -> Content:
    await asked.settle()
    file = asked.find_file()
    if file.results is not None:
        return asked.simulator.batches.content(asked.owner, file), file.bytes
    content = asked.simulator.uploads.content(file.id)
    if not content.exists():
        raise unknown_file(file.id)
    return _chunks(content), file.bytes


def _chunks(content: Path) -> Pieces:
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


async def _delete_file(asked: _Asked) -> Content:
    await asked.settle()
    file = asked.find_file()
    asked.simulator.uploads.delete(file)
    return {"id": file.id, "object": "file", "deleted": True}


async def _create_batch(asked: _Asked) -> Content:
    given = read_batch(read_json(await asked.request.body()))
    if asked.key.startswith("sk-no-quota"):
        raise no_quota()
    file = asked.simulator.uploads.find(asked.owner, given.input_file_id)
    if file is None:
        raise unknown_file(given.input_file_id)
    if file.purpose != "batch":
        raise bad_request(
            f"Invalid file purpose. The file '{file.id}' was uploaded with purpose '{file.purpose}', expected 'batch'.",
            param="input_file_id",
        )
    asked.simulator.later.batches += 1
    return asked.simulator.batches.create(
        asked.owner,
        asked.answering,
        input_file=file.id,
        endpoint=given.endpoint,
        metadata=given.metadata,
        output_seconds=given.output_seconds,
    )


async def _list_batches(asked: _Asked) -> Content:
    page = read_page(asked.request.query_params, 100, 20, of_files=False)
    found, more = await asked.simulator.batches.page(
        asked.owner, asked.answering, after=page.after, limit=page.limit
    )
    return _list(found, more)


async def _show_batch(asked: _Asked) -> Content:
    asked.simulator.later.batch_polls += 1
    id = asked.request.path_params["id"]
    return await asked.simulator.batches.retrieve(asked.owner, id, asked.answering)


async def _cancel_batch(asked: _Asked) -> Content:
    id = asked.request.path_params["id"]
    return await asked.simulator.batches.cancel(asked.owner, id, asked.answering)


async def _show_response(asked: _Asked) -> Content:
    asked.simulator.later.background_polls += 1
    if asked.request.query_params.get("stream") == "true":
        raise bad_request(
            "Streaming is not simulated: leave out 'stream'.", code="not_simulated", param="stream"
        )
    return asked.simulator.background.retrieve(asked.owner, asked.request.path_params["id"])


async def _cancel_response(asked: _Asked) -> Content:
    return asked.simulator.background.cancel(asked.owner, asked.request.path_params["id"])


async def _delete_response(asked: _Asked) -> Content:
    return asked.simulator.background.delete(asked.owner, asked.request.path_params["id"])


def _list(data: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    ids = [one["id"] for one in data]
    return {
        "object": "list",
        "data": data,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": more,
    }


_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/v1/files", _upload),
    ("GET", "/v1/files", _list_files),
    ("GET", "/v1/files/{id}", _show_file),
    ("GET", "/v1/files/{id}/content", _show_content),
    ("DELETE", "/v1/files/{id}", _delete_file),
    ("POST", "/v1/batches", _create_batch),
    ("GET", "/v1/batches", _list_batches),
    ("GET", "/v1/batches/{id}", _show_batch),
    ("POST", "/v1/batches/{id}/cancel", _cancel_batch),
    ("GET", "/v1/responses/{id}", _show_response),
    ("POST", "/v1/responses/{id}/cancel", _cancel_response),
    ("DELETE", "/v1/responses/{id}", _delete_response),
)


def later_routes(simulator: Simulator) -> list[Route]:
    """The routes of files, batches and responses in the background."""
    return [Route(path, _LaterApp(simulator, handler), methods=[method]) for method, path, handler in _ROUTES]
