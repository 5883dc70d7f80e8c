"""The answer of POST /v1/responses."""

import json
from dataclasses import dataclass, replace
from typing import Any

from pxt_assets.simulator.endpoint.endpoint import CREATED, Answer, estimate_tokens
from pxt_assets.simulator.endpoint.errors import bad_request
from pxt_assets.simulator.endpoint.models import serves
from pxt_assets.simulator.prompt.conversation import IMAGE_TOKENS, Conversation
from pxt_assets.simulator.reply.extract import CONSIDERED
from pxt_assets.simulator.reply.reply import Reply, compose
from pxt_assets.simulator.responses.continued import Continued, continue_conversation
from pxt_assets.simulator.responses.request import ResponseRequest, read_response_request
from pxt_assets.simulator.responses.store import KeptAnswers, KeptResponse

OVERHEAD = 25
"""Tokens that the limit is charged beyond the texts, the images and the tools."""


@dataclass(frozen=True, slots=True)
class ResponseCall:
    """A request for a response; `after` makes it ready to be answered."""

    request: ResponseRequest
    kept: KeptAnswers | None = None
    continued: Continued | None = None

    @property
    def model(self) -> str:
        """The model asked for."""
        return self.request.model

    def after(self, kept: KeptAnswers) -> "ResponseCall":
        """The call as it continues an answer of those `kept`, among which its own will be.

        Raises a 400, or a 404, for one that refers to what there is not.
        """
        request = self.request
        continued = continue_conversation(request.items, request.previous_response_id, kept)
        if request.json_schema is True and not continued.conversation.mentions_json:
            raise bad_request(
                "Response input messages must contain the word 'json' in some form to use 'text.format' of "
                "type 'json_object'.",
                param="input",
            )
        return replace(self, kept=kept, continued=continued)

    def charge(self, *, count_max_tokens: bool) -> int:
        """Tokens that the limit is charged: those of all texts and tools, 25 more, 765 an image."""
        conversation = self._continued.conversation
        characters = conversation.characters + self.request.unspoken_characters
        charge = estimate_tokens(characters) + OVERHEAD + IMAGE_TOKENS * conversation.images
        return charge + (self.request.max_output_tokens or 0) if count_max_tokens else charge

    def answer(self, digest: str) -> Answer:
        """The response. Raises a 400 for a schema of which there is no instance."""
        request, conversation = self.request, self._continued.conversation
        [reply] = compose(request.prompt(conversation))
        input_tokens = conversation.tokens() + estimate_tokens(request.unspoken_characters)
        item = _output_item(reply, digest)
        body = {
            "id": f"sim-resp-{digest}",
            "object": "response",
            "created_at": CREATED,
            "status": "completed" if reply.whole else "incomplete",
            "completed_at": CREATED if reply.whole else None,
            "error": None,
            "incomplete_details": None if reply.whole else {"reason": "max_output_tokens"},
            "model": request.model,
            "output": [item],
            **request.echo,
            "usage": {
                "input_tokens": input_tokens,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": reply.tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": input_tokens + reply.tokens,
            },
        }
        if request.store and self.kept is not None:
            self.kept.keep(body["id"], self._remember(item, reply))
        return Answer(json.dumps(body).encode(), input_tokens, reply.tokens)

    @property
    def _continued(self) -> Continued:
        assert self.continued is not None, "a call is charged and answered once it is told what it is after"
        return self.continued

    def _remember(self, item: dict[str, Any], reply: Reply) -> KeptResponse:
        """What a request that continues this answer needs of it."""
        heard = self._continued.conversation
        # No more of the question than is looked at: there may be many answers to keep.
        conversation: Conversation = replace(heard, question=heard.question[:CONSIDERED])
        conversation.add(reply.content)
        return KeptResponse(conversation, item["id"], item.get("call_id"), self._continued.call_ids)


def read_response_call(body: dict[str, Any]) -> ResponseCall:
    """The call that `body` asks for. Raises a 400 `SimulatedError` for one that the API would refuse."""
    request = read_response_request(body)
    if not serves("responses", request.model):
        # Here, unlike at the other endpoints, this is no 404.
        raise bad_request(
            f"The requested model '{request.model}' does not exist.", code="model_not_found", param="model"
        )
    return ResponseCall(request)


def _output_item(reply: Reply, digest: str) -> dict[str, Any]:
    status = "completed" if reply.whole else "incomplete"
    if reply.tool is not None:
        return {
            "id": f"sim-fc-{digest}",
            "type": "function_call",
            "status": status,
            "call_id": f"sim-call-{digest}",
            "name": reply.tool.name,
            "arguments": reply.content,
        }
    said = {"type": "output_text", "text": reply.content, "annotations": [], "logprobs": []}
    refused = {"type": "refusal", "refusal": reply.content}
    return {
        "id": f"sim-msg-{digest}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [refused if reply.refused else said],
    }
