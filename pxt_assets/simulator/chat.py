"""The answer of POST /v1/chat/completions: an extractive reply, an instance of a schema, or a tool call."""

import json
import re
from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.chat_request import ChatRequest, read_chat_request
from pxt_assets.simulator.chat_tools import Tool
from pxt_assets.simulator.endpoint import Answer, estimate_tokens
from pxt_assets.simulator.errors import bad_request
from pxt_assets.simulator.extract import telling_sentences
from pxt_assets.simulator.schema import make_instance
from pxt_assets.simulator.schema_merge import NoInstanceError

MARK = "[simulated] "
"""What every reply in text starts with."""

CREATED = 1_767_225_600
"""Unix time of every answer: a fixed one, so that equal requests have equal answers."""

_NAME_PARTS = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A request for a chat completion, ready to be answered."""

    request: ChatRequest

    @property
    def model(self) -> str:
        """The model asked for."""
        return self.request.model

    def charge(self, *, count_max_tokens: bool) -> int:
        """Tokens that the limit is charged."""
        return self.request.charge(count_max_tokens=count_max_tokens)

    def answer(self, digest: str) -> Answer:
        """The completion. Raises a 400 for a schema of which there is no instance."""
        request = self.request
        tool = _choose_tool(request)
        sentences = [] if tool or request.json_schema not in (None, True) else _replies(request)
        choices, completion_tokens = [], 0
        for index in range(request.n):
            if tool is not None:
                message, tokens, reason = _tool_call(request, tool, index, digest)
            else:
                message, tokens, reason = _reply(request, sentences, index)
            completion_tokens += tokens
            choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": reason})
        prompt_tokens = request.prompt_tokens()
        body = {
            "id": f"sim-chatcmpl-{digest}",
            "object": "chat.completion",
            "created": CREATED,
            "model": request.model,
            "choices": choices,
            "usage": _usage(prompt_tokens, completion_tokens),
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
        }
        return Answer(json.dumps(body).encode(), prompt_tokens, completion_tokens)


def read_chat_call(body: dict[str, Any]) -> ChatCall:
    """The call that `body` asks for. Raises a 400 `SimulatedError` for one that the API would refuse."""
    return ChatCall(read_chat_request(body))


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _replies(request: ChatRequest) -> list[str]:
    """Replies to choose from, the best first; at least one."""
    conversation = request.conversation
    sentences = telling_sentences(conversation.question, most=request.n)
    if conversation.question_images:
        plural = "s" if conversation.question_images > 1 else ""
        note = f"({conversation.question_images} image{plural} received; images are not looked at.)"
        return [f"{sentence} {note}" for sentence in sentences] or [note]
    return sentences or ["(The message is empty.)"]


def _reply(request: ChatRequest, sentences: list[str], index: int) -> tuple[dict[str, Any], int, str]:
    """Message, tokens and finish reason of the choice number `index`."""
    mark = ""
    if isinstance(request.json_schema, dict):
        content = json.dumps(_instance(request.json_schema, request, index), ensure_ascii=False)
    elif request.json_schema:
        content = json.dumps(
            {"simulated": True, "reply": sentences[index % len(sentences)]}, ensure_ascii=False
        )
    else:
        mark, content = MARK, sentences[index % len(sentences)]
    for stop in request.stop:
        content = content.partition(stop)[0]
    content, tokens, reason = _truncate(mark + content, request.max_tokens)
    return {"role": "assistant", "content": content, "refusal": None, "annotations": []}, tokens, reason


def _truncate(content: str, max_tokens: int | None) -> tuple[str, int, str]:
    """`content` in at most `max_tokens` tokens, how many these are, and the finish reason."""
    tokens = estimate_tokens(len(content))
    if max_tokens is None or tokens <= max_tokens:
        return content, tokens, "stop"
    return content[: 4 * max_tokens], max_tokens, "length"


def _instance(schema: dict[str, Any], request: ChatRequest, index: int) -> Any:
    try:
        return make_instance(schema, request.conversation.question, index)
    except NoInstanceError as exc:
        raise bad_request(f"Invalid schema: {exc}.", code="invalid_json_schema") from exc
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as exc:
        # Keywords whose values have the wrong type, or numbers beyond floats: too many ways to check each.
        raise bad_request(f"Invalid schema: it is malformed ({exc}).", code="invalid_json_schema") from exc


def _choose_tool(request: ChatRequest) -> Tool | None:
    """The tool to call: one that the question speaks of, or the first where one must be called."""
    if not request.tools:
        return None
    conversation = request.conversation
    question = set(_NAME_PARTS.findall(conversation.question.lower()))
    # Short words (of, the, get) say nothing about what a tool is for.
    spoken_of = [
        tool for tool in request.tools if any(len(word) > 3 and word in question for word in _subject(tool))
    ]
    if request.must_call:
        return spoken_of[0] if spoken_of else request.tools[0]
    # After a tool has answered the reply is text, or an agent would call it for ever.
    return spoken_of[0] if spoken_of and not conversation.answered_by_tool else None


def _subject(tool: Tool) -> list[str]:
    return _NAME_PARTS.findall(f"{_CAMEL.sub(' ', tool.name)} {tool.description}".lower())


def _tool_call(request: ChatRequest, tool: Tool, index: int, digest: str) -> tuple[dict[str, Any], int, str]:
    """Message, tokens and finish reason of a choice that calls `tool`."""
    schema = {"type": "object", **tool.parameters}
    written = json.dumps(_instance(schema, request, index), ensure_ascii=False)
    arguments, tokens, reason = _truncate(written, request.max_tokens)
    call = {
        "id": f"sim-call-{digest[:16]}-{index}",
        "type": "function",
        "function": {"name": tool.name, "arguments": arguments},
    }
    message = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "tool_calls": [call],
    }
    return message, tokens, "tool_calls" if reason == "stop" else reason
