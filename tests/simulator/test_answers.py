"""What holds for the answers of every endpoint: their shape, their mark, and that nothing in them is chance."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pxt_assets.simulator.chat.request import KNOWN as CHAT_ARGUMENTS
from pxt_assets.simulator.embeddings import KNOWN as EMBEDDING_ARGUMENTS
from pxt_assets.simulator.endpoint.models import is_served_at
from pxt_assets.simulator.moderations import KNOWN as MODERATION_ARGUMENTS
from pxt_assets.simulator.server.simulator import ENDPOINTS

API = json.loads((Path(__file__).parent / "openai_answers.json").read_text())

CHAT = ("/v1/chat/completions", {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello JSON."}]})
EMBEDDING = ("/v1/embeddings", {"model": "text-embedding-3-small", "input": ["one", "two"]})
MODERATION = ("/v1/moderations", {"input": ["one", "murder"]})
TOOLS = [{"type": "function", "function": {"name": "hello", "parameters": {"properties": {"a": {}}}}}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "number"}}}
REQUESTS = [
    ("CreateChatCompletionResponse", *CHAT),
    ("CreateChatCompletionResponse", CHAT[0], {**CHAT[1], "n": 3, "max_tokens": 4}),
    ("CreateChatCompletionResponse", CHAT[0], {**CHAT[1], "tools": TOOLS, "tool_choice": "required"}),
    ("CreateChatCompletionResponse", CHAT[0], {**CHAT[1], "response_format": {"type": "json_object"}}),
    (
        "CreateChatCompletionResponse",
        CHAT[0],
        {
            **CHAT[1],
            "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
        },
    ),
    ("CreateEmbeddingResponse", *EMBEDDING),
    ("CreateModerationResponse", *MODERATION),
]


def conforms(name, body):
    reference = {"$ref": f"#/components/schemas/{name}", "components": API["components"]}
    Draft202012Validator(reference).validate(body)


@pytest.mark.parametrize(("name", "path", "body"), REQUESTS)
def test_an_answer_conforms_to_the_apis_description(simulator, name, path, body):
    """Every kind of answer, against the schema that OpenAI publishes for it."""
    response = simulator.post(path, body)
    assert response.status_code == 200
    conforms(name, response.json())


def test_lists_of_models_conform_to_the_apis_description(simulator):
    """The list, and each of its models by itself."""
    models = simulator.get("/v1/models").json()
    conforms("ListModelsResponse", models)
    for model in models["data"]:
        shown = simulator.get(f"/v1/models/{model['id']}").json()
        conforms("Model", shown)
        assert shown == model


def test_listed_models_are_served(simulator):
    """Each of them at an endpoint, and at no other."""
    for model in simulator.get("/v1/models").json()["data"]:
        served = [f"/v1/{endpoint}" for endpoint in ENDPOINTS if is_served_at(endpoint, model["id"])]
        assert served, model["id"]
        for path, body in (CHAT, EMBEDDING, MODERATION):
            status = simulator.post(path, {**body, "model": model["id"]}).status_code
            assert status == (200 if path in served else 404), model["id"]


def test_an_unlisted_model_is_not_shown(simulator):
    """404, in the API's shape."""
    response = simulator.get("/v1/models/gpt-none")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


def test_errors_conform_to_the_apis_description(simulate):
    """Those of clients, of limits, of unknown paths, and of the simulator's own endpoints."""
    limited = simulate(rpm=1)
    limited.chat()
    for response in (
        limited.chat(),
        limited.chat(foo=1),
        limited.chat(key="sk-invalid"),
        limited.chat(key="sk-no-quota"),
        limited.chat(model="none"),
        limited.get("/nothing"),
        limited.get("/v1/embeddings"),
        limited.post("/simulator/limits", {}),
    ):
        assert response.status_code >= 400
        conforms("ErrorResponse", response.json())


@pytest.mark.parametrize(
    ("endpoint", "known"),
    [
        ("chat/completions", CHAT_ARGUMENTS),
        ("embeddings", EMBEDDING_ARGUMENTS),
        ("moderations", MODERATION_ARGUMENTS),
    ],
)
def test_the_arguments_of_the_api_are_known(endpoint, known):
    """All of them, and no others: a request with a misspelt one fails here as it would there."""
    assert sorted(known) == API["arguments"][endpoint]


def test_every_answer_is_marked(simulate):
    """With the header, whatever the status; with ids and a fingerprint where the API has them."""
    simulator = simulate(rpm=3)
    responses = [simulator.post(path, body) for path, body in (CHAT, EMBEDDING, MODERATION) for _ in range(4)]
    responses += [simulator.chat(foo=1), simulator.chat(key="sk-invalid"), simulator.get("/nothing")]
    responses += [simulator.get(path) for path in ("/v1/models", "/v1/models/gpt-4o", "/simulator/counters")]
    responses += [simulator.post("/simulator/reset", {}), simulator.post("/simulator/limits", {"rpm": 9})]
    assert {response.status_code for response in responses} == {200, 400, 401, 404, 429}
    for response in responses:
        assert response.headers["x-pxt-simulated"] == "true"
        assert response.headers["x-request-id"].startswith("sim-req-")
        assert response.json().get("id", "sim-").startswith(("sim-", "gpt-4o"))
        assert response.json().get("system_fingerprint", "fp_simulated") == "fp_simulated"


def test_requests_are_told_apart_by_their_ids(simulator):
    """Every answer has a request id of its own; completions of different requests differ too."""
    same = [simulator.chat(), simulator.chat(), simulator.chat("Another text.")]
    assert len({response.headers["x-request-id"] for response in same}) == 3
    assert same[0].json()["id"] == same[1].json()["id"] != same[2].json()["id"]


@pytest.mark.parametrize(("name", "path", "body"), REQUESTS)
def test_the_same_request_and_seed_have_the_same_answer(simulate, name, path, body):
    """To the byte, whatever was asked before, and whatever the limits and the latency."""
    first, other = simulate(seed=3), simulate(seed=3, rpm=50, latency=2)
    other.chat("Something else.")
    assert first.post(path, body).content == other.post(path, body).content


def test_another_seed_gives_other_ids(simulate):
    """Two rehearsals can be told apart."""
    assert simulate(seed=1).chat().json()["id"] != simulate(seed=2).chat().json()["id"]


def test_answers_are_the_same_in_every_process(simulator):
    """Nothing in them hangs on the order of a set or on Python's salted hashes."""
    here = [simulator.post(path, body).json() for _, path, body in REQUESTS]
    program = (
        "import asyncio, json, sys, httpx2\n"
        "from pxt_assets.simulator import SimulatorOptions, create_app\n"
        "async def ask():\n"
        "    transport = httpx2.ASGITransport(create_app(SimulatorOptions()))\n"
        "    headers = {'authorization': 'Bearer sk-test'}\n"
        "    async with httpx2.AsyncClient(transport=transport, base_url='http://s', headers=headers) as client:\n"
        "        return [(await client.post(path, content=json.dumps(body))).json()\n"
        "                for _, path, body in json.load(sys.stdin)]\n"
        "print(json.dumps(asyncio.run(ask())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(REQUESTS),
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == here
