"""Requests to the API: what is asked, the digest that names its answer, and how an endpoint is spoken to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pxt_assets.json_text import canonical, dumps

DIGEST_BYTES = 16
ORDERED_ARGUMENTS = ("response_format", "text", "tools")
"""Arguments that hold schemas, in which the order of keys has a meaning.
Source: https://platform.openai.com/docs/guides/structured-outputs"""


def digest(*parts: bytes) -> bytes:
    """The 128-bit BLAKE2b digest of the parts, each told apart from the next by its length."""
    h = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        h.update(b"%d:" % len(part))
        h.update(part)
    return h.digest()


def simulated_digest(real: bytes) -> bytes:
    """The name of a simulator's answer to the request that `real` names: never the name of the API's answer."""
    return digest(b"simulated", real)


@dataclass(frozen=True)
class Usage:
    """Tokens of one or more answers, as the API's `usage` states them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Parsed:
    """An answer's body: a value for each cell that was asked for, and what they used."""

    values: Sequence[Any]
    usage: Usage | None
    """None where the answer states none."""
    model: str | None = None
    """The model snapshot that answered."""


@dataclass(frozen=True)
class Endpoint:
    """How one endpoint of the API is spoken to."""

    path: str
    """`/chat/completions`: below the base URL."""
    parse: Callable[[bytes, int], Parsed]
    """(body, number of cells) -> values. Raises ValueError for a body that is not such an answer."""
    tokens: Callable[[Mapping[str, Any]], float]
    """Estimate, as the API's limiter makes it, of the tokens that a body takes from the token bucket."""
    sends_limits: bool = True
    """Whether answers carry rate-limit headers; if not, requests are paced at a configured rate."""
    max_cells: int = 1
    """How many cells one request can carry."""
    max_tokens: float = float("inf")
    """How many tokens (estimated) one request can carry."""
    pack: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, Any]] = field(default=lambda bodies: bodies[0])
    """The bodies of single cells as the body that is sent; they differ in their `input` alone."""


@dataclass(frozen=True)
class Request:
    """One fully resolved request: what names a cell."""

    endpoint: Endpoint
    body: Mapping[str, Any]

    @cached_property
    def payload(self) -> bytes:
        """The body as JSON, UTF-8, as it is sent. Raises TypeError or ValueError for what JSON cannot hold."""
        return dumps(self.body).encode()

    @cached_property
    def digest(self) -> bytes:
        """Names the answer: endpoint, model and every argument; no credentials, no throttling, no base URL.

        The order of a dict's keys plays no part, except in schemas: a model fills them in in their order.
        """
        parts = [self.endpoint.path.encode(), canonical(self.body).encode()]
        schemas = [self.body[name] for name in ORDERED_ARGUMENTS if name in self.body]
        if schemas:
            parts.append(dumps(schemas).encode())
        return digest(*parts)

    @cached_property
    def tokens(self) -> float:
        """The estimate of what it takes from the token bucket."""
        return self.endpoint.tokens(self.body)

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body["model"])

    @cached_property
    def packed_with(self) -> bytes:
        """Equal for requests that can be sent as one: all but their input is the same."""
        return canonical({k: v for k, v in self.body.items() if k != "input"}).encode()


def pack(requests: Sequence[Request]) -> Request:
    """The requests as one to send. They are of one endpoint, and equal in all but their input."""
    endpoint = requests[0].endpoint
    return Request(endpoint, endpoint.pack([request.body for request in requests]))
