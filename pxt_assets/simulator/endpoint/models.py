"""The models that the simulator knows: their endpoints, their families, and the list of `GET /v1/models`."""

import re
from collections.abc import Callable, Iterable
from datetime import date
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any


def is_moderation(model: str) -> bool:
    """Whether `model` is a moderation model, or the name of a family of them."""
    return model.startswith(("omni-moderation", "text-moderation"))


def is_gpt_image(model: str) -> bool:
    """Whether `model` is one of the GPT image models."""
    return bool(_GPT_IMAGE.match(model))


_CHAT = re.compile(r"(ft:)?(gpt-|chatgpt-|o\d)")
_NOT_CHAT = re.compile(r"(chat)?gpt-image|gpt-realtime|gpt-transcribe|.*-(transcribe|tts|realtime)\b")
_SPEECH = re.compile(r"tts-1\b|gpt-\w.*-tts\b")
_TRANSCRIPTION = re.compile(r"whisper-1$|gpt-(.+-)?transcribe\b")
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4}|latest)$")
_GPT_IMAGE = re.compile(r"gpt-image-\d|chatgpt-image-")


def _is_chat(model: str) -> bool:
    return bool(_CHAT.match(model)) and not _NOT_CHAT.match(model)


_ENDPOINTS: dict[str, Callable[[str], bool]] = {
    "chat/completions": _is_chat,
    "responses": _is_chat,
    "decisions": lambda model: _SNAPSHOT.sub("", model) == "gpt-6-luna",
    "embeddings": lambda model: model.startswith("text-embedding-"),
    "moderations": is_moderation,
    "images/generations": lambda model: model in ("dall-e-2", "dall-e-3") or is_gpt_image(model),
    "images/edits": lambda model: model == "dall-e-2" or is_gpt_image(model),
    "images/variations": lambda model: model == "dall-e-2",
    "audio/speech": lambda model: bool(_SPEECH.match(model)),
    "audio/transcriptions": lambda model: bool(_TRANSCRIPTION.match(model)),
    "audio/translations": lambda model: model == "whisper-1",
}
_FINE_TUNED = re.compile(r"ft:([^:]+):.+")
_CLOSE = 0.75
"""Share of letters that a name has in common with the one that was meant, as `difflib` counts it."""

_CREATED = 1_735_689_600
"""Unix time stated for every model: an arbitrary fixed one."""

# Model -> announced shutdown date; None where none is announced (November 2026).
_MODELS: dict[str, str | None] = {
    "gpt-6.2-astra": None,
    "gpt-6-astra": None,
    "gpt-6.2-sol": None,
    "gpt-6.1-sol": None,
    "gpt-6-sol": None,
    "gpt-6.1-terra": None,
    "gpt-6-luna": None,
    "gpt-5.6-sol": None,
    "gpt-5.6-terra": None,
    "gpt-5.6-luna": None,
    "gpt-5.5": None,
    "gpt-5.4": None,
    "gpt-5.4-mini": None,
    "gpt-5.4-nano": "2027-04-01",
    "gpt-5.2": None,
    "gpt-5.1": "2027-04-01",
    "gpt-5": "2026-12-11",
    "gpt-5-mini": "2026-12-11",
    "gpt-5-nano": "2026-12-11",
    "o3": "2026-12-11",
    "gpt-4.1": "2027-01-14",
    "gpt-4.1-mini": "2027-01-14",
    "gpt-4o": "2027-01-14",
    "gpt-4o-mini": "2027-01-14",
    "gpt-4o-mini-2024-07-18": "2027-01-14",
    "text-embedding-3-small": None,
    "text-embedding-3-large": None,
    "text-embedding-ada-002": None,
    "omni-moderation-latest": None,
    "omni-moderation-2024-09-26": None,
    "gpt-image-2.6-sunburst": None,
    "gpt-image-2.6-flare": None,
    "gpt-image-2.5-sunburst": None,
    "gpt-image-2.5-flare": None,
    "gpt-image-2": None,
    "gpt-image-2-2026-04-21": None,
    "gpt-image-1.5": "2026-12-01",
    "gpt-image-1-mini": "2026-12-01",
    "chatgpt-image-latest": "2026-12-01",
    "tts-1": "2027-01-06",
    "tts-1-hd": "2027-01-06",
    "gpt-4o-mini-tts": "2027-01-06",
    "gpt-4o-mini-tts-2025-12-15": "2027-01-06",
    "gpt-transcribe": None,
    "gpt-4o-transcribe": "2027-02-26",
    "gpt-4o-mini-transcribe": "2027-02-26",
    "gpt-4o-mini-transcribe-2025-12-15": "2027-02-26",
    "gpt-4o-transcribe-diarize": "2027-02-26",
    "whisper-1": "2027-02-26",
}

