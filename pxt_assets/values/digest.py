"""Digests: what names a request's answer, and tells equal contents from others."""

from __future__ import annotations

import hashlib

DIGEST_BYTES = 16


def digest(*parts: bytes) -> bytes:
    """The 128-bit BLAKE2b digest of the parts, each told apart from the next by its length."""
    h = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        h.update(b"%d:" % len(part))
        h.update(part)
    return h.digest()


def simulated_digest(real: bytes) -> bytes:
    """The name of a simulator's answer to the request that `real` names: never the name of the API's answer."""
    return digest(b"simulated", real)
