"""Files as partitions: the key by which Dagster knows a file, made of its path below the pattern's folder."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote

MAX_KEY_CHARACTERS = 64
"""MySQL tells the keys of dynamic partitions apart by their first 64 characters (dagster-mysql's unique index)."""

_HEAD, _TAIL, _DIGEST_BYTES = 20, 30, 6
_SHORTENED = "~"
_QUOTED = re.compile(
    # what Dagster refuses, what its lists of keys give another meaning (the UI's, and the `|` of dimensions), blanks at
    # the ends, bytes that are no text, and the sign of a shortened key
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff%~\"',\[\]*|\\]|\.(?=\.\.)|\A\s|\s\Z"
)


def partition_key_of(path: str) -> str:
    """The key of a file by its path below the pattern's folder, at most 64 characters; equal for equal paths alone.

    Characters that Dagster's keys cannot hold, or that its UI reads as something else, are written %XX. Longer ones are
    cut in the middle, where a digest of the whole path stands: `year=2027/month=03/d~9f86d0818848~part-00000.parquet`.
    """
    key = _QUOTED.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape")), path
    )
    if len(key) <= MAX_KEY_CHARACTERS:
        return key
    digest = hashlib.blake2b(path.encode(errors="surrogateescape"), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{key[:_HEAD]}{_SHORTENED}{digest}{_SHORTENED}{key[-_TAIL:]}"


def path_of_key(key: str) -> str | None:
    """The path that a key stands for; None for a shortened key, which does not tell it, and for what leads elsewhere.

    Keys are untrusted: somebody may add any to dynamic partitions.
    """
    path = unquote(key, errors="surrogateescape")
    if _SHORTENED in key or partition_key_of(path) != key:
        return None
    return None if path.startswith("/") or {"", ".", ".."} & set(path.split("/")) else path
