"""Whom requests go to and in whose name: the URL, the headers and the query that the official client would send."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from urllib.parse import quote, urlencode, urlsplit

_DEFAULT_URL = "https://api.openai.com/v1"
_PORTS = {"http": 80, "https": 443}
_DEPLOYMENTS = frozenset(
    {
        "/completions",
        "/chat/completions",
        "/embeddings",
        "/audio/transcriptions",
        "/audio/translations",
        "/audio/speech",
        "/images/generations",
        "/images/edits",
    }
)
"""Azure's paths that name the model. Source: openai/lib/azure.py."""
_SYSTEMS = {
    "darwin": "MacOS",
    "windows": "Windows",
    "linux": "Linux",
    "freebsd": "FreeBSD",
    "openbsd": "OpenBSD",
}
_MACHINES = {"arm64": "arm64", "aarch64": "arm64", "arm": "arm", "x86_64": "x64"}


@dataclass(frozen=True)
class ApiUrl:
    """A base URL in its parts; the path ends with a slash."""

    scheme: str
    host: str
    port: int | None
    """None for the scheme's own."""
    path: str

    @property
    def authority(self) -> str:
        """The host as a URL writes it, with the port if it is not the scheme's."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def netloc(self) -> bytes:
        """The authority, as bytes."""
        return self.authority.encode()

    @property
    def connect_port(self) -> int:
        """The port to connect to."""
        return _PORTS[self.scheme] if self.port is None else self.port

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True)
class ApiAccount:
    """The URL, and what is sent with each request."""

    base_url: ApiUrl
    headers: Mapping[str, str]
    query: Mapping[str, str]
    azure: bool = False

    def target(self, path: str, model: str | None = None) -> str:
        """The path and query of a request to `path` below the base URL."""
        below = path
        if (
            self.azure
            and model is not None
            and path in _DEPLOYMENTS
            and "/deployments" not in self.base_url.path
        ):
            below = f"/deployments/{quote(model, safe='')}{path}"
        query = f"?{urlencode(self.query)}" if self.query else ""
        return f"{self.base_url.path.rstrip('/')}{below}{query}"


def asked_url(base_url: str | None, *, azure: bool) -> str:
    """The URL that is asked: the one given, or what the environment or the official client has for it.

    Raises ValueError for an Azure client without one.
    """
    if base_url is not None:
        return base_url
    if not azure:
        return os.environ.get("OPENAI_BASE_URL", _DEFAULT_URL)
    endpoint = os.environ.get("AZURE_OPENAI_ENDPOINT")
    if endpoint is None:
        msg = (
            "Must provide one of the `base_url` or `azure_endpoint` arguments, or the `AZURE_OPENAI_ENDPOINT` environment "
            "variable"
        )
        raise ValueError(msg)
    return f"{endpoint.rstrip('/')}/openai"


def api_account(
    url: str,
    api_key: str,
    organization: str | None,
    project: str | None,
    api_version: str | None,
    timeout: float,
) -> ApiAccount:
    """The account of a resource's fields, completed from the environment as the official client does."""
    azure = api_version is not None
    organization = os.environ.get("OPENAI_ORG_ID") if organization is None else organization
    project = os.environ.get("OPENAI_PROJECT_ID") if project is None or azure else project
    name = "AsyncAzureOpenAI" if azure else "AsyncOpenAI"
    headers = {
        "accept": "application/json",
        "content-type": "application/json",
        "user-agent": f"{name}/Python {version('openai')}",
        **_platform_headers(),
        "x-stainless-async": "async:asyncio",
        **({} if organization is None else {"openai-organization": organization}),
        **({} if project is None else {"openai-project": project}),
        **dict(custom_headers()),
    }
    if azure:
        headers |= {
            "x-stainless-retry-count": "0",
            "x-stainless-read-timeout": str(timeout),
            "api-key": api_key,
        }
    else:
        headers["authorization"] = f"Bearer {api_key}"
    query = {} if api_version is None else {"api-version": api_version}
    return ApiAccount(_parsed(url), headers, query, azure)


def _parsed(url: str) -> ApiUrl:
    """A URL in its parts, in lower case where that is without meaning; one that is none has no host."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ApiUrl("", "", None, "/")
    scheme = parts.scheme.lower()
    path = f"{parts.path}{'' if parts.path.endswith('/') else '/'}"
    return ApiUrl(scheme, parts.hostname or "", None if port == _PORTS.get(scheme) else port, path)


def custom_headers() -> Iterator[tuple[str, str]]:
    """The headers that the environment adds, a line each."""
    for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip().lower(), value.strip()


@cache
def _platform_headers() -> Mapping[str, str]:
    machine = platform.machine().lower()
    other = f"other:{machine}" if machine else "unknown"
    return {
        "x-stainless-lang": "python",
        "x-stainless-package-version": version("openai"),
        "x-stainless-os": _SYSTEMS.get(platform.system().lower(), "Unknown"),
        "x-stainless-arch": _MACHINES.get(machine, other if sys.maxsize > 2**32 else "x32"),
        "x-stainless-runtime": platform.python_implementation(),
        "x-stainless-runtime-version": platform.python_version(),
    }
