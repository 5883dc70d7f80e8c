"""The conversation that a request for a response continues."""

from dataclasses import dataclass, replace

from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request
from pxt_assets.simulator.prompt.conversation import Conversation
from pxt_assets.simulator.responses.input_items import Item
from pxt_assets.simulator.responses.store import KeptAnswers, KeptResponse


@dataclass(frozen=True, slots=True)
class Continued:
    """A conversation up to the answer that is to come."""

    conversation: Conversation
    call_ids: frozenset[str]
    """Of all calls in it; each has its output."""


def continue_conversation(
    items: tuple[Item, ...], previous_response_id: str | None, kept: KeptAnswers
) -> Continued:
    """The conversation of an earlier answer, if one is named, with `items` added.

    Raises a 400 for an answer that is not among those `kept`, and for a call without an output or the reverse;
    a 404 for an unknown reference.
    """
    conversation, called, answered = Conversation(), set[str](), set[str]()
    if previous_response_id is not None:
        previous = _find_response(previous_response_id, kept)
        # A copy: others may continue the same answer.
        conversation = replace(previous.conversation)
        answered |= previous.call_ids
        called |= previous.all_call_ids
    for item in items:
        if item.role is None:
            conversation.add(item.text)
        else:
            conversation.hear(item.role, item.text, item.attachments, images=item.images)
        call_id = item.calls if item.refers_to is None else _find_item(item.refers_to, kept).call_id
        if call_id is not None:
            called.add(call_id)
        if item.answers is not None:
            if item.answers not in called:
                raise bad_request(
                    f"No tool call found for function call output with call_id {item.answers}.", param="input"
                )
            answered.add(item.answers)
    if called - answered:
        raise bad_request(f"No tool output found for function call {min(called - answered)}.", param="input")
    return Continued(conversation, frozenset(called))


def _find_response(response_id: str, kept: KeptAnswers) -> KeptResponse:
    found = kept.find(response_id)
    if found is None:
        raise bad_request(
            f"Previous response with id '{response_id}' not found.",
            code="previous_response_not_found",
            param="previous_response_id",
        )
    return found


def _find_item(item_id: str, kept: KeptAnswers) -> KeptResponse:
    """The answer that put out the item of that id."""
    found = kept.find_item(item_id)
    if found is None:
        raise SimulatedError(
            404,
            f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. Try "
            "again with `store` set to true, or remove this item from your input.",
            param="input",
        )
    return found
