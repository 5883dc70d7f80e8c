"""Which requests the wire sends itself, and which go through the official client."""

import subprocess
import sys

import httpx2
import pytest

from pxt_assets.api.wire import api_account, is_direct

PROXY = "http://user:secret@proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("OPENAI_CUSTOM_HEADERS", raising=False)


def direct(url: str = "https://api.openai.com/v1", organization: str | None = None) -> bool:
    return is_direct(api_account(url, "sk-secret-4711", organization, None, None, 1.0))


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://localhost:8000/v1/",
        "HTTP://Localhost:8000/v1",
        "http://10.0.0.1/v1",
        "http://[::1]:8000/v1",
        "http://my_host-1.internal:1/a/b-c_d~e",
    ],
)
def test_plain_urls_are_sent_to(url):
    """As they are written."""
    assert direct(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://bücher.example/v1",
        "http://localhost/a b/v1",
        "http://localhost/a/../v1",
        "http://localhost/%7Ea/v1",
        "http://[fe80::1%25eth0]/v1",
        "http://host./v1",
    ],
)
def test_urls_that_are_written_in_several_ways_are_left_to_the_official_client(url):
    """It knows how they are sent."""
    assert not direct(url)


@pytest.mark.parametrize(
    "header", ["Authorization: Bearer x", "A: 1\na: 2", "Host: x", "Bad Name: x", "X: a\rb"]
)
def test_headers_that_take_the_place_of_others_are_left_to_it(header, monkeypatch):
    """So are those that are none."""
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", header)
    assert not direct()


def test_a_line_end_in_an_organization_makes_no_header():
    """The official client refuses it."""
    assert not direct(organization="org-1\r\nx-other: 1")


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("https://api.openai.com/v1", no_proxy)
        for no_proxy in (
            "",
            "*",
            "openai.com",
            ".openai.com",
            "*.openai.com",
            "a, api.openai.com ,b",
            "enai.com",
        )
    ]
    + [("http://10.0.0.1/v1", no_proxy) for no_proxy in ("10.0.0.0/8", "10.0.0.1", "11.0.0.0/8")]
    + [("http://localhost:1/v1", "localhost"), ("http://[::1]:1/v1", "::1"), ("http://[::1]:1/v1", "[::1]")],
)
def test_what_goes_through_a_proxy_is_left_to_it(url, no_proxy, monkeypatch):
    """The wire takes for its own what the official client would send to the server itself."""
    monkeypatch.setenv("all_proxy", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    with httpx2.Client() as client:
        is_proxied = client._transport_for_url(httpx2.URL(url)) is not client._transport
    assert direct(url) is not is_proxied


@pytest.mark.parametrize(
    ("name", "is_for_it"), [("HTTPS_PROXY", True), ("https_proxy", True), ("HTTP_PROXY", False)]
)
def test_a_proxy_is_for_one_scheme_or_for_all(name, is_for_it, monkeypatch):
    """In capitals or not."""
    monkeypatch.setenv(name, PROXY)
    assert direct() is not is_for_it


@pytest.mark.parametrize("entry", ["api.openai.com:443", "https://api.openai.com", "API.OPENAI.COM/"])
def test_an_exception_that_is_not_plain_is_left_to_it(entry, monkeypatch):
    """It knows what is meant."""
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("no_proxy", entry)
    assert not direct()


def test_a_chat_needs_nothing_of_the_official_client(tmp_path):
    """Its import takes a second of CPU; neither a refusal nor the question whether the server simulates needs it."""
    script = tmp_path / "asks.py"
    script.write_text(
        "import asyncio, sys\n"
        "from pxt_assets import OpenAIResource\n"
        "from pxt_assets.functions import chat_completions\n"
        "from tests.raw_server import raw_server\n"
        "chat = chat_completions.cell_request({'messages': [{'role': 'user', 'content': 'Hi'}], 'model': 'm'})\n"
        "def script(connection, before):\n"
        "    connection.send(b'{}', '200 OK' if before == 0 else '429 Slow Down')\n"
        "async def main():\n"
        "    with raw_server(script) as server:\n"
        "        async with OpenAIResource(api_key='k', base_url=server.base_url).client() as client:\n"
        "            await client._transport.post(chat)\n"
        "            assert await client.is_simulated() is False\n"
        "asyncio.run(main())\n"
        "print(sorted({'openai', 'httpx', 'httpx2', 'aiohttp'} & sys.modules.keys()))\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.returncode) == ("[]", 0), ran.stderr
