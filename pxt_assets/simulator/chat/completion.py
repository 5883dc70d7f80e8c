"""The answer of POST /v1/chat/completions."""

import json
from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.chat.request import ChatRequest, read_chat_request
from pxt_assets.simulator.endpoint.endpoint import CREATED, Answer
from pxt_assets.simulator.prompt.prompt_cache import CacheUse
from pxt_assets.simulator.reply.reply import Reply, compose_replies


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A request for a chat completion, ready to be answered."""

    request: ChatRequest
    cache: CacheUse
    """What it found in the cache and wrote there."""

    @property
    def model(self) -> str:
        """The model asked for."""
        return self.request.model

    def charge(self, *, count_max_tokens: bool) -> int:
        """Tokens that the limit is charged."""
        return self.request.charge(count_max_tokens=count_max_tokens)

    def answer(self, digest: str) -> Answer:
        """The completion. Raises a 400 for a schema of which there is no instance."""
        replies = compose_replies(self.request.prompt, self.request.n)
        prompt_tokens = self.request.prompt.conversation.tokens()
        completion_tokens = sum(reply.tokens for reply in replies)
        body = {
            "id": f"sim-chatcmpl-{digest}",
            "object": "chat.completion",
            "created": CREATED,
            "model": self.request.model,
            "choices": [_choice(reply, index, digest) for index, reply in enumerate(replies)],
            "usage": _usage(prompt_tokens, completion_tokens, *self.cache.tokens(prompt_tokens)),
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
        }
        return Answer(json.dumps(body).encode(), prompt_tokens, completion_tokens)


def read_chat_call(body: dict[str, Any]) -> ChatCall:
    """The call that `body` asks for. Raises a 400 `SimulatedError` for one that the API would refuse."""
    request = read_chat_request(body)
    return ChatCall(request, request.cache)


def _usage(prompt_tokens: int, completion_tokens: int, cached: int, written: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _choice(reply: Reply, index: int, digest: str) -> dict[str, Any]:
    text = reply.content if reply.tool is None else None
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if reply.is_refusal else text,
        "refusal": text if reply.is_refusal else None,
        "annotations": [],
    }
    reason = "stop"
    if reply.tool is not None:
        function = {"name": reply.tool.name, "arguments": reply.content}
        message["tool_calls"] = [
            {"id": f"sim-call-{digest[:16]}-{index}", "type": "function", "function": function}
        ]
        reason = "tool_calls"
    return {
        "index": index,
        "message": message,
        "logprobs": None,
        "finish_reason": reason if reply.is_complete else "length",
    }
