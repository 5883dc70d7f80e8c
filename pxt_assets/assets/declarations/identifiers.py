"""Python identifiers made from asset keys, for names in Dagster."""

import hashlib
import re

import dagster as dg


def identifier(key: dg.AssetKey) -> str:
    """An asset's key as an identifier, `tickets__response`; a hash tells keys apart that would read the same."""
    plain = "__".join(key.path)
    several = len(key.path) > 1
    ambiguous = several and any("__" in part or part.strip("_") != part for part in key.path)
    if re.fullmatch(r"[A-Za-z0-9_]+", plain) and not ambiguous:
        return plain
    suffix = hashlib.blake2b("\0".join(key.path).encode(), digest_size=4).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', plain)}_{suffix}"
