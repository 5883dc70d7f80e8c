"""The simulator as OpenAI's own client meets it."""

import asyncio

import httpx2
import openai
import pytest
from pydantic import BaseModel

QUESTION = [{"role": "user", "content": "The zip broke after 2 days."}]


class Ticket(BaseModel):
    summary: str
    days: int


def ask(simulator, call, **arguments):
    """What `call(client)` answers, with a client that does not retry."""

    async def with_client():
        http_client = httpx2.AsyncClient(transport=httpx2.ASGITransport(simulator.app))
        client = openai.AsyncOpenAI(
            base_url="http://simulator/v1",
            api_key=arguments.get("api_key", "sk-test"),
            max_retries=0,
            http_client=http_client,
        )
        async with client:
            return await call(client)

    return asyncio.run(with_client())


def chat(client, **arguments):
    return client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, **arguments)


def test_the_client_reads_a_chat(simulator):
    """As it reads the API's."""
    completion = ask(simulator, chat)
    assert completion.choices[0].message.content == "[simulated] The zip broke after 2 days."
    assert (
        completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    )
    assert completion.system_fingerprint == "fp_simulated"


def test_the_client_parses_a_structured_answer(simulator):
    """Into the pydantic model that it derived the strict schema from."""
    completion = ask(
        simulator,
        lambda client: client.chat.completions.parse(
            model="gpt-4o-mini", messages=QUESTION, response_format=Ticket
        ),
    )
    assert completion.choices[0].message.parsed.days == 2


def test_the_client_reads_embeddings(simulator):
    """Asked for as base64, which is its default, and turned into floats."""
    answer = ask(
        simulator,
        lambda client: client.embeddings.create(
            model="text-embedding-3-small", input=["a", "b"], dimensions=16
        ),
    )
    assert [len(item.embedding) for item in answer.data] == [16, 16]
    assert all(isinstance(value, float) for value in answer.data[0].embedding)


def test_the_client_reads_moderations(simulator):
    """With categories as attributes."""
    answer = ask(simulator, lambda client: client.moderations.create(input="murder"))
    assert answer.results[0].categories.violence


def test_the_client_lists_models(simulator):
    """And shows one of them."""

    async def names(client):
        return [model.id async for model in client.models.list()], (await client.models.retrieve("gpt-4o")).id

    listed, shown = ask(simulator, names)
    assert shown == "gpt-4o"
    assert "gpt-4o" in listed


def test_the_client_reads_the_limits(simulate):
    """From the headers of the raw answer."""
    response = ask(
        simulate(rpm=60),
        lambda client: client.chat.completions.with_raw_response.create(
            model="gpt-4o-mini", messages=QUESTION
        ),
    )
    assert response.headers["x-ratelimit-remaining-requests"] == "59"
    assert response.headers["x-pxt-simulated"] == "true"


@pytest.mark.parametrize(
    ("arguments", "api_key", "error", "code"),
    [
        ({}, "sk-invalid", openai.AuthenticationError, "invalid_api_key"),
        ({}, "sk-no-quota", openai.RateLimitError, "insufficient_quota"),
        ({"temperature": 3}, "sk-test", openai.BadRequestError, "decimal_above_max_value"),
        ({"extra_body": {"model": "none"}}, "sk-test", openai.NotFoundError, "model_not_found"),
    ],
)
def test_the_client_raises_what_it_raises_for_the_api(simulator, arguments, api_key, error, code):
    """By status, with the code of the body."""
    with pytest.raises(error) as caught:
        ask(simulator, lambda client: chat(client, **arguments), api_key=api_key)
    assert caught.value.code == code
    assert caught.value.request_id.startswith("sim-req-")


def test_the_client_raises_a_limit_with_its_wait(simulate):
    """The exception's response has the headers that tell how long."""
    simulator = simulate(rpm=1)
    ask(simulator, chat)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(simulator, chat)
    assert caught.value.response.headers["retry-after-ms"] == "60000"
