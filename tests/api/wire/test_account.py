"""What is sent in a resource's name, beside what the official client sends."""

import asyncio
import json
import platform
from collections.abc import Mapping
from typing import Any

import httpx2
import openai
import pytest

from pxt_assets.api.transport import transport
from pxt_assets.functions import chat_completions
from tests.raw_server import raw_server

CHAT = chat_completions.cell_request(
    {"messages": [{"role": "user", "content": "Grüße 😀"}], "model": "gpt-4o_mini.2"}
)
VARIABLES = (
    "OPENAI_BASE_URL",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "OPENAI_CUSTOM_HEADERS",
    "AZURE_OPENAI_ENDPOINT",
    "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_AD_TOKEN",
)
OF_A_REQUEST = {"connection", "x-stainless-retry-count", "x-stainless-read-timeout"}
"""Headers that the official client makes with each request, of which JSON requests never had any."""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def seen(head: bytes, body: bytes) -> tuple[str, dict[str, str], Any]:
    """The request's line, headers and content."""
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) if ": " in field else (field.rstrip(":"), "") for field in fields)
    return line, {name.lower(): value for name, value in headers.items()}, json.loads(body)


def both(path: str, **options: Any) -> tuple[Any, Any]:
    """What the wire sends, and what the official client does."""
    version = options.pop("api_version", None)

    async def asked(url: str) -> None:
        given = (options.get("organization"), options.get("project"), version)
        ours = transport(url, "sk-secret-4711", *given, timeout=7.5, most=9)
        assert ours._wire is not None
        await ours.post(CHAT)
        await ours.close()
        common = {"api_key": "sk-secret-4711", "base_url": url, "timeout": httpx2.Timeout(7.5)}
        if version is None:
            theirs = openai.AsyncOpenAI(**common, **options)
        else:
            theirs = openai.AsyncAzureOpenAI(**common, api_version=version)
        async with theirs:
            await theirs.post("/chat/completions", body=dict(CHAT.body), cast_to=httpx2.Response)

    with raw_server() as server:
        asyncio.run(asked(server.base_url.removesuffix("/v1") + path))
        one, other = (seen(c.heads[0], c.bodies[0]) for c in server.connections)
    return one, other


def without(headers: Mapping[str, str], names: set[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in {*names, "host", "content-length"}}


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/a/b"])
@pytest.mark.parametrize(
    "options", [{}, {"organization": "org-1", "project": "proj-2"}, {"organization": "", "project": ""}]
)
def test_the_official_client_would_send_the_same(path, options):
    """Line, headers and body."""
    (line, headers, body), (its_line, its_headers, its_body) = both(path, **options)
    assert (line, body) == (its_line, its_body)
    assert without(headers, OF_A_REQUEST) == without(its_headers, OF_A_REQUEST)


@pytest.mark.parametrize(
    "variables",
    [
        {"OPENAI_ORG_ID": "org-e", "OPENAI_PROJECT_ID": "proj-e"},
        {"OPENAI_CUSTOM_HEADERS": "X-Team: a: b\nno colon\nUser-Agent:  me \nx-empty:"},
    ],
)
def test_what_the_environment_adds_is_added(variables, monkeypatch):
    """The official client reads the same variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (_, headers, _), (_, its_headers, _) = both("/v1")
    assert without(headers, OF_A_REQUEST) == without(its_headers, OF_A_REQUEST)


@pytest.mark.parametrize("path", ["/openai", "/openai/", "/openai/deployments/x"])
def test_azure_is_asked_as_the_official_client_asks_it(path, monkeypatch):
    """The deployment in the path, the version in the query, the key in a header of Azure's own."""
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-e")
    one, other = both(path, api_version="2025-04-01-preview")
    assert one[0] == other[0]
    assert one[2] == other[2]
    assert without(one[1], {"connection"}) == without(other[1], {"connection"})
    assert one[1]["api-key"] == "sk-secret-4711"


def test_the_platform_is_the_one_that_runs():
    """Not the one that this was written on."""
    (_, headers, _), _ = both("/v1")
    assert headers["x-stainless-runtime-version"] == platform.python_version()
