"""Digests, which name a request's answer and identify equal contents."""

from __future__ import annotations

import hashlib

DIGEST_BYTES = 16


def digest(*parts: bytes) -> bytes:
    """The 128-bit BLAKE2b digest of the parts, each preceded by its length."""
    h = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        h.update(b"%d:" % len(part))
        h.update(part)
    return h.digest()


def simulated_digest(real: bytes) -> bytes:
    """The digest of a simulator's answer to the request of the digest `real`; it never equals one of the API's."""
    return digest(b"simulated", real)
