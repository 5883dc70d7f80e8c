"""A server on loopback with files and batches, whose faults a test scripts; and calls that reach it without waiting."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pxt_assets.api.batches.background import OfficialBackground
from pxt_assets.api.batches.calls import Calls, Waiting
from pxt_assets.api.batches.official_batches import OfficialBatches
from pxt_assets.api.transport import transport

KEY = "sk-secret-4711"
NOW = 1_800_000_000.0


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    method: str
    path: str
    """Below the base URL, without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer: bytes are sent as they are, all else as JSON."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    """Bytes after which the connection is dropped."""
    states_length: bool = True
    """Whether it says how long it is; else it ends with the connection."""


Route = Callable[[Asked], Reply | None]
"""Gives the answer; None drops the connection without one."""


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    said = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return Reply(
        said, status, {"x-request-id": "req-7", **{k.replace("_", "-"): v for k, v in headers.items()}}
    )


class ApiServer:
    """The server; `route` may be changed while it runs."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.asked: list[Asked] = []
        self.slept: list[float] = []
        """The pauses that the calls made."""
        self.said: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True

    def first(self, *replies: Reply | None) -> None:
        """Has these replies given first, then what the route gives, which is asked all the same where none is given."""
        left, route = list(replies), self.route
        self.route = lambda asked: left.pop(0) if left else route(asked)

    @property
    def paths(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @contextmanager
    def running(self) -> Iterator["ApiServer"]:
        thread = Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()

    @asynccontextmanager
    async def calls(self, *, azure: bool = False, max_retries: int = 2) -> AsyncIterator[tuple[Calls, Any]]:
        """Calls whose pauses pass at once; faults are tried again for a minute."""
        passed = [0.0]

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            passed[0] += seconds

        version = "2025-04-01-preview" if azure else None
        url = self.base_url.replace("/v1", "/openai") if azure else self.base_url
        way = transport(url, KEY, "org-1", None if azure else "proj-1", version, timeout=10, most=10)
        waiting = Waiting(max_retries, 60.0, sleep, lambda: passed[0], lambda: 0.5)
        try:
            yield (
                Calls(
                    way.official,
                    way.base_url,
                    secrets=(KEY,),
                    waiting=waiting,
                    azure=azure,
                    say=self.said.append,
                ),
                way,
            )
        finally:
            await way.close()

    @asynccontextmanager
    async def batches(self, **options: Any) -> AsyncIterator[OfficialBatches]:
        async with self.calls(**options) as (calls, _):
            yield OfficialBatches(calls, lambda: NOW)

    @asynccontextmanager
    async def background(self, **options: Any) -> AsyncIterator[OfficialBackground]:
        async with self.calls(**options) as (calls, way):
            yield OfficialBackground(calls, way.get)


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if "chunked" in self.headers.get("transfer-encoding", ""):
                body = self._chunks()
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            path = parts.path.removeprefix("/v1").removeprefix("/openai")
            asked = Asked(self.command, path, dict(parse_qsl(parts.query)), headers, body)
            server.asked.append(asked)
            reply = server.route(asked)
            if reply is None:
                self.close_connection = True
                return
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            head = {"content-type": "application/json", **reply.headers}
            if reply.states_length:
                head["content-length"] = str(len(content))
            else:
                head["connection"] = "close"
            lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{k}: {v}" for k, v in head.items()), "", ""]
            self.wfile.write("\r\n".join(lines).encode() + content[: reply.cut])
            if reply.cut is not None or not reply.states_length:
                self.close_connection = True

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815

        def _chunks(self) -> bytes:
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def batch(
    id: str = "batch_1", name: str | None = "b-1", status: str = "validating", **more: Any
) -> dict[str, Any]:
    """A batch as the API describes it."""
    metadata = None if name is None else {"pxt_batch": name}
    said = {"id": id, "object": "batch", "endpoint": "/v1/responses", "status": status, "metadata": metadata}
    return {**said, "input_file_id": "file-1", "created_at": NOW, "request_counts": None, **more}


def page(things: list[dict[str, Any]], asked: Asked, size: int | None = None) -> Reply:
    """A page of a list, after the one that was asked for."""
    ids = [one["id"] for one in things]
    start = ids.index(asked.query["after"]) + 1 if "after" in asked.query else 0
    size = int(asked.query["limit"]) if size is None else size
    return Reply(
        {"object": "list", "data": things[start : start + size], "has_more": start + size < len(things)}
    )
