"""Calls of the functions of images and sounds, over the arguments that their endpoints have."""

from typing import Any

import PIL.Image

from pxt_assets.functions import (
    image_edits,
    image_generations,
    image_variations,
    speech,
    transcriptions,
    translations,
)
from tests.conformance.samples import picture, recording

MASK = picture(mode="RGBA")

GENERATIONS: dict[str, dict[str, Any]] = {
    "gpt-image-2": {},
    "gpt-image-2 size": {"size": "2048x1152", "n": 2},
    "gpt-image-2 quality": {"quality": "high", "background": "opaque"},
    "gpt-image-1.5 jpeg": {"model": "gpt-image-1.5", "output_format": "jpeg", "output_compression": 80},
    "gpt-image-1 webp": {"model": "gpt-image-1", "output_format": "webp", "background": "transparent"},
    "gpt-image-1-mini": {"model": "gpt-image-1-mini", "moderation": "low", "user": "u-1"},
    "gpt-image-2 b64_json": {"response_format": "b64_json"},
    "gpt-image-2 url": {"model_kwargs": {"response_format": "url"}},
    "chatgpt-image-latest": {"model": "chatgpt-image-latest", "size": "auto"},
    "dall-e-3": {"model": "dall-e-3"},
    "dall-e-3 hd": {"model": "dall-e-3", "quality": "hd", "style": "natural", "size": "1792x1024"},
    "dall-e-3 url": {"model": "dall-e-3", "response_format": "url"},
    "dall-e-2": {"model": "dall-e-2"},
    "dall-e-2 b64_json": {"model": "dall-e-2", "response_format": "b64_json", "size": "256x256", "n": 10},
    "dall-e-2 url": {"model": "dall-e-2", "response_format": "url"},
    "dall-e-2 null": {"model": "dall-e-2", "response_format": None, "quality": "standard"},
    "a model of another server": {"model": "flux", "response_format": "b64_json"},
}

EDITS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"image": picture("JPEG")},
    "WebP": {"image": picture("WEBP")},
    "BMP": {"image": picture("BMP")},
    "TIFF": {"image": picture("TIFF")},
    "PIL": {"image": PIL.Image.new("RGB", (32, 32))},
    "a list of one": {"image": [picture()]},
    "a list": {"image": [picture("JPEG"), picture("WEBP"), PIL.Image.new("L", (8, 8))]},
    "sixteen": {"image": [picture()] * 16},
    "mask": {"mask": MASK},
    "mask as PIL": {"mask": PIL.Image.new("RGBA", (32, 32))},
    "mask as WebP": {"image": picture("JPEG"), "mask": picture("WEBP", mode="RGBA")},
    "mask of a list": {"image": [picture(), picture()], "mask": MASK},
    "options": {"n": 2, "size": "1024x1536", "quality": "medium", "background": "auto", "user": "u-1"},
    "input_fidelity": {"model": "gpt-image-1.5", "input_fidelity": "high"},
    "output": {"model_kwargs": {"output_format": "jpeg", "output_compression": 50}},
    "gpt-image-2 b64_json": {"response_format": "b64_json"},
    "dall-e-2": {"model": "dall-e-2"},
    "dall-e-2 of a JPEG": {"model": "dall-e-2", "image": picture("JPEG"), "n": 2, "size": "256x256"},
    "dall-e-2 url": {"model": "dall-e-2", "response_format": "url", "mask": MASK},
}

VARIATIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"image": picture("JPEG")},
    "PIL": {"image": PIL.Image.new("RGB", (16, 16))},
    "options": {"n": 10, "size": "512x512", "user": "u-1"},
    "url": {"model_kwargs": {"response_format": "url"}},
}

SPEECH: dict[str, dict[str, Any]] = {
    "plain": {},
    **{format: {"response_format": format} for format in ("mp3", "opus", "aac", "flac", "wav", "pcm")},
    "voice": {"voice": "shimmer", "speed": 0.25},
    "slow and long": {"input": "x" * 4_096, "speed": 4},
    "instructions": {
        "model": "gpt-4o-mini-tts",
        "voice": "marin",
        "model_kwargs": {"instructions": "Whisper."},
    },
    "whole, not streamed": {"stream_format": "audio"},
}

TRANSCRIPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    **{format: {"response_format": format} for format in ("json", "text", "srt", "verbose_json", "vtt")},
    "diarized_json": {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json"},
    "language": {"language": "en"},
    "prompt": {"model_kwargs": {"prompt": "About llamas.", "temperature": 0.5}},
    "temperature 0": {"temperature": 0},
    "timestamps": {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]},
    "one timestamp": {"response_format": "verbose_json", "timestamp_granularities": ["word"]},
    "include": {"model": "gpt-4o-transcribe", "include": ["logprobs"]},
    "chunking auto": {"model": "gpt-4o-transcribe", "chunking_strategy": "auto"},
    "chunking": {
        "model": "gpt-4o-transcribe",
        "chunking_strategy": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 200,
        },
    },
    "speakers": {
        "model": "gpt-4o-transcribe-diarize",
        "chunking_strategy": "auto",
        "known_speaker_names": ["Ann", "Bob"],
        "known_speaker_references": ["data:audio/wav;base64,UklGRg==", "data:audio/wav;base64,UklGRg=="],
    },
    "gpt-transcribe": {"model": "gpt-transcribe", "languages": ["en", "de"], "keywords": ["llama"]},
    "flac": {"audio": b"fLaC" + bytes(64)},
    "mp3": {"audio": b"ID3\4\0\0\0\0\0\0" + bytes(64)},
    "ogg": {"audio": b"OggS" + bytes(64)},
    "webm": {"audio": b"\x1a\x45\xdf\xa3" + bytes(64)},
    "m4a": {"audio": b"\0\0\0\x20ftypM4A " + bytes(64)},
    "mp4": {"audio": b"\0\0\0\x20ftypisom" + bytes(64)},
    "mpeg": {"audio": b"\0\0\1\xba" + bytes(64)},
}

TRANSLATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    **{format: {"response_format": format} for format in ("json", "text", "srt", "verbose_json", "vtt")},
    "prompt": {"prompt": "About llamas.", "temperature": 0.5},
    "language": {"language": "en"},
    "language in model_kwargs": {"model_kwargs": {"language": "en"}},
}

MEDIA_CALLS: dict[str, tuple[Any, dict[str, Any], dict[str, dict[str, Any]]]] = {
    "/images/generations": (image_generations, {"prompt": "A cat", "model": "gpt-image-2"}, GENERATIONS),
    "/images/edits": (
        image_edits,
        {"image": picture(), "prompt": "Add a hat", "model": "gpt-image-2"},
        EDITS,
    ),
    "/images/variations": (image_variations, {"image": picture(), "model": "dall-e-2"}, VARIATIONS),
    "/audio/speech": (speech, {"input": "Hello", "model": "tts-1", "voice": "nova"}, SPEECH),
    "/audio/transcriptions": (transcriptions, {"audio": recording(), "model": "whisper-1"}, TRANSCRIPTIONS),
    "/audio/translations": (translations, {"audio": recording(), "model": "whisper-1"}, TRANSLATIONS),
}
"""Endpoint -> its function, the arguments that it needs, and other arguments by what they show."""
