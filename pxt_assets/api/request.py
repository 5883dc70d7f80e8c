"""Requests to the API: their body, the digest that names the answer, and the endpoints that they go to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import add
from typing import Any, NamedTuple, Protocol

from pxt_assets.api.body_template import BodyTemplate, FilledBody
from pxt_assets.api.payload import payload_of
from pxt_assets.api.prompt_cache import CachedPrefix
from pxt_assets.errors import CellError
from pxt_assets.throttle.cost import RequestSize
from pxt_assets.values.digest import digest
from pxt_assets.values.json_text import canonical_json, dumps
from pxt_assets.values.media import MediaArgument

ORDERED_ARGUMENTS = ("response_format", "text", "tools")
"""Arguments that hold schemas, in which the order of keys has a meaning.
Source: https://platform.openai.com/docs/guides/structured-outputs"""

PAGE_TOKENS = 500
"""The assumed tokens of an answer of unknown length: a page of text."""


class Usage(NamedTuple):
    """What one or more answers used, as the API's `usage` states it or the request itself shows."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    image_tokens: int = 0
    """Input tokens of images, where these have a price of their own."""
    audio_tokens: int = 0
    """Input tokens of sound, where these have a price of their own."""
    characters: int = 0
    """Characters read aloud by a model that charges for these."""
    seconds: float = 0.0
    """Seconds of sound heard by a model that charges for these."""
    cache_write_tokens: int = 0
    """Input tokens that were put into a cache, where that has a price of its own."""
    output_image_tokens: int = 0
    """Output tokens of images, where these have a price of their own."""
    output_audio_tokens: int = 0
    """Output tokens of sound, where these have a price of their own."""
    searches: int = 0
    """Searches of the web that the server made for the answer, and charges for."""
    preview_searches: int = 0
    """The same by the preview of that tool, which some models charge for otherwise."""
    file_searches: int = 0
    """Searches of files that the server made for the answer."""
    cached_image_tokens: int = 0
    """Those of `cached_tokens` that are of images."""
    cached_audio_tokens: int = 0
    """Those of `cached_tokens` that are of sound."""
    mixed_cached_tokens: int = 0
    """Those of `cached_tokens` of which it is not said whether they are text, an image or sound."""
    tools_usd: float = 0.0
    """US dollars for what other models made for the answer: the images that a tool drew."""
    decisions: int = 0
    """Answers of the endpoint that charges for what it reads alone."""
    unpriced: int = 0
    """What is charged beside all this and has no price that is known, as calls of other tools of the server."""

    def __add__(self, other: Usage) -> Usage:  # type: ignore[override]
        return Usage(*map(add, self, other))


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """A parsed answer: a value for each cell that was asked for, and what they used."""

    values: Sequence[Any]
    usage: Usage | None
    """None where the answer states none."""
    model: str | None = None
    """The model snapshot that answered."""
    tier: str | None = None
    """The service tier that it answered in, as the answer states it."""
    urls: Sequence[str] = ()
    """Where the rest of the answer is downloaded from."""
    values_with_downloads: Callable[[Sequence[bytes | None]], Sequence[Any]] | None = None
    """(the contents of `urls`, None for one that could not be fetched) -> the values."""


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of the API: its path, how bodies are made for it, and how its answers are read."""

    path: str
    """`/chat/completions`: below the base URL."""
    parse: Callable[[bytes, Mapping[str, Any]], ParsedAnswer]
    """(the answer's body, the request's) -> values. Raises ValueError for a body that is not such an answer."""
    size: Callable[[Mapping[str, Any]], RequestSize] = field(default=lambda _body: RequestSize())
    """What a body holds that the API's limiter may charge for."""
    sends_limits: bool = True
    """Whether answers carry rate-limit headers; if not, requests are paced at a configured rate."""
    uploads: bool = False
    """Whether bodies are forms that upload files; if not, they are JSON."""
    costly: bool = False
    """Whether an answer is so dear that a lost one, which may have been paid for, is seldom asked for again."""
    answer_bytes: int = 0
    """Bytes that an answer is expected to have until one is known, for each of the `n` that are asked for; 0 for little."""
    answer_tokens: int = 0
    """Tokens that an answer is expected to have, until one is known."""
    decides: bool = False
    """Whether it answers questions, and charges for what it reads alone."""
    charged_usage: Callable[[Mapping[str, Any]], Usage] | None = None
    """(a body) -> what it is charged for, where that is not the tokens of its `size`: characters, seconds of sound."""
    max_cells: int = 1
    """Cells that one request can carry."""
    max_tokens: float = float("inf")
    """Estimated tokens that one request can carry."""
    pack: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]] = field(default=lambda bodies: bodies[0])
    """(bodies of single cells, which differ in their `input` alone) -> the body that is sent."""
    encodings: Sequence[Mapping[str, Any]] = ()
    """Arguments that say how an answer is written, not what it is, so that they name no cell: the best ones first,
    others for servers that refuse those."""


