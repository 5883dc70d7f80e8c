"""Base64, of vectors, images and sounds, by `pybase64`: in a thirtieth of the standard library's time."""

from __future__ import annotations

import base64
import functools
from types import ModuleType


@functools.cache
def _fast() -> ModuleType:
    try:
        import pybase64
    except ImportError:  # a platform that it is not built for
        return base64
    return pybase64


def encode(content: bytes | memoryview) -> bytes:
    """The base64 of some bytes, in the standard alphabet."""
    encoded: bytes = _fast().b64encode(content)
    return encoded


def decode(text: str) -> bytes:
    """The bytes of base64 in the standard alphabet. Raises ValueError for other letters, and missing padding."""
    try:
        decoded: bytes = _fast().b64decode(text, validate=True)
    except ValueError:
        decoded = base64.b64decode(text, validate=True)  # which takes more padding than there should be
    return decoded
