"""Which part of a prompt is the same in every row of a column, as the declared call shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pxt_assets.api.prompt_cache import MINIMUM_TOKENS, CachedPrefix, has_paid_cache
from pxt_assets.api.request import ORDERED_ARGUMENTS
from pxt_assets.expressions.expr import Expr
from pxt_assets.expressions.walk import expression_text, nodes
from pxt_assets.values.digest import digest

_BYTES_PER_TOKEN = 4
_TOKENS_OF_MESSAGE = 3
_TOKENS_OF_IMAGE = 85
"""Those of an image at low detail: the least that one has."""
_ROLES = frozenset(("system", "developer", "user", "tool"))
"""Whose messages take a breakpoint: in an assistant's the API takes no notice of it."""
_MARKABLE = frozenset(("text", "image_url", "input_audio", "file", "input_text", "input_image", "input_file"))
"""Types of the content parts that take one."""
_ELSEWHERE = ("conversation", "previous_response_id", "prompt")
"""Arguments that put something before the messages which is not known here."""
_AFTER_PROMPT = frozenset(
    (
        *("frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "max_output_tokens"),
        *("max_tokens", "metadata", "n", "presence_penalty", "safety_identifier", "seed", "stop"),
        *("temperature", "top_logprobs", "top_p"),
    )
)
"""Arguments that may differ between rows: they are of the answer, and change nothing of the prompt."""


class _End(NamedTuple):
    """A place where a prefix may end."""

    message: int
    part: int | None
    tokens: float
    """From the beginning of the messages to it."""


def constant_prefix(arguments: Mapping[str, Any], prompt: str, text_type: str) -> CachedPrefix | None:
    """The longest prefix of the messages in the argument `prompt` that all rows share and that can be marked.

    None where there is none that is worth it: too short to be cached, all of it (equal rows are asked for once), for a
    model that takes no breakpoints or is a column, and where the user says anything of the cache himself. A text is never
    divided: what a model makes of two texts in place of one is nowhere said to be the same.
    """
    model_kwargs = {} if arguments.get("model_kwargs") is None else arguments["model_kwargs"]
    model, messages = arguments.get("model"), arguments.get(prompt)
    if not isinstance(model_kwargs, Mapping) or not isinstance(model, str) or not has_paid_cache(model):
        return None
    if not isinstance(messages, list | tuple) or not any(True for _ in nodes(arguments)):
        return None
    given = {**arguments, **model_kwargs}
    settings = {
        name: value
        for name, value in given.items()
        if value is not None and name not in (prompt, "model_kwargs", *_AFTER_PROMPT)
    }
    if any(name in settings for name in _ELSEWHERE) or _speaks_of_cache([*settings], messages):
        return None
    if _has_columns(settings):
        return None
    ends = [*_ends(messages)]
    if not ends:
        return None
    end = ends[-1]
    before = sum(_text_tokens(expression_text(settings[n])) for n in ORDERED_ARGUMENTS if n in settings)
    if isinstance(instructions := settings.get("instructions"), str):
        before += _text_tokens(instructions)
    tokens = int(before + end.tokens)
    if tokens < MINIMUM_TOKENS:
        return None
    return CachedPrefix(prompt, end.message, end.part, text_type, _key(settings, messages, end), tokens)


def _key(settings: Mapping[str, Any], messages: Sequence[Any], end: _End) -> str:
    last = messages[end.message]
    if end.part is not None:
        last = {**last, "content": last["content"][: end.part + 1]}
    text = expression_text({"settings": settings, "messages": [*messages[: end.message], last]})
    return f"pxt-{digest(text.encode('utf-8', 'surrogatepass')).hex()}"


def _ends(messages: Sequence[Any]) -> Iterator[_End]:
    """Where the prefix may end, in their order: all before each is the same in every row."""
    tokens = 0.0
    for number, message in enumerate(messages):
        if isinstance(message, Expr) or not isinstance(message, Mapping):
            return
        content = message.get("content")
        others = {name: value for name, value in message.items() if name != "content"}
        if _has_columns(others) or isinstance(content, Expr):
            return
        markable = message.get("role") in _ROLES and message.get("type", "message") == "message"
        tokens += _TOKENS_OF_MESSAGE
        if isinstance(content, str):
            tokens += _text_tokens(content)
            if markable and content:
                yield _End(number, None, tokens)
        elif isinstance(content, list | tuple):
            for position, part in enumerate(content):
                if _has_columns(part):
                    return
                tokens += _part_tokens(part)
                if markable and _is_markable(part):
                    yield _End(number, position, tokens)
        elif _has_columns(content):
            return


def _is_markable(part: object) -> bool:
    if not isinstance(part, Mapping) or part.get("type") not in _MARKABLE:
        return False
    return part["type"] not in ("text", "input_text") or bool(part.get("text"))


def _part_tokens(part: object) -> float:
    if not isinstance(part, Mapping):
        return 0
    if part.get("type") in ("image_url", "input_image"):
        return _TOKENS_OF_IMAGE
    text = part.get("text")
    return _text_tokens(text) if isinstance(text, str) else 0


def _text_tokens(text: str) -> float:
    """About how many tokens a text has: a quarter of its bytes, which suits English, and others that take more of both.

    A prefix that proves too short after all costs nothing: it is not cached, nor is the rest of the prompt.
    """
    return len(text.encode("utf-8", "surrogatepass")) / _BYTES_PER_TOKEN


def _has_columns(value: Any) -> bool:
    return any(True for _ in nodes(value))


def _speaks_of_cache(names: Sequence[str], messages: Sequence[Any]) -> bool:
    """Whether an argument, or a content part of the messages, says anything of the cache."""
    if any(str(name).startswith("prompt_cache_") for name in names):
        return True
    contents = [m.get("content") for m in messages if not isinstance(m, Expr) and isinstance(m, Mapping)]
    parts = [p for content in contents if isinstance(content, list | tuple) for p in content]
    return any(
        str(name).startswith("prompt_cache_")
        for part in parts
        if not isinstance(part, Expr) and isinstance(part, Mapping)
        for name in part
    )
