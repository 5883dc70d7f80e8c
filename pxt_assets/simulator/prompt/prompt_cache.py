"""The cache of prompts, as the API bills it from GPT-5.6 on.

What a request says of it is read with its body; when the request comes in, what is there is looked up; when it is answered,
what it wrote is there for those that come after that: of requests at once each writes for itself. A prefix is found by the
API key, the model, `prompt_cache_key` and all that stands before the breakpoint at which it ends.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from pxt_assets.simulator.endpoint import arguments
from pxt_assets.simulator.endpoint.endpoint import estimate_tokens
from pxt_assets.simulator.endpoint.errors import bad_request
from pxt_assets.simulator.endpoint.models import model_family
from pxt_assets.simulator.prompt.conversation import MESSAGE_OVERHEAD, image_tokens

MINIMUM_TOKENS = 1_024
"""Tokens of the shortest prefix that is cached."""
LIFETIME_SECONDS = 30 * 60.0
"""How long a prefix stays. To read it does not prolong that."""
_WRITTEN, _MATCHED = 4, 80
"""Breakpoints of a request, the latest ones, that are written, and that are looked for."""
_KEPT = 100_000
"""Prefixes that are kept at most."""
_VERSION = re.compile(r"(?:ft:)?gpt-(\d{1,2})(?:\.(\d+))?(?![\d.])")
_BREAKPOINT = "prompt_cache_breakpoint"
_BEFORE_MESSAGES = (
    *("instructions", "previous_response_id", "reasoning", "reasoning_effort", "response_format"),
    *("text", "tools", "verbosity"),
)
"""Arguments that are part of what is cached, or change it."""


@lru_cache(maxsize=1024)
def has_breakpoints(model: str) -> bool:
    """Whether the model is of GPT-5.6 or later."""
    found = _VERSION.match(model)
    return found is not None and (int(found[1]), int(found[2] or 0)) >= (5, 6)


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """A place in a prompt at which a prefix ends."""

    digest: bytes
    """Of all before it."""
    tokens: int | None
    """From the first message to it; None for the end of the prompt."""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What a request says of the cache, and what it found and wrote there."""

    breakpoints: tuple[Breakpoint, ...] = ()
    """Those that are looked for, in their order; the last `written` of them are put into the cache."""
    written: int = 0
    earlier_tokens: int = 0
    """Tokens before the first message: those of instructions and tools."""
    found: frozenset[bytes] = frozenset()
    """The digests of those that were in the cache."""
    owner: bytes = b""
    """Names the key and the model."""

    def tokens(self, prompt_tokens: int) -> tuple[int, int]:
        """The tokens that were read from the cache, and those that were written to it."""
        ends = [
            (
                one,
                prompt_tokens if one.tokens is None else min(self.earlier_tokens + one.tokens, prompt_tokens),
            )
            for one in self.breakpoints
        ]
        read = max((end for one, end in ends if one.digest in self.found), default=0)
        written = [end for _, end in ends[len(ends) - self.written :] if end >= MINIMUM_TOKENS]
        return read, max(0, max(written, default=0) - read)


NO_CACHE = CacheUse()


def read_cache_use(
    body: dict[str, Any], model: str, prompt: str, *, tokens: int, earlier_characters: int = 0
) -> CacheUse:
    """What a valid body says of the cache; `prompt` is the argument that holds its messages, of that many tokens in all.

    `earlier_characters` are those of instructions and tools. Raises a 400 for what the API would refuse.
    """
    arguments.check_string(body, "prompt_cache_key", 64)
    options = arguments.read_object(body.get("prompt_cache_options") or {}, "prompt_cache_options")
    arguments.check_word(options, "mode", ("implicit", "explicit"), at="prompt_cache_options")
    arguments.check_word(options, "ttl", ("30m",), at="prompt_cache_options")
    given = body.get(prompt) or []
    messages: list[dict[str, Any]] = [{"role": "user", "content": given}] if isinstance(given, str) else given
    marks = sum(_check_marks(message, f"{prompt}[{index}]") for index, message in enumerate(messages))
    if not has_breakpoints(model):
        if options or marks:
            param = "prompt_cache_options" if options else _BREAKPOINT
            raise bad_request(
                f"Unsupported parameter: '{param}' is not supported with this model.",
                code="unsupported_parameter",
                param=param,
            )
        return NO_CACHE
    is_implicit = options.get("mode") != "explicit"
    is_short = tokens < MINIMUM_TOKENS and body.get("previous_response_id") is None
    if is_short or not (is_implicit or marks):
        return NO_CACHE
    *explicit, end = _breakpoints(body, messages)
    chosen = [*explicit, end] if is_implicit else explicit
    return CacheUse(
        tuple(chosen[-_MATCHED:]), min(_WRITTEN, len(chosen)), estimate_tokens(earlier_characters)
    )


