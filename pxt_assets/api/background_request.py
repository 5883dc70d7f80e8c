"""Requests whose responses are made in the background: what is sent, and what is answered at once.

Source: `background` and `background_options` of https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, Literal

from pxt_assets.api.request import Endpoint, ParsedAnswer, Request, Usage
from pxt_assets.api.stated_usage import model_of
from pxt_assets.values.json_text import dumps, loads_answer

Window = Literal["8h", "2h"]
"""How long the response may take."""


@dataclass(frozen=True, slots=True)
class Started:
    """A response that is being made, and is fetched by its id."""

    id: str


@dataclass(frozen=True)
class BackgroundRequest(Request):
    """A request of the Responses API that is answered with an id; its digest is the request's own."""

    window: Window = "8h"

    @property
    def payload(self) -> bytes:
        """The body as JSON, UTF-8, with what asks for the background."""
        more: dict[str, Any] = {"background": True, "background_options": {"completion_window": self.window}}
        if "store" not in self.body:
            more["store"] = True
        return dumps(more).encode()[:-1] + b"," + super().payload[1:]


def background_request(request: Request, window: Window) -> BackgroundRequest:
    """The request to have the same made in the background."""
    given = {one.name: getattr(request, one.name) for one in fields(request)}
    return BackgroundRequest(**{**given, "endpoint": _endpoint(request.endpoint), "window": window})


@cache
def _endpoint(endpoint: Endpoint) -> Endpoint:
    def parse(body: bytes, request: Mapping[str, Any]) -> ParsedAnswer:
        said = loads_answer(body)
        if isinstance(said, Mapping) and said.get("status") in ("queued", "in_progress"):
            response_id = said.get("id")
            if not isinstance(response_id, str) or not response_id:
                msg = "the answer has no `id` by which it could be fetched"
                raise ValueError(msg)
            return ParsedAnswer([Started(response_id)], Usage(), model_of(said))
        return endpoint.parse(body, request)  # of a server that makes it at once

    return replace(endpoint, parse=parse)
