"""The models that the simulator knows: their endpoints, their families, and the list of `GET /v1/models`."""

import re
from collections.abc import Callable
from functools import lru_cache
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
_GPT_IMAGE = re.compile(r"gpt-image-\d|chatgpt-image-")


def _is_chat(model: str) -> bool:
    return bool(_CHAT.match(model)) and not _NOT_CHAT.match(model)


_ENDPOINTS: dict[str, Callable[[str], bool]] = {
    "chat/completions": _is_chat,
    "responses": _is_chat,
    "embeddings": lambda model: model.startswith("text-embedding-"),
    "moderations": is_moderation,
    "images/generations": lambda model: model in ("dall-e-2", "dall-e-3") or is_gpt_image(model),
    "images/edits": lambda model: model == "dall-e-2" or is_gpt_image(model),
    "images/variations": lambda model: model == "dall-e-2",
    "audio/speech": lambda model: bool(_SPEECH.match(model)),
    "audio/transcriptions": lambda model: bool(_TRANSCRIPTION.match(model)),
    "audio/translations": lambda model: model == "whisper-1",
}
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4}|latest)$")

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


def is_served_at(endpoint: str, model: str) -> bool:
    """Whether `model` is of a family that the API serves at `endpoint`, such as "chat/completions"."""
    return _ENDPOINTS[endpoint](model)


@lru_cache(maxsize=1024)
def model_family(model: str) -> str:
    """The group that shares a limit with `model`: its name without the date of a snapshot, or "latest".

    >>> model_family("gpt-4o-mini-2024-07-18"), model_family("chatgpt-4o-latest")
    ('gpt-4o-mini', 'chatgpt-4o')
    """
    return _SNAPSHOT.sub("", model)


def model_entry(model: str) -> dict[str, Any] | None:
    """The answer of `GET /v1/models/{model}`, or None for a model that is not listed."""
    if model not in _MODELS:
        return None
    return {
        "id": model,
        "object": "model",
        "created": _CREATED,
        "owned_by": "pxt-simulator",
        "shutdown_date": _MODELS[model],
    }


def model_list() -> dict[str, Any]:
    """The answer of `GET /v1/models`."""
    return {"object": "list", "data": [model_entry(model) for model in _MODELS]}
