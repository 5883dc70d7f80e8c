"""The conversation that a request for a response continues."""

from dataclasses import dataclass, replace

from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request
from pxt_assets.simulator.prompt.conversation import Conversation
from pxt_assets.simulator.responses.input_items import Item
from pxt_assets.simulator.responses.store import ResponsesOfKey, StoredResponse


@dataclass(frozen=True, slots=True)
class Continuation:
    """The conversation before an answer."""

    conversation: Conversation
    call_ids: frozenset[str]
    """Ids of all calls in it; each has its output."""


def continue_conversation(
    items: tuple[Item, ...], previous_response_id: str | None, stored: ResponsesOfKey
) -> Continuation:
    """The conversation of an earlier answer, if one is named, with `items` added.

    Raises a 400 for an answer that is not among those `stored`, and for a call without an output or the
    reverse; a 404 for an unknown reference.
    """
    conversation, call_ids, answered_call_ids = Conversation(), set[str](), set[str]()
    if previous_response_id is not None:
        previous = _find_response(previous_response_id, stored)
        # A copy, since other requests may continue the same answer.
        conversation = replace(previous.conversation)
        answered_call_ids |= previous.call_ids
        call_ids |= previous.all_call_ids
    for item in items:
        if item.role is None:
            conversation.add_text(item.text)
        else:
            conversation.add_message(item.role, item.text, item.attachments, image_tokens=item.image_tokens)
        call_id = (
            item.call_id
            if item.referenced_item_id is None
            else _find_item(item.referenced_item_id, stored).call_id
        )
        if call_id is not None:
            call_ids.add(call_id)
        if item.answered_call_id is not None:
            if item.answered_call_id not in call_ids:
                raise bad_request(
                    f"No tool call found for function call output with call_id {item.answered_call_id}.",
                    param="input",
                )
            answered_call_ids.add(item.answered_call_id)
    if call_ids - answered_call_ids:
        raise bad_request(
            f"No tool output found for function call {min(call_ids - answered_call_ids)}.", param="input"
        )
    return Continuation(conversation, frozenset(call_ids))


def _find_response(response_id: str, stored: ResponsesOfKey) -> StoredResponse:
    response = stored.find(response_id)
    if response is None:
        raise bad_request(
            f"Previous response with id '{response_id}' not found.",
            code="previous_response_not_found",
            param="previous_response_id",
        )
    return response


def _find_item(item_id: str, stored: ResponsesOfKey) -> StoredResponse:
    """The answer that contains the output item of that id."""
    response = stored.find_item(item_id)
    if response is None:
        raise SimulatedError(
            404,
            f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. Try "
            "again with `store` set to true, or remove this item from your input.",
            param="input",
        )
    return response
