"""The plan of a column in a run: with the indexes that it searches as they are, and for the server that is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pxt_assets.api.client import Client
from pxt_assets.api.server_name import AskedServer
from pxt_assets.assets.columns.column_spec import ColumnSpec
from pxt_assets.compute.partition.plan import Plan
from pxt_assets.functions.declare import has_cached_prefix
from pxt_assets.index.lookup import with_stored_indexes

_LOCAL_SECONDS = 5.0
"""How long a server on this machine may take to say what it is."""


def column_plan(spec: ColumnSpec, used_resource: Callable[[str, type[Any]], Any], *, caches: bool) -> Plan:
    """The plan of a column's expression; `used_resource` gives the resource of a key. Raises RunError."""
    expr = spec.expr
    if spec.indexes:
        from pxt_assets.index.embedding_indexes import EmbeddingIndexes

        keys = {index.resource_key for index in spec.indexes}
        expr = with_stored_indexes(expr, {key: used_resource(key, EmbeddingIndexes) for key in keys})
    return Plan(expr, spec.column_type, caches=caches)


async def caches_prompts(spec: ColumnSpec, server: AskedServer | None, client: Client) -> bool:
    """Whether a column's requests are to tell the server which part of their prompts all rows have in common.

    OpenAI's own server is told, and a simulator. Others are not: Azure, gateways and servers such as vLLM refuse what they
    do not know, pass it on, or ignore it, and which of these nobody can tell.
    """
    if is_known_to_cache(spec, server):
        return True
    if spec.cache == "off" or server is None or not server.is_local or not has_cached_prefix(spec.expr):
        return False
    try:
        async with asyncio.timeout(_LOCAL_SECONDS):
            return await client.is_simulated()
    except TimeoutError:
        return False


def is_known_to_cache(spec: ColumnSpec, server: AskedServer | None) -> bool:
    """The same as far as the server's address tells."""
    return spec.cache == "auto" and server is not None and server.takes_breakpoints
