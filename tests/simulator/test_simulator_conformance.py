"""The answers against the API's own description, and through the client that people use."""

import asyncio
import json
from pathlib import Path

import httpx2
import openai
import pytest
from jsonschema import Draft202012Validator

from pxt_assets.simulator import chat_request, embeddings, moderations

DESCRIPTION = json.loads(Path(__file__).with_name("openai_answers.json").read_text("utf-8"))


def check(name, body):
    schema = {"$ref": f"#/components/schemas/{name}", "components": DESCRIPTION["components"]}
    Draft202012Validator(schema).validate(body)


def call(simulator, use):
    """What the coroutine function `use` makes of a client of the simulator."""

    async def run():
        transport = httpx2.ASGITransport(simulator.app)
        async with openai.AsyncOpenAI(
            api_key="sk-test",
            base_url="http://simulator/v1",
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=transport),
        ) as client:
            return await use(client)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("endpoint", "known"),
    [
        ("chat/completions", chat_request.KNOWN),
        ("embeddings", embeddings.KNOWN),
        ("moderations", moderations.KNOWN),
    ],
)
def test_exactly_the_apis_arguments_are_known(endpoint, known):
    """Every argument of the description is taken, and no other."""
    assert sorted(known) == DESCRIPTION["arguments"][endpoint]


def test_answers_conform_to_the_description(simulator):
    """Each endpoint's answer has the fields and types that the API promises."""
    tool = {"type": "function", "function": {"name": "f"}}
    check("CreateChatCompletionResponse", simulator.chat(n=2).json())
    check("CreateChatCompletionResponse", simulator.chat(tools=[tool], tool_choice="required").json())
    check("CreateEmbeddingResponse", simulator.embed("a", encoding_format="float").json())
    check("CreateModerationResponse", simulator.moderate(["a", "idiot"]).json())
    check("ListModelsResponse", simulator.get("/v1/models").json())
    check("ErrorResponse", simulator.chat(temperature=9).json())


def test_the_client_reads_a_chat(simulator):
    """A typed completion, and the headers beside it."""

    async def use(client):
        raw = await client.chat.completions.with_raw_response.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello there."}]
        )
        return raw.headers, raw.parse()

    headers, completion = call(simulator, use)
    assert completion.choices[0].message.content == "[simulated] Hello there."
    assert completion.usage.total_tokens > 0
    assert headers["x-ratelimit-remaining-requests"] == "9999999"


def test_the_client_reads_structured_output(simulator):
    """A pydantic model goes in as a strict schema and comes out filled in."""
    from typing import Literal

    from pydantic import BaseModel

    class Verdict(BaseModel):
        label: Literal["spam", "ham"]
        score: float
        words: list[str]

    async def use(client):
        return await client.chat.completions.parse(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Buy now! This is spam."}],
            response_format=Verdict,
        )

    assert call(simulator, use).choices[0].message.parsed.label == "spam"


def test_the_client_reads_embeddings(simulator):
    """The client asks for base64 and decodes it."""

    async def use(client):
        return await client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=8)

    answer = call(simulator, use)
    assert [len(item.embedding) for item in answer.data] == [8, 8]
    assert answer.usage.prompt_tokens == 2


def test_the_client_reads_moderations(simulator):
    """Categories by their attribute names."""

    async def use(client):
        return await client.moderations.create(input="You idiot.")

    assert call(simulator, use).results[0].categories.harassment is True


def test_the_client_reads_models(simulator):
    """With the date on which each shuts down."""

    async def use(client):
        listed = [model.id async for model in client.models.list()]
        return listed, await client.models.retrieve("gpt-4o-mini")

    listed, model = call(simulator, use)
    assert {"gpt-4o-mini", "text-embedding-3-small", "omni-moderation-latest"} <= set(listed)
    assert model.shutdown_date == "2027-01-14"


def test_a_model_that_is_not_listed_is_not_found(simulator):
    """404, as the API answers."""
    response = simulator.get("/v1/models/gpt-none")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("options", "key", "raised"),
    [
        ({"rpm": 0.5, "initial_level": 0}, "sk-test", openai.RateLimitError),
        ({}, "sk-invalid-key", openai.AuthenticationError),
        ({}, "sk-no-quota", openai.RateLimitError),
    ],
)
def test_the_client_raises_its_own_errors(simulate, options, key, raised):
    """Statuses and bodies are what the client expects of the API."""

    async def use(client):
        client.api_key = key
        with pytest.raises(raised) as caught:
            await client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi."}]
            )
        return caught.value

    assert call(simulate(**options), use).request_id.startswith("sim-req-")