def _check_marks(message: dict[str, Any], path: str) -> int:
    """How many parts of a message are marked. Raises a 400 for a mark that is none."""
    marks = 0
    for index, part in enumerate(_parts(message)):
        if part.get(_BREAKPOINT) is not None:
            at = f"{path}.content[{index}].{_BREAKPOINT}"
            mark = arguments.read_object(part[_BREAKPOINT], at)
            arguments.read_string_at(mark, "mode", at)
            arguments.check_word(mark, "mode", ("explicit",), at=at)
            arguments.check_word(mark, "ttl", ("30m", "12h"), at=at)
            marks += message.get("role") != "assistant"
    return marks


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a message's content, if it is a list of them."""
    content = message.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _breakpoints(body: dict[str, Any], messages: list[dict[str, Any]]) -> Iterator[Breakpoint]:
    """The places that are marked, and the end of the prompt."""
    before = {name: body[name] for name in _BEFORE_MESSAGES if body.get(name) is not None}
    seen = blake2b(_bytes([body.get("prompt_cache_key"), before]), digest_size=16)
    characters = images = 0
    for number, message in enumerate(messages, 1):
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else _parts(message)
        seen.update(_bytes({name: value for name, value in message.items() if name != "content"}))
        for index, part in enumerate(parts):
            plain = {**part, "type": str(part.get("type")).removeprefix("input_")}
            mark = plain.pop(_BREAKPOINT, None)
            seen.update(_bytes(plain))
            characters += len(part.get("text") or "") + (index > 0)
            if plain["type"] in ("image", "image_url"):
                image = part.get("image_url")
                images += image_tokens(image.get("detail") if isinstance(image, dict) else part.get("detail"))
            if mark is not None and message.get("role") != "assistant":
                tokens = estimate_tokens(characters) + MESSAGE_OVERHEAD * number + images
                yield Breakpoint(seen.copy().digest(), tokens)
    yield Breakpoint(seen.digest(), None)


def _bytes(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


class PromptCache:
    """The prefixes that are in the cache, and until when."""

    def __init__(self) -> None:
        self._until: dict[bytes, float] = {}

    def look_up(self, use: CacheUse, key: str, model: str, now: float) -> CacheUse:
        """The same with what is there at `now`, in seconds, for an API key and a model."""
        owner = blake2b(json.dumps([key, model_family(model)]).encode(), digest_size=16).digest()
        found = {one.digest for one in use.breakpoints if self._until.get(owner + one.digest, now) > now}
        return CacheUse(use.breakpoints, use.written, use.earlier_tokens, frozenset(found), owner)

    def store(self, use: CacheUse, prompt_tokens: int, now: float) -> None:
        """Keeps what an answered request wrote at `now`."""
        for one in use.breakpoints[len(use.breakpoints) - use.written :]:
            length = prompt_tokens if one.tokens is None else use.earlier_tokens + one.tokens
            if one.digest not in use.found and length >= MINIMUM_TOKENS:
                self._until.pop(use.owner + one.digest, None)
                self._until[use.owner + one.digest] = now + LIFETIME_SECONDS
        while len(self._until) > _KEPT:
            del self._until[next(iter(self._until))]
