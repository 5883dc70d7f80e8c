"""A small HTTP server on loopback that speaks the API as a test scripts it, and remembers what it was asked."""

import base64
import email.message
import email.policy
import json
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pxt_assets import OpenAIResource


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    path: str
    """With the query."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Mapping[str, Any]
    """A JSON body's object; of a form its fields as text and its files, a list of them where one name has several."""
    method: str = "POST"

    @property
    def text(self) -> str:
        """What the last message says, or the input or prompt of a request that has one."""
        if "messages" in self.body:
            return str(self.body["messages"][-1]["content"])
        return str(self.body.get("input", self.body.get("prompt")))


@dataclass(frozen=True)
class Uploaded:
    """A file of a form."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Reply:
    """An answer: `body` is sent as it is if it is bytes, as JSON otherwise."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Script = Callable[[Asked], Reply | None]
"""Gives the answer to a request; None drops the connection without one."""


def form(content_type: str, raw: bytes) -> dict[str, Any]:
    """The fields and files of a multipart body."""
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    found: dict[str, Any] = {}
    for part in email.message_from_bytes(head + raw, policy=email.policy.HTTP).iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        filename = part.get_filename()
        value = content.decode() if filename is None else Uploaded(filename, part.get_content_type(), content)
        if name in found:
            earlier = found[name] if isinstance(found[name], list) else [found[name]]
            found[name] = [*earlier, value]
        else:
            found[name] = value
    return found


def chat(asked: Asked, content: str | None = None, **more: Any) -> Reply:
    """A chat answer, `re: <what was asked>` unless it is told what to say; 10 tokens in, 5 out."""
    return Reply(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": asked.body.get("model"),
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {
                        "role": "assistant",
                        "content": f"re: {asked.text}" if content is None else content,
                    },
                }
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
            **more,
        }
    )


def vectors(asked: Asked, *, as_floats: bool = False, backwards: bool = False) -> Reply:
    """Embeddings `[length of the text, 1, 2]`."""
    data = []
    for i, text in enumerate(asked.body["input"]):
        vector = [float(len(text)), 1.0, 2.0]
        packed = base64.b64encode(struct.pack("<3f", *vector)).decode()
        data.append({"object": "embedding", "index": i, "embedding": vector if as_floats else packed})
    return Reply(
        {
            "object": "list",
            "model": asked.body["model"],
            "data": data[::-1] if backwards else data,
            "usage": {"prompt_tokens": 3 * len(data), "total_tokens": 3 * len(data)},
        }
    )


def refusal(
    status: int,
    message: str = "no",
    *,
    code: str | None = None,
    type: str | None = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error as the API words it."""
    error = {"message": message, "type": type, "param": None, "code": code}
    return Reply({"error": error}, status, {"x-request-id": "req-7", **(headers or {})})


def at_first(replies: Sequence[Reply | None], then: Script = chat) -> Script:
    """The replies one after the other, then what `then` says."""
    left = list(replies)

    def script(asked: Asked) -> Reply | None:
        return left.pop(0) if left else then(asked)

    return script


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = (
        256  # connections opened at once; one that is not queued is tried again a second later
    )


class ScriptedServer:
    """The server, and what it was asked; `script` may be changed while it runs."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.pages: dict[str, Reply] = {}
        """What a GET of a path gives; 404 for any other."""
        self.fetched: list[Asked] = []
        self._http = _Http(("127.0.0.1", 0), _handler(self))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def texts(self) -> list[str]:
        """What was asked, sorted: requests overtake each other."""
        return sorted(asked.text for asked in self.asked)

    def forget(self) -> None:
        """Forgets what it was asked."""
        self.asked.clear()

    @contextmanager
    def running(self) -> Iterator["ScriptedServer"]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


def resource_of(server: ScriptedServer, **options: Any) -> OpenAIResource:
    """A resource that asks `server`, and retries a fault once."""
    return OpenAIResource(
        **{"base_url": server.base_url, "api_key": "sk-secret-4711", "max_retries": 1, **options}
    )


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            is_form = headers.get("content-type", "").startswith("multipart/form-data")
            asked = Asked(
                self.path, headers, form(headers["content-type"], raw) if is_form else json.loads(raw)
            )
            server.asked.append(asked)
            self._answer(server.script(asked))

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            page = server.pages.get(self.path)
            server.fetched.append(Asked(self.path, headers, {}, "GET"))
            self._answer(refusal(404, "no such page") if page is None else page)

        def _answer(self, reply: Reply | None) -> None:
            if reply is None:
                self.close_connection = True
                return
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            head = {"content-type": "application/json", "content-length": len(body), **reply.headers}
            lines = [
                f"HTTP/1.1 {reply.status} Scripted",
                *(f"{name}: {value}" for name, value in head.items()),
            ]
            self.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
