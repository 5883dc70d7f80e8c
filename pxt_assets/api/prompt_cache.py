"""The API's cache of prompts: which part of a request is the same in every row, and how its end is marked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MINIMUM_TOKENS = 1_024
"""Tokens that a prefix must have to be cached. Source: https://developers.openai.com/api/docs/guides/prompt-caching"""
LIFETIME_SECONDS = 30 * 60.0
"""How long a prefix stays in the cache, at least. Source: the same page."""
_PATHS = ("/chat/completions", "/responses")
BREAKPOINT = "prompt_cache_breakpoint"
_FIRST_VERSION = (5, 6)
_VERSION = re.compile(r"gpt-(\d{1,2})(?:\.(\d+))?(?![\d.])")
_NOT_OPENAIS = "gpt-35"
"""What Azure calls GPT-3.5."""


def has_paid_cache(model: str) -> bool:
    """Whether a model takes breakpoints, and charges for what is written to the cache: GPT-5.6 and later.

    >>> has_paid_cache("gpt-6-luna"), has_paid_cache("ft:gpt-5.6-luna:acme::x1"), has_paid_cache("gpt-5.5")
    (True, True, False)
    """
    name = model.rpartition("/")[2].removeprefix("ft:")
    found = _VERSION.match(name)
    if found is None or name.startswith(_NOT_OPENAIS):
        return False
    return (int(found[1]), int(found[2] or 0)) >= _FIRST_VERSION


def is_written_whole(path: str, body: Mapping[str, Any], tokens: int) -> bool:
    """Whether the API writes a prompt of that many tokens to its cache to its end, as it does unless it is told otherwise."""
    if path not in _PATHS or tokens < MINIMUM_TOKENS or not has_paid_cache(str(body.get("model"))):
        return False
    options = body.get("prompt_cache_options")
    return not (isinstance(options, Mapping) and options.get("mode") == "explicit")


@dataclass(frozen=True, slots=True)
class CachedPrefix:
    """The beginning of a prompt that all rows have in common, up to the end of one content part."""

    argument: str
    """`messages`, or `input`."""
    message: int
    """The number of the message in which it ends."""
    part: int | None
    """The number of that message's last part in it; None where the message's content is one text."""
    text_type: str
    """The type of a part that is a text: `text`, or `input_text`."""
    key: str
    """Equal for requests with this prefix, at most 64 characters."""
    tokens: int
    """About how long it is."""

    def marked(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body with a breakpoint at the prefix's end, and without the one that the API else puts at the prompt's end.

        A content that is one text becomes a list of that one text, which means the same. A row whose own messages have
        breakpoints is left as it is.
        """
        messages = list(body[self.argument])
        if _has_breakpoint(messages[self.message :]):
            return body
        content = messages[self.message]["content"]
        if self.part is None:
            parts: list[Any] = [_with_breakpoint({"type": self.text_type, "text": content})]
        else:
            parts = list(content)
            parts[self.part] = _with_breakpoint(parts[self.part])
        messages[self.message] = {**messages[self.message], "content": parts}
        return {
            **body,
            self.argument: messages,
            "prompt_cache_key": self.key,
            "prompt_cache_options": {"mode": "explicit"},
        }


def _with_breakpoint(part: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**part, BREAKPOINT: {"mode": "explicit"}}


def _has_breakpoint(messages: Sequence[Any]) -> bool:
    contents = [message.get("content") for message in messages if isinstance(message, Mapping)]
    parts = [part for content in contents if isinstance(content, list | tuple) for part in content]
    return any(isinstance(part, Mapping) and BREAKPOINT in part for part in parts)
