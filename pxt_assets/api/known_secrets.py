"""The secrets that a resource's client knows: its key, and what stands in URLs and in the environment for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pxt_assets.api.environment import is_env_var, resolve_env_vars
from pxt_assets.errors import FatalApiError, SourceError
from pxt_assets.values.scrubbing import distinct_secrets, named_secrets, url_secrets

_KEYS = ("AZURE_OPENAI_AD_TOKEN", "OPENAI_ADMIN_KEY", "OPENAI_WEBHOOK_SECRET")
"""Variables that the official client reads by itself, besides the key that the resource is given."""
_URLS = ("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy")


def resource_secrets(key: str | None, urls: Iterable[str | None]) -> tuple[str, ...]:
    """What must not be shown of a resource's key and URLs, and of what the environment holds for its client."""
    in_urls = [one for url in urls if url for one in url_secrets(url)]
    return distinct_secrets([key and key.strip(), *in_urls, *_environment_secrets()])


def storage_secrets(url: str, options: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What must not be shown of a file system's URL and options. A variable that is not set is none."""
    read: Mapping[str, Any] = {}
    with suppress(SourceError):
        read = resolve_env_vars(options or {}, "", SourceError)
    in_url = () if is_env_var(url) else url_secrets(url)
    return distinct_secrets([*in_url, *named_secrets(read)])


def _environment_secrets() -> Iterator[str]:
    """Passwords of proxies, tokens, and keys in headers."""
    if "OPENAI_CUSTOM_HEADERS" in os.environ:
        from pxt_assets.api.wire import custom_headers

        for header, content in custom_headers():  # one by one: a name may come twice
            yield from named_secrets({header: content})
    for name, value in os.environ.items():
        if name in _KEYS:
            yield value
        elif name in _URLS or name.lower() in _PROXIES:
            yield from url_secrets(value)


def check_api_key(api_key: str) -> None:
    """Raises FatalApiError for what is no key."""
    if not api_key.strip() or not (api_key.isascii() and api_key.strip().isprintable()):
        msg = (
            "api_key of the OpenAIResource is empty, or holds characters that no key has: set the environment variable "
            "OPENAI_API_KEY, or give any text for a server that wants no key"
        )
        raise FatalApiError(msg)
