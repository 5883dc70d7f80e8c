"""What a simulated model replies: a sentence of the prompt, an instance of a schema, a call, or a refusal.

The same prompt has the same replies at every endpoint.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from pxt_assets.simulator.endpoint.endpoint import MARK, estimate_tokens
from pxt_assets.simulator.endpoint.errors import bad_request
from pxt_assets.simulator.prompt.conversation import Conversation
from pxt_assets.simulator.prompt.tools import Tool
from pxt_assets.simulator.reply.extract import key_sentences
from pxt_assets.simulator.reply.instance import make_instance
from pxt_assets.simulator.reply.schema_merge import NoInstanceError

REFUSE = "[refuse]"
"""A question that contains it is refused, so that refusals can be rehearsed."""

REFUSAL = f"{MARK}I'm sorry, but I can't help with that."

_NAME_PARTS = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt: the conversation, and the form of the reply."""

    conversation: Conversation
    json_schema: dict[str, Any] | bool | None = None
    """The schema to answer by; True for any JSON object, None for text."""
    tools: tuple[Tool, ...] = ()
    """The tools to choose from; none where the request forbids calls."""
    must_call: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: a text, a refusal, or the call of a tool."""

    content: str
    """The text, the refusal, or the arguments of the call."""
    tokens: int
    is_complete: bool
    """Whether the limit of tokens did not cut it."""
    tool: Tool | None = None
    """The tool that is called."""
    is_refusal: bool = False


def compose_replies(prompt: Prompt, count: int = 1) -> list[Reply]:
    """`count` replies to `prompt`. Raises a 400 for a schema of which there is no instance."""
    if REFUSE in prompt.conversation.question:
        return [_reply(REFUSAL, prompt, is_refusal=True)] * count
    tool = _choose_tool(prompt)
    if tool is not None:
        schema = {"type": "object", **tool.parameters}
        return [_reply(_write_instance(schema, prompt, index), prompt, tool=tool) for index in range(count)]
    if isinstance(prompt.json_schema, dict):
        texts = [_write_instance(prompt.json_schema, prompt, index) for index in range(count)]
    else:
        sentences = _sentences(prompt.conversation, count)
        chosen = [sentences[index % len(sentences)] for index in range(count)]
        texts = [_write_object(text) if prompt.json_schema else f"{MARK}{text}" for text in chosen]
    return [_reply(_cut_at_stop(text, prompt.stop), prompt) for text in texts]


def _sentences(conversation: Conversation, most: int) -> list[str]:
    """Texts to choose from, the best first; at least one."""
    sentences = key_sentences(conversation.question, most=most)
    if conversation.attachments:
        note = f"({'; '.join(conversation.attachments)}.)"
        return [f"{sentence} {note}" for sentence in sentences] or [note]
    return sentences or ["(The message is empty.)"]


def _write_object(text: str) -> str:
    # A mark before it would break the JSON.
    return json.dumps({"simulated": True, "reply": text}, ensure_ascii=False)


def _write_instance(schema: dict[str, Any], prompt: Prompt, index: int) -> str:
    # With the attachments, so that rows that differ in their images alone have different answers.
    text = "\n".join((prompt.conversation.question, *prompt.conversation.attachments))
    try:
        return json.dumps(make_instance(schema, text, index), ensure_ascii=False)
    except NoInstanceError as exc:
        raise bad_request(f"Invalid schema: {exc}.", code="invalid_json_schema") from exc
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as exc:
        # Keywords whose values have the wrong type, or numbers beyond floats: too many ways to check each.
        raise bad_request(f"Invalid schema: it is malformed ({exc}).", code="invalid_json_schema") from exc


def _cut_at_stop(text: str, stop: tuple[str, ...]) -> str:
    for sequence in stop:
        text = text.partition(sequence)[0]
    return text


def _reply(content: str, prompt: Prompt, *, tool: Tool | None = None, is_refusal: bool = False) -> Reply:
    """The reply with that content, cut to the tokens that the prompt allows."""
    tokens, most = estimate_tokens(len(content)), prompt.max_tokens
    if most is None or tokens <= most:
        return Reply(content, tokens, is_complete=True, tool=tool, is_refusal=is_refusal)
    return Reply(content[: 4 * most], most, is_complete=False, tool=tool, is_refusal=is_refusal)


def _choose_tool(prompt: Prompt) -> Tool | None:
    """The tool to call: one that the question mentions, or the first if one must be called."""
    if not prompt.tools:
        return None
    question = set(_NAME_PARTS.findall(prompt.conversation.question.lower()))
    # Short words (of, the, get) say nothing about what a tool is for.
    mentioned = [
        tool
        for tool in prompt.tools
        if any(len(word) > 3 and word in question for word in _subject_words(tool))
    ]
    if prompt.must_call:
        return mentioned[0] if mentioned else prompt.tools[0]
    # After a tool has answered the reply is text, or an agent would call it for ever.
    return mentioned[0] if mentioned and not prompt.conversation.answered_by_tool else None


def _subject_words(tool: Tool) -> list[str]:
    return _NAME_PARTS.findall(f"{_CAMEL.sub(' ', tool.name)} {tool.description}".lower())
