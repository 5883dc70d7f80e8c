"""What tests of files, batches and background responses have in common: the real client, and strict types."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx2
import openai
from openai import AsyncOpenAI
from openai.types import Batch
from pydantic import BaseModel

from tests.simulator.conftest import InProcess

CHAT = "/v1/chat/completions"
DAY = 86_400

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)


def asked(simulator: InProcess, call: Callable[[AsyncOpenAI], Awaitable[T]], *, key: str = "sk-test") -> T:
    """What `call(client)` comes to, with a client that does not retry."""

    async def with_client() -> T:
        http_client = httpx2.AsyncClient(transport=httpx2.ASGITransport(simulator.app))
        client = AsyncOpenAI(
            base_url="http://simulator/v1", api_key=key, max_retries=0, http_client=http_client
        )
        async with client:
            return await call(client)

    return asyncio.run(with_client())


def line(number: int, *, url: str = CHAT, **body: Any) -> dict[str, Any]:
    """A request of a batch, by default for a chat."""
    chat = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": f"Question {number}."}]}
    return {"custom_id": f"row-{number}", "method": "POST", "url": url, "body": chat | body}


def lines_of(requests: list[Any]) -> bytes:
    """A file of requests; what is bytes already is taken as it is."""
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in requests)


async def submit(
    client: AsyncOpenAI, requests: list[Any] | bytes, endpoint: Any = CHAT, **arguments: Any
) -> Batch:
    """A batch of requests, just created."""
    content = requests if isinstance(requests, bytes) else lines_of(requests)
    file = await client.files.create(file=("rows.jsonl", content, "application/jsonl"), purpose="batch")
    return await client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", **arguments
    )


async def read(client: AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of a file; none if there is no file."""
    if file_id is None:
        return []
    content = (await client.files.content(file_id)).text
    assert content.endswith("\n")
    return [json.loads(one) for one in content.splitlines()]


def ids(lines: list[dict[str, Any]]) -> list[str]:
    """The custom ids of lines."""
    return [one["custom_id"] for one in lines]


def strict(model: Model) -> Model:
    """The model, which has all the fields of its type, at any depth, and no other."""
    kind = type(model)
    assert not model.model_extra, f"{kind.__name__} has no {model.model_extra}"
    assert model.model_fields_set == kind.model_fields.keys(), kind.__name__
    again = kind.model_validate(model.model_dump(), strict=True)
    assert again == model
    for name in kind.model_fields:
        value = getattr(model, name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, BaseModel):
                strict(one)
    return model


async def refused(call: Awaitable[Any]) -> openai.APIStatusError:
    """The error with which a call is refused."""
    try:
        await call
    except openai.APIStatusError as error:
        return error
    raise AssertionError("it was not refused")