_RETIRED = frozenset(
    {
        "dall-e-2",
        "dall-e-3",
        "gpt-image-1",
        "omni-moderation",
        "text-moderation",
        "text-moderation-stable",
        "text-moderation-007",
    }
)
"""Models that are not listed any more, and yet have their rules here: a pipeline that still names them can be rehearsed."""


def is_served_at(endpoint: str, model: str, more: Iterable[str] = ()) -> bool:
    """Whether the API serves `model` at `endpoint`, such as "chat/completions".

    It has to be known, by this table or that of prices; with a date or "latest" behind it and fine-tuned (`ft:...`) as
    well. Those of `more` are served at every endpoint.
    """
    return model in more or (_ENDPOINTS[endpoint](model) and is_known(model))


@lru_cache(maxsize=1024)
def is_known(model: str) -> bool:
    """Whether there is such a model, a snapshot of it, or a model that was fine-tuned from it."""
    fine_tuned = _FINE_TUNED.fullmatch(model)
    base = fine_tuned[1] if fine_tuned else model
    if base in _MODELS or base in _RETIRED or base in _priced_models():
        return True
    snapshot = _SNAPSHOT.search(base)
    if snapshot is None or not _is_plausible_date(snapshot[1]):
        return False
    family = base[: snapshot.start()]
    return family in _MODELS or family in _RETIRED or family in _priced_models()


def suggestion(endpoint: str, model: str, more: Iterable[str] = ()) -> str:
    """What may have been meant by a model that is not served at `endpoint`, as a sentence; empty if nobody can tell.

    >>> suggestion("chat/completions", "gpt-6-lunna")
    'did you mean gpt-6-luna?'
    """
    if is_known(model):
        elsewhere = [other for other, is_of in _ENDPOINTS.items() if is_of(model)]
        return f"it is served at {', '.join(elsewhere)}, not at {endpoint}" if elsewhere else ""
    fine_tuned = _FINE_TUNED.fullmatch(model)
    base = fine_tuned[1] if fine_tuned else model
    known = dict.fromkeys(
        [*more, *filter(_ENDPOINTS[endpoint], [*_MODELS, *_RETIRED, *sorted(_priced_models())])]
    )
    snapshot = _SNAPSHOT.search(base)
    meant = _closest(base, known)
    if meant is None and snapshot is not None:
        family = _closest(base[: snapshot.start()], known)
        meant = None if family is None else f"{family}{snapshot[0]}"
    return "" if meant is None else f"did you mean {model.replace(base, meant, 1)}?"


def _closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one is nearest to; None if it is near to none.

    One of the same letters comes first: to leave out a hyphen is likelier than to mean another version.
    """
    wanted = name.strip().lower()
    for one in known:
        if _letters(one) == _letters(wanted):
            return one
    return next(iter(get_close_matches(wanted, known, n=1, cutoff=_CLOSE)), None)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name)


@cache
def _priced_models() -> frozenset[str]:
    """The names of models in the table of prices, which knows some that `GET /v1/models` no longer lists."""
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return frozenset()
    names: set[str] = set()
    for provider in get_snapshot().providers:
        if provider.id == "openai":
            for model in provider.models:
                names.add(model.id)
                names.update(_names_in(model.match))
    return frozenset(name for name in names if not name.endswith(("-", ".")) and ":" not in name)


def _names_in(clause: Any) -> set[str]:
    """The whole names that a clause of the table of prices is true of."""
    if (name := getattr(clause, "equals", None)) is not None:
        return {name}
    return {name for inner in getattr(clause, "or_", None) or () for name in _names_in(inner)}


def _is_plausible_date(text: str) -> bool:
    """Whether the end of a snapshot's name is a day, a month and a day, or "latest"."""
    if text == "latest":
        return True
    try:
        date.fromisoformat(text if len(text) > 4 else f"2024-{text[:2]}-{text[2:]}")
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def model_family(model: str) -> str:
    """The group that shares a limit with `model`: its name without the date of a snapshot, or "latest".

    >>> model_family("gpt-4o-mini-2024-07-18"), model_family("chatgpt-4o-latest")
    ('gpt-4o-mini', 'chatgpt-4o')
    """
    return _SNAPSHOT.sub("", model)


def model_entry(model: str, more: Iterable[str] = ()) -> dict[str, Any] | None:
    """The answer of `GET /v1/models/{model}`, or None for a model that is not listed, nor among `more`."""
    if model not in _MODELS and model not in more:
        return None
    return {
        "id": model,
        "object": "model",
        "created": _CREATED,
        "owned_by": "pxt-simulator",
        "shutdown_date": _MODELS.get(model),
    }


def model_list(more: Iterable[str] = ()) -> dict[str, Any]:
    """The answer of `GET /v1/models`."""
    return {
        "object": "list",
        "data": [model_entry(model, more) for model in dict.fromkeys([*_MODELS, *more])],
    }
