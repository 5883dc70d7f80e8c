"""What the lean server answers: decided by a request's bytes alone."""

import base64
import json
import math
import random
import re
import struct
import zlib
from functools import cache

import numpy as np

VECTORS = 1_024
"""Different vectors; which of them a text gets is said by its checksum."""


MODEL = re.compile(rb'"model":\s*"([^"]*)"')
CHAT = (
    b'{"id":"chatcmpl-%012x","object":"chat.completion","created":1764500000,"model":"%b","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Answer %08x. The customer writes that the zip of the jacket broke after '
    b'two days of use, and asks for a new one.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":%d,"completion_tokens":28,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":0,'
    b'"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,'
    b'"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_560af6e559"}'
)
CATEGORIES = [
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"),
    *("self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors"),
    *("violence", "violence/graphic"),
]


def chat(body: bytes) -> bytes:
    """A completion."""
    model, digest, tokens = MODEL.search(body), zlib.crc32(body), len(body) // 4
    name = model[1] if model else b"unknown"
    return CHAT % (digest, name, digest, tokens, tokens + 28)


@cache
def vector(number: int, dimensions: int, as_numbers: bool) -> bytes:
    """A vector of length 1, as an answer writes it."""
    values = np.random.default_rng(number).standard_normal(dimensions)
    values = (values / np.linalg.norm(values)).astype("<f4")
    if as_numbers:
        return json.dumps(values.tolist()).encode()
    return b'"' + base64.b64encode(values.tobytes()) + b'"'


def embeddings(body: bytes) -> bytes:
    """A vector for each input."""
    asked = json.loads(body)
    inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    dimensions, as_numbers = asked.get("dimensions", 1_536), asked.get("encoding_format") != "base64"
    items = [
        b'{"object":"embedding","index":%d,"embedding":%b}'
        % (i, vector(zlib.crc32(str(text).encode()) % VECTORS, dimensions, as_numbers))
        for i, text in enumerate(inputs)
    ]
    return b'{"object":"list","data":[%b],"model":"%b","usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (
        b",".join(items),
        asked["model"].encode(),
        len(body) // 4,
        len(body) // 4,
    )


@cache
def moderation() -> bytes:
    """A result that finds nothing."""
    result = {
        "flagged": False,
        "categories": dict.fromkeys(CATEGORIES, False),
        "category_scores": {name: 1e-6 * (i + 1) for i, name in enumerate(CATEGORIES)},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
    return json.dumps(result).encode()


def moderations(body: bytes) -> bytes:
    """A result for each input."""
    asked = json.loads(body)
    given = asked["input"]
    many = len(given) if isinstance(given, list) and isinstance(given[0], str) else 1
    results = b",".join([moderation()] * many)
    name = asked.get("model", "omni-moderation-latest").encode()
    return b'{"id":"modr-%012x","model":"%b","results":[%b]}' % (zlib.crc32(body), name, results)


@cache
def images(size: int) -> bytes:
    """A PNG of that many bytes, of noise, in base64."""
    side = max(1, math.isqrt(size // 3))
    rows = b"".join(b"\0" + random.Random(i).randbytes(3 * side) for i in range(side))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")
    usage = b'{"total_tokens":4200,"input_tokens":40,"output_tokens":4160,"input_tokens_details":{"text_tokens":40,"image_tokens":0}}'
    return b'{"created":1764500000,"output_format":"png","data":[{"b64_json":"%b"}],"usage":%b}' % (
        base64.b64encode(png),
        usage,
    )


SPEECH = (b"\xff\xfb\x90\x64" + bytes(413)) * 40
"""A second of silence as MP3."""