class CellRequest(Protocol):
    """The request of one cell: to the API, or the call of a local function."""

    @property
    def digest(self) -> bytes:
        """The digest that names the cell."""

    @property
    def memory_bytes(self) -> int:
        """Bytes of text, images and sounds that it keeps in memory."""

    @property
    def max_cells(self) -> int:
        """How many such requests can be packed into one."""

    @property
    def max_tokens(self) -> float:
        """How many estimated tokens can be packed into one."""

    @property
    def tokens(self) -> float:
        """The estimated tokens that it takes from the token bucket."""

    @property
    def pack_key(self) -> bytes:
        """Equal for requests that can be packed into one."""

    def cell_value(self, value: Any) -> Any:
        """The cell's value, made of the answer's. Raises CellError for an answer that is no result."""


@dataclass(frozen=True)
class Request:
    """One fully resolved request. Images and sounds are in its body as MediaArgument."""

    endpoint: Endpoint
    body: Mapping[str, Any]
    to_cell_value: Callable[[Any], Any] | None = field(default=None, compare=False)
    """Makes the cell's value of the answer's: its parsed form, where one was asked for."""
    encoding: Mapping[str, Any] = field(default_factory=dict)
    """The encoding that a user asked for; the body is without it."""
    cells: int = 1
    """How many cells it carries."""
    prefix: CachedPrefix | None = field(default=None, compare=False)
    """The beginning of its prompt that is to be cached, of which what is sent alone tells: it names no cell."""

    @cached_property
    def _json_with_gaps(self) -> tuple[bytes, int, bool]:
        """The body as JSON with its media left out, the bytes of these, and whether there are any."""
        found: list[MediaArgument] = []

        def gap(media: MediaArgument) -> str:
            found.append(media)
            return ""

        text = dumps(self.body, gap).encode()
        return text, sum(media.size for media in found), bool(found)

    @property
    def payload(self) -> bytes:
        """The body as JSON, UTF-8, as it is sent, with the mark at the end of `prefix`. Raises TypeError or ValueError for what JSON cannot hold."""
        if type(self.body) is FilledBody:
            return self.body.payload
        if self.prefix is not None:
            return payload_of(self.prefix.marked(self.body))
        text, _, has_media = self._json_with_gaps
        return payload_of(self.body) if has_media else text

    def unmarked(self) -> Request:
        """The same without the mark at the end of `prefix`, for a server that refuses it."""
        return replace(self, body=dict(self.body), prefix=None)

    @property
    def memory_bytes(self) -> int:
        """Bytes of text, images and sounds that it keeps in memory."""
        if type(self.body) is FilledBody:
            return self.body.text_bytes
        text, media, _ = self._json_with_gaps
        return len(text) + media

    @property
    def text_bytes(self) -> int:
        """Bytes of its body, UTF-8, without images and sounds."""
        return self.body.text_bytes if type(self.body) is FilledBody else len(self._json_with_gaps[0])

    @property
    def holds_media(self) -> bool:
        """Whether images or sounds are in its body."""
        return self._json_with_gaps[2]

    @property
    def digest(self) -> bytes:
        """Names the answer: endpoint, model and every argument; no credentials, no throttling, no base URL.

        The order of a dict's keys plays no part, except in schemas: a model fills them in in their order.
        """
        return self.body.digest if type(self.body) is FilledBody else self._own_digest

    @cached_property
    def _own_digest(self) -> bytes:
        return digest(*self.digest_parts(canonical_json(self.body, _media_digest).encode()))

    def digest_parts(self, canonical: bytes) -> list[bytes]:
        """What is hashed where the body's canonical JSON is `canonical`."""
        schemas = [self.body[name] for name in ORDERED_ARGUMENTS if name in self.body]
        return [self.endpoint.path.encode(), canonical, *([dumps(schemas).encode()] if schemas else [])]

    @property
    def size(self) -> RequestSize:
        """What the API's limiter may charge for."""
        return self.body.size if type(self.body) is FilledBody else self._own_size

    @cached_property
    def _own_size(self) -> RequestSize:
        return self.endpoint.size(self.body)

    @property
    def tokens(self) -> float:
        """The least estimated tokens that it takes from the token bucket."""
        return self.size.least_tokens

    @property
    def model(self) -> str:
        """The requested model."""
        return self.body.model if type(self.body) is FilledBody else str(self.body["model"])

    @property
    def max_cells(self) -> int:
        """How many such requests can be packed into one."""
        return self.endpoint.max_cells

    @property
    def max_tokens(self) -> float:
        """How many estimated tokens can be packed into one."""
        return self.endpoint.max_tokens

    @property
    def pack_key(self) -> bytes:
        """Equal for requests that can be packed into one: all but their input is the same."""
        known = self.body.rest_key if type(self.body) is FilledBody else None
        return self._own_pack_key if known is None else known

    @cached_property
    def _own_pack_key(self) -> bytes:
        rest = {k: v for k, v in self.body.items() if k != "input"} | dict(self.encoding)
        return self.endpoint.path.encode() + canonical_json(rest).encode()

    def cell_value(self, value: Any) -> Any:
        """The cell's value, made of the answer's. Raises CellError for an answer that is no result, or that it is."""
        if isinstance(value, CellError):
            raise value
        return value if self.to_cell_value is None else self.to_cell_value(value)

    def check(self) -> None:
        """Raises TypeError or ValueError for a body that JSON cannot hold."""
        self.digest  # noqa: B018  (the digest is needed anyway, the payload only for cells that are not finished)


def body_template(request: Request, marks: Sequence[str]) -> BodyTemplate:
    """The body of a request with other texts in place of the marks. Raises ValueError where that takes more than texts."""
    if request.holds_media:
        msg = "the body holds images or sounds, which are no text"
        raise ValueError(msg)
    before, _, *after = request.digest_parts(b"")
    return BodyTemplate(
        request.body,
        marks,
        sent=request.body if request.prefix is None else request.prefix.marked(request.body),
        named=lambda canonical: digest(before, canonical, *after),
        size_of=request.endpoint.size,
        rest_key=request.pack_key,
    )


def characters_of_schemas(body: Mapping[str, Any]) -> int:
    """The length of a body's schemas as JSON: those of its tools and of its answer's form."""
    return sum(len(dumps(body[name])) for name in ORDERED_ARGUMENTS if name in body)


def _media_digest(media: MediaArgument) -> object:
    return {"$media": media.digest}


def pack(requests: Sequence[Request]) -> Request:
    """Several requests as one. They go to one endpoint and are equal in all but their input."""
    endpoint, encoding = requests[0].endpoint, requests[0].encoding
    body = {**endpoint.pack([request.body for request in requests]), **encoding}
    return Request(endpoint, body, cells=len(requests))
