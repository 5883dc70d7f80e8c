"""The HTTP client of the API: its connections, its timeouts, and what it does with answers before they are read."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import httpx2
import openai

from pxt_assets.api.content_encoding import check_encoding

if TYPE_CHECKING:
    import ssl

_CONNECT_SECONDS = 30.0
"""Hundreds of connections opened at once take longer than the client's own 5 s."""


@cache
def _tls_context() -> ssl.SSLContext:
    """The trusted certificates, read once: that takes longer than all else in making a client."""
    return httpx2.create_ssl_context()


def http_timeout(seconds: float) -> httpx2.Timeout:
    """The limits of an exchange whose answer may take so many seconds."""
    return httpx2.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))


def http_client(timeout: float, max_connections: int) -> httpx2.AsyncClient:
    """A client for one event loop; `timeout` in seconds."""
    return openai.DefaultAioHttpClient(
        timeout=http_timeout(timeout),
        limits=httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
        verify=_tls_context(),
        event_hooks={"response": [check_encoding]},
    )
