"""Decisions against the types of the API's client: what is sent is what they declare, and what the simulator answers, too."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import httpx2
import openai
import pytest
from openai.types import (
    decision_create_params,
    decision_input_image_param,
    decision_input_text_param,
    decision_prompt_cache_breakpoint_param,
)
from openai.types.decision import Decision
from openai.types.shared_params import (
    decision_input_json,
    decision_question_input_image,
    decision_question_input_text,
)
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

from pxt_assets import choice, predicate, score
from pxt_assets.functions import decisions
from pxt_assets.simulator import SimulatorOptions, create_app
from pxt_assets.simulator.decisions.decision import KNOWN
from tests.conformance.samples import picture
from tests.simulator.responses.test_responses import unknown_fields

MODULES: tuple[ModuleType, ...] = (
    decision_create_params,
    decision_input_image_param,
    decision_input_json,
    decision_input_text_param,
    decision_prompt_cache_breakpoint_param,
    decision_question_input_image,
    decision_question_input_text,
)
MODEL = "gpt-6-luna"
TEXT = {"type": "input_text", "text": "The zip broke."}
IMAGE = {"type": "input_image", "image_url": picture(), "detail": "low"}
DATA = {"type": "input_json", "data": [{"order": {"lines": [1, None, True, "x"]}}]}
CACHED = {**TEXT, "prompt_cache_breakpoint": {"mode": "explicit"}}
CALL = {"type": "function_call", "call_id": "c", "name": "order", "arguments": "{}"}
CUSTOM = {"type": "custom_tool_call", "call_id": "d", "name": "order", "input": "7"}
LEAST = {"input": "The zip broke.", "model": MODEL, "questions": {"urgent": predicate("Is it urgent?")}}
CALLS: dict[str, dict[str, Any]] = {
    "a text": {},
    "an image": {"input": picture()},
    "messages": {
        "input": [
            {"role": "system", "content": "Tickets."},
            {"role": "developer", "content": [TEXT]},
            {"role": "user", "content": [TEXT, IMAGE, DATA, CACHED], "type": "message"},
            {"role": "assistant", "content": "Fine.", "phase": "final_answer"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]},
        ]
    },
    "tools": {
        "input": [
            {**CALL, "id": "i", "namespace": "n", "status": "completed"},
            {"type": "function_call_output", "call_id": "c", "output": [TEXT, IMAGE], "status": "completed"},
            CUSTOM,
            {"type": "custom_tool_call_output", "call_id": "d", "output": "late"},
        ]
    },
    "every kind of question": {
        "questions": {
            "a": predicate(["Like this? ", picture()]),
            "b": predicate([TEXT, {**IMAGE, "detail": "high"}, DATA]),
            "c": choice("Which?", {"x": "it is x", "y": "", True: "yes"}),
            "d": score("How much?", {"low": "", "high": "most"}),
        }
    },
    "questions without names": {"questions": [predicate("a?"), {**predicate("b?"), "name": "b"}]},
    "other arguments": {
        "safety_identifier": "u-1",
        "prompt_cache_key": "k",
        "model_kwargs": {"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}},
    },
    "a refusal": {"input": "[refuse]"},
}  # fmt: skip
ASKED = {"input": "a", "model": MODEL, "questions": [{"type": "predicate", "instructions": "?"}]}
OPTIONS = [{"value": "a"}, {"value": "b"}]
QUESTION = {"type": "choice", "instructions": "?", "choices": OPTIONS}
REFUSED: dict[str, dict[str, Any]] = {
    "no input": {"input": None},
    "input of another type": {"input": 3},
    "an unknown argument": {"temperature": 0},
    "another role": {"input": [{"role": "tool", "content": "a"}]},
    "no content": {"input": [{"role": "user"}]},
    "an image of a system": {"input": [{"role": "system", "content": [IMAGE | {"image_url": "https://a.b/c.png"}]}]},
    "a file": {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
    "a stored image": {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
    "JSON that is no object": {"input": [{"role": "user", "content": [{"type": "input_json", "data": [1]}]}]},
    "a call without a name": {"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]},
    "another type of question": {"questions": [{"type": "noul", "instructions": "?"}]},
    "no instructions": {"questions": [{"type": "predicate"}]},
    "choices of a predicate": {"questions": [{"type": "predicate", "instructions": "?", "choices": OPTIONS}]},
    "no choices": {"questions": [{"type": "choice", "instructions": "?"}]},
    "a number as a choice": {"questions": [{**QUESTION, "choices": [{"value": 1}, {"value": "b"}]}]},
    "texts as choices": {"questions": [{**QUESTION, "choices": ["a", "b"]}]},
    "a bool as a level": {"questions": [{"type": "score", "instructions": "?", "levels": [{"label": True}] * 2}]},
    "another lifetime": {"prompt_cache_options": {"ttl": "24h"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def params() -> Iterator[TypeAdapter[Any]]:
    """The type of a request's body, in which nothing else may stand than it declares."""
    declared = [one for module in MODULES for one in vars(module).values() if is_typeddict(one)]
    with pytest.MonkeyPatch.context() as patched:
        for one in declared:
            patched.setattr(
                one, "__pydantic_config__", ConfigDict(extra="forbid", strict=True), raising=False
            )
        yield TypeAdapter(decision_create_params.DecisionCreateParams)


