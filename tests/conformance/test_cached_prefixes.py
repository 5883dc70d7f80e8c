"""Requests that mark a cached prefix, held against the API's official description, and as the official client takes them."""

import json
from typing import Any

import PIL.Image
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from pxt_assets import Table
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.functions import chat_completions, responses
from tests.conformance.openapi import problems
from tests.scripted_server import Asked

TBL = Table("tickets")
LAW = "the law " * 1_000
MODEL = "gpt-6-luna"
PICTURE = PIL.Image.new("RGB", (8, 8))
CALLS: dict[str, tuple[str, Any, Any]] = {
    "chat, a message": (
        "/chat/completions",
        chat_completions(
            [{"role": "system", "content": LAW}, {"role": "user", "content": TBL.body}], model=MODEL
        ),
        CompletionCreateParamsNonStreaming,
    ),
    "chat, an image": (
        "/chat/completions",
        chat_completions(
            [
                {"role": "developer", "content": LAW},
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": PICTURE},
                        {"type": "text", "text": TBL.body},
                    ],
                },
            ],
            model=MODEL,
        ),
        CompletionCreateParamsNonStreaming,
    ),
    "responses, a message": (
        "/responses",
        responses(
            [{"role": "developer", "content": LAW}, {"role": "user", "content": TBL.body}], model=MODEL
        ),
        ResponseCreateParamsNonStreaming,
    ),
    "responses, an image": (
        "/responses",
        responses(
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": LAW},
                        {"type": "input_image", "image_url": PICTURE},
                        {"type": "input_text", "text": TBL.body},
                    ],
                }
            ],
            model=MODEL,
        ),
        ResponseCreateParamsNonStreaming,
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_marked_requests_conform(case):
    """Every field is one that is described, and one of the client's types."""
    path, call, kind = CALLS[case]
    payload = Plan(call, None, caches=True).prepare(("Hello",)).request.payload
    assert payload.count(b"prompt_cache_breakpoint") == 1
    body = json.loads(payload)
    headers = {"content-type": "application/json"}
    assert problems(Asked(f"/v1{path}", headers, body)) == []
    TypeAdapter(kind).validate_python(body)
