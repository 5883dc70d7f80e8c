"""Requests to the API: what is asked, the digest that names its answer, and how an endpoint is spoken to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Protocol

from pxt_assets.throttle.cost import RequestSize
from pxt_assets.values.digest import digest
from pxt_assets.values.json_text import canonical, dumps
from pxt_assets.values.media import Sent

ORDERED_ARGUMENTS = ("response_format", "text", "tools")
"""Arguments that hold schemas, in which the order of keys has a meaning.
Source: https://platform.openai.com/docs/guides/structured-outputs"""

PAGE_TOKENS = 500
"""Tokens of an answer of whose length nothing is known: a page of text."""


@dataclass(frozen=True)
class Usage:
    """What one or more answers used, as the API's `usage` states it, or as the request itself tells."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    image_tokens: int = 0
    """Input tokens that were images, where these have a price of their own."""
    audio_tokens: int = 0
    """Input tokens that were sound, where these have a price of their own."""
    characters: int = 0
    """Characters read aloud by a model that charges for these."""
    seconds: float = 0.0
    """Seconds of sound heard by a model that charges for these."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer's body: a value for each cell that was asked for, and what they used."""

    values: Sequence[Any]
    usage: Usage | None
    """None where the answer states none."""
    model: str | None = None
    """The model snapshot that answered."""
    urls: Sequence[str] = ()
    """Where the rest of the answer is to be had from."""
    completed: Callable[[Sequence[bytes]], Sequence[Any]] | None = None
    """The values, once the contents of `urls` are there."""


@dataclass(frozen=True)
class Endpoint:
    """How one endpoint of the API is spoken to."""

    path: str
    """`/chat/completions`: below the base URL."""
    parse: Callable[[bytes, Mapping[str, Any]], Parsed]
    """(the answer's body, the request's) -> values. Raises ValueError for a body that is not such an answer."""
    size: Callable[[Mapping[str, Any]], RequestSize] = field(default=lambda _body: RequestSize())
    """What a body holds that the API's limiter may charge for."""
    sends_limits: bool = True
    """Whether answers carry rate-limit headers; if not, requests are paced at a configured rate."""
    uploads: bool = False
    """Whether bodies are forms that upload files; if not, they are JSON."""
    costly: bool = False
    """Whether an answer costs so much that one which may have been paid for is not asked for again lightly."""
    answer_tokens: int = 0
    """Tokens that an answer is expected to have, as long as none is known."""
    charged: Callable[[Mapping[str, Any]], Usage] | None = None
    """What a body is charged for, where that is not the tokens in its `size`: characters, seconds of sound."""
    max_cells: int = 1
    """How many cells one request can carry."""
    max_tokens: float = float("inf")
    """How many tokens (estimated) one request can carry."""
    pack: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]] = field(default=lambda bodies: bodies[0])
    """The bodies of single cells as the body that is sent; they differ in their `input` alone."""


class Asked(Protocol):
    """What names a cell and leads to its value: a request to the API, or the call of a local function."""

    @property
    def digest(self) -> bytes:
        """Names the value."""

    @property
    def held(self) -> int:
        """Bytes of text, images and sounds that it keeps in memory."""

    @property
    def max_cells(self) -> int:
        """How many such cells can be asked for at once."""

    @property
    def max_tokens(self) -> float:
        """How many tokens (estimated) can be asked for at once."""

    @property
    def tokens(self) -> float:
        """The estimate of what it takes from the token bucket."""

    @property
    def packed_with(self) -> bytes:
        """Equal for those that can be asked for at once."""

    def settled(self, value: Any) -> Any:
        """The cell's value, made of the answer's. Raises CellError for an answer that is no result."""


@dataclass(frozen=True)
class Request:
    """One fully resolved request: what names a cell. Images and sounds stand in its body as Sent."""

    endpoint: Endpoint
    body: Mapping[str, Any]
    settle: Callable[[Any], Any] | None = field(default=None, compare=False)
    """What is made of the answer's value: its parsed form, where one was asked for."""

    @cached_property
    def _plain(self) -> tuple[bytes, int, bool]:
        """The body as JSON with gaps for its media, the bytes that these hold, and whether there are any."""
        found: list[Sent] = []

        def gap(media: Sent) -> str:
            found.append(media)
            return ""

        text = dumps(self.body, gap).encode()
        return text, sum(media.size for media in found), bool(found)

    @property
    def payload(self) -> bytes:
        """The body as JSON, UTF-8, as it is sent. Raises TypeError or ValueError for what JSON cannot hold."""
        text, _, has_media = self._plain
        return text if not has_media else dumps(self.body, lambda media: media.data_url).encode()

    @property
    def held(self) -> int:
        """Bytes of text, images and sounds that it keeps in memory."""
        text, media, _ = self._plain
        return len(text) + media

    @cached_property
    def digest(self) -> bytes:
        """Names the answer: endpoint, model and every argument; no credentials, no throttling, no base URL.

        The order of a dict's keys plays no part, except in schemas: a model fills them in in their order.
        """
        parts = [self.endpoint.path.encode(), canonical(self.body, _named).encode()]
        schemas = [self.body[name] for name in ORDERED_ARGUMENTS if name in self.body]
        if schemas:
            parts.append(dumps(schemas).encode())
        return digest(*parts)

    @cached_property
    def size(self) -> RequestSize:
        """What it holds that the API's limiter may charge for."""
        return self.endpoint.size(self.body)

    @property
    def tokens(self) -> float:
        """The least that it takes from the token bucket, as estimated."""
        return self.size.least_tokens

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body["model"])

    @property
    def max_cells(self) -> int:
        """How many such cells one request can carry."""
        return self.endpoint.max_cells

    @property
    def max_tokens(self) -> float:
        """How many tokens one request can carry."""
        return self.endpoint.max_tokens

    @cached_property
    def packed_with(self) -> bytes:
        """Equal for requests that can be sent as one: all but their input is the same."""
        rest = {k: v for k, v in self.body.items() if k != "input"}
        return self.endpoint.path.encode() + canonical(rest).encode()

    def settled(self, value: Any) -> Any:
        """The cell's value, made of the answer's. Raises CellError for an answer that is no result."""
        return value if self.settle is None else self.settle(value)

    def check(self) -> None:
        """Raises TypeError or ValueError for a body that JSON cannot hold."""
        self.digest  # noqa: B018  (which is wanted anyway, and the body as it is sent only of what is not finished)


def characters_of_schemas(body: Mapping[str, Any]) -> int:
    """How long the schemas in a body are as JSON: of tools, and of what an answer must look like."""
    return sum(len(dumps(body[name])) for name in ORDERED_ARGUMENTS if name in body)


def _named(media: Sent) -> object:
    return {"$media": media.digest}


def pack(requests: Sequence[Request]) -> Request:
    """The requests as one to send. They are of one endpoint, and equal in all but their input."""
    endpoint = requests[0].endpoint
    return Request(endpoint, endpoint.pack([request.body for request in requests]))