def checked(params: TypeAdapter[Any], body: Mapping[str, Any]) -> None:
    """Validates a body to its last part: lists are validated as they are read."""

    def read(value: Any) -> None:
        if isinstance(value, Mapping):
            value = value.values()
        elif isinstance(value, str) or not hasattr(value, "__iter__"):
            return
        for one in value:
            read(one)

    read(params.validate_python(body))


def asked(body: Mapping[str, Any]) -> Decision:
    """What the client reads of the simulator's answer."""

    async def ask() -> Decision:
        transport = httpx2.ASGITransport(create_app(SimulatorOptions()))
        http_client = httpx2.AsyncClient(transport=transport)
        url = "http://simulator/v1"
        async with openai.AsyncOpenAI(
            base_url=url, api_key="k", max_retries=0, http_client=http_client
        ) as client:
            return await client.decisions.create(**body)

    return asyncio.run(ask())


def body_of(more: Mapping[str, Any]) -> Any:
    call = decisions(**{**LEAST, **more})
    return json.loads(call._function.cell_request(call._arguments).payload)


@pytest.mark.parametrize("more", CALLS.values(), ids=CALLS)
def test_a_call_is_what_the_client_declares_and_so_is_its_answer(
    params: TypeAdapter[Any], more: dict[str, Any]
) -> None:
    """Every field of both, and each question has its answer, in order."""
    body = body_of(more)
    checked(params, body)
    decision = asked(body)
    again = Decision.model_validate_json(decision.model_dump_json(), strict=True)
    assert set(unknown_fields(again)) == set()
    assert [one.name for one in again.answers] == [one.get("name") for one in body["questions"]]
    kinds = [one.type for one in again.answers]
    assert kinds == (
        ["refusal"] if more.get("input") == "[refuse]" else [one["type"] for one in body["questions"]]
    )
    assert again.usage.total_tokens == again.usage.input_tokens > 0


@pytest.mark.parametrize("wrong", REFUSED.values(), ids=REFUSED)
def test_what_the_client_does_not_declare_is_refused(params: TypeAdapter[Any], wrong: dict[str, Any]) -> None:
    """By its types, and by the simulator, as the API would."""
    body = {**ASKED, **wrong}
    checked(params, ASKED)
    with pytest.raises(ValidationError):
        checked(params, body)
    with pytest.raises(openai.BadRequestError):
        asked({**ASKED, "extra_body": wrong})


def test_all_arguments_are_known() -> None:
    """Those that the client has, and no others; each is in one of the calls above."""
    declared = decision_create_params.DecisionCreateParams.__annotations__.keys()
    assert declared == KNOWN == {name for more in CALLS.values() for name in body_of(more)}
