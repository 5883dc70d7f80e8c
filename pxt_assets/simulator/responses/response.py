"""The answer of POST /v1/responses."""

import json
from dataclasses import dataclass, replace
from typing import Any

from pxt_assets.simulator.endpoint.endpoint import CREATED, Answer, estimate_tokens
from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request
from pxt_assets.simulator.prompt.conversation import Conversation
from pxt_assets.simulator.prompt.prompt_cache import CacheUse
from pxt_assets.simulator.reply.extract import CONSIDERED_CHARACTERS
from pxt_assets.simulator.reply.reply import Reply, compose_replies
from pxt_assets.simulator.responses.continuation import Continuation, continue_conversation
from pxt_assets.simulator.responses.request import ResponseRequest, read_response_request
from pxt_assets.simulator.responses.store import ResponsesOfKey, StoredResponse

OVERHEAD = 25
"""Tokens that the limit is charged beyond the texts, the images and the tools."""


@dataclass(frozen=True, slots=True)
class ResponseCall:
    """A request for a response; `continue_from` makes it ready to be answered."""

    request: ResponseRequest
    cache: CacheUse
    """What it found in the cache and wrote there."""
    stored: ResponsesOfKey | None = None
    continuation: Continuation | None = None

    @property
    def model(self) -> str:
        """The model asked for."""
        return self.request.model

    def continue_from(self, stored: ResponsesOfKey) -> "ResponseCall":
        """The call with the conversation that it continues, one of `stored`; its answer will be stored there.

        Raises a 400 or a 404 for a reference that leads nowhere.
        """
        request = self.request
        continuation = continue_conversation(request.items, request.previous_response_id, stored)
        if request.json_schema is True and not continuation.conversation.mentions_json:
            raise bad_request(
                "Response input messages must contain the word 'json' in some form to use 'text.format' of "
                "type 'json_object'.",
                param="input",
            )
        return replace(self, stored=stored, continuation=continuation)

    def charge(self, *, count_max_tokens: bool) -> int:
        """Tokens that the limit is charged: those of all texts and tools, 25 more, 765 an image, 85 at low detail."""
        conversation = self._required_continuation.conversation
        characters = conversation.characters + self.request.instruction_characters
        charge = estimate_tokens(characters) + OVERHEAD + conversation.image_tokens
        return charge + (self.request.max_output_tokens or 0) if count_max_tokens else charge

    def answer(self, digest: str) -> Answer:
        """The response. Raises a 400 for a schema of which there is no instance."""
        request, conversation = self.request, self._required_continuation.conversation
        [reply] = compose_replies(request.prompt(conversation))
        input_tokens = conversation.tokens() + estimate_tokens(request.instruction_characters)
        cached, written = self.cache.tokens(input_tokens)
        item = _output_item(reply, digest)
        body = {
            "id": f"sim-resp-{digest}",
            "object": "response",
            "created_at": CREATED,
            "status": "completed" if reply.is_complete else "incomplete",
            "completed_at": CREATED if reply.is_complete else None,
            "error": None,
            "incomplete_details": None if reply.is_complete else {"reason": "max_output_tokens"},
            "model": request.model,
            "output": [item],
            **request.echo,
            "usage": {
                "input_tokens": input_tokens,
                "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
                "output_tokens": reply.tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": input_tokens + reply.tokens,
            },
        }
        if request.store and self.stored is not None:
            self.stored.store(body["id"], self._stored_response(item, reply))
        return Answer(json.dumps(body).encode(), input_tokens, reply.tokens)

    def answer_later(self, digest: str) -> Answer:
        """The response as it will be; one that failed where the request is one to which there is no answer."""
        try:
            return self.answer(digest)
        except SimulatedError as error:
            body = {
                "id": f"sim-resp-{digest}",
                "object": "response",
                "created_at": CREATED,
                "status": "failed",
                "completed_at": None,
                "error": {"code": "invalid_prompt", "message": str(error)},
                "incomplete_details": None,
                "model": self.request.model,
                "output": [],
                **self.request.echo,
                "usage": None,
            }
            return Answer(json.dumps(body).encode(), 0)

    @property
    def _required_continuation(self) -> Continuation:
        assert self.continuation is not None, (
            "a call is charged and answered once it is told what it is after"
        )
        return self.continuation

    def _stored_response(self, item: dict[str, Any], reply: Reply) -> StoredResponse:
        """What a later request needs to continue this answer."""
        full = self._required_continuation.conversation
        # Only the considered part of the question, since there may be many stored answers.
        conversation: Conversation = replace(full, question=full.question[:CONSIDERED_CHARACTERS])
        conversation.add_text(reply.content)
        return StoredResponse(
            conversation, item["id"], item.get("call_id"), self._required_continuation.call_ids
        )


def read_response_call(body: dict[str, Any]) -> ResponseCall:
    """The call that `body` asks for. Raises a 400 `SimulatedError` for one that the API would refuse."""
    request = read_response_request(body)
    return ResponseCall(request, request.cache)


def _output_item(reply: Reply, digest: str) -> dict[str, Any]:
    status = "completed" if reply.is_complete else "incomplete"
    if reply.tool is not None:
        return {
            "id": f"sim-fc-{digest}",
            "type": "function_call",
            "status": status,
            "call_id": f"sim-call-{digest}",
            "name": reply.tool.name,
            "arguments": reply.content,
        }
    text_part = {"type": "output_text", "text": reply.content, "annotations": [], "logprobs": []}
    refusal_part = {"type": "refusal", "refusal": reply.content}
    return {
        "id": f"sim-msg-{digest}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [refusal_part if reply.is_refusal else text_part],
    }
