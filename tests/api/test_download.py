"""What an answer links to, fetched on a virtual clock from a web that is scripted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx2
import pytest

from pxt_assets.api import download as download_module
from pxt_assets.api.download import MAX_ATTEMPTS, MAX_BYTES, TIMEOUT_SECONDS, download
from pxt_assets.errors import CellError
from tests.virtual_time import run

URL = "https://images.example/a.png?sig=s3cr3t"


class Page:
    """An answer: its status, and the chunks of its body."""

    def __init__(self, status: int = 200, *chunks: bytes, delay: float = 0.0) -> None:
        self.status_code = status
        self.sent = 0
        self._chunks = chunks
        self._delay = delay

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            await asyncio.sleep(self._delay)
            self.sent += len(chunk)
            yield chunk


class Web:
    """Stands for the HTTP client: each request meets the next of `steps`, the last one for ever."""

    def __init__(self, *steps: Page | Exception) -> None:
        self.steps = list(steps)
        self.asked: list[dict[str, Any]] = []
        self.times: list[float] = []

    @asynccontextmanager
    async def stream(self, method: str, url: str, **options: Any) -> AsyncIterator[Page]:
        self.asked.append({"method": method, "url": url, **options})
        self.times.append(asyncio.get_running_loop().time())
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        yield step


def fetch(web: Web, url: str = URL, api_host: str = "api.openai.com") -> bytes:
    return run(download(web, url, api_host))  # type: ignore[arg-type]


def refusal(web: Web, url: str = URL, **options: Any) -> CellError:
    with pytest.raises(CellError) as e:
        fetch(web, url, **options)
    assert e.value.errortype == "DownloadError"
    return e.value


def test_the_content_comes_as_it_is():
    """In one request, whose chunks are joined."""
    web = Web(Page(200, b"ab", b"c"))
    assert fetch(web) == b"abc"
    assert web.asked == [{"method": "GET", "url": URL, "follow_redirects": False}]


@pytest.mark.parametrize(
    "passing",
    [
        Page(500),
        Page(503),
        Page(429),
        Page(408),
        httpx2.ReadError("reset"),
        aiohttp.ServerDisconnectedError(),
        OSError(),
    ],
)
def test_what_may_pass_is_tried_again(passing):
    """The image is paid for; the pauses grow."""
    web = Web(passing, passing, Page(200, b"x"))
    assert fetch(web) == b"x"
    assert [b - a for a, b in zip(web.times, web.times[1:], strict=False)] == [1.0, 2.0]


def test_it_is_given_up_in_the_end():
    """The message says how often it was tried, and from which host."""
    web = Web(Page(502))
    error = refusal(web)
    assert len(web.asked) == MAX_ATTEMPTS
    assert f"from images.example in {MAX_ATTEMPTS} attempts: HTTP 502" in error.message


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 410])
def test_what_will_not_pass_is_tried_once(status):
    """A redirect among it: it could lead anywhere."""
    web = Web(Page(status))
    assert f"HTTP {status}" in refusal(web).message
    assert len(web.asked) == 1


def test_a_server_that_drips_is_given_up():
    """The time is for a whole download, however its bytes come."""
    web = Web(Page(200, *[b"x"] * 100, delay=TIMEOUT_SECONDS / 2))
    assert f"no answer within {TIMEOUT_SECONDS:.0f} s" in refusal(web).message
    assert web.times[1] - web.times[0] == TIMEOUT_SECONDS + 1


def test_no_more_is_read_than_an_image_can_have(monkeypatch):
    """An endless answer is left as soon as it is too large."""
    monkeypatch.setattr(download_module, "MAX_BYTES", 10)
    page = Page(200, *[b"1234"] * 100)
    assert "larger than 10 bytes" in refusal(Web(page)).message
    assert page.sent == 12
    assert MAX_BYTES >= 50 * 2**20


@pytest.mark.parametrize(
    "url",
    [
        "http://images.example/a.png",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "ftp://h/a.png",
        "//h/a.png",
        "a.png",
        "",
        "https://",
        "https:///a.png",
        "https://[x/a.png",
    ],
)
def test_other_than_https_is_not_asked_for(url):
    """An answer may come from any server; it does not choose what this machine asks in its name."""
    web = Web(Page(200, b"x"))
    refusal(web, url)
    assert not web.asked


def test_the_apis_own_host_may_speak_plain_http():
    """A server on the same machine has no certificate."""
    assert fetch(Web(Page(200, b"x")), "http://127.0.0.1:8000/a.png", "127.0.0.1") == b"x"
    assert fetch(Web(Page(200, b"x")), "http://localhost:8000/a.png", "127.0.0.1") == b"x"


@pytest.mark.parametrize("url", ["https://x\n/a.png", "https://\ud800/"])
def test_what_is_no_url_fails_its_cell_alone(url):
    """The HTTP client refuses some with errors of its own."""
    web = Web(httpx2.InvalidURL("no"))
    assert "no URL" in refusal(web, url).message
    assert len(web.asked) == 1


@pytest.mark.parametrize("step", [Page(404), Page(500), OSError("cannot reach a.png?sig=s3cr3t")])
def test_the_url_is_not_quoted(step):
    """Such links are signed: whoever has one has the image."""
    assert "s3cr3t" not in refusal(Web(step)).message


def test_redirects_and_the_key(serve: Callable[..., Any]):
    """For real: nothing of the account is sent, and no redirect followed."""
    import openai

    from tests.scripted_server import Reply

    server = serve()
    server.pages = {"/a.png": Reply(b"x"), "/b.png": Reply(b"", 302, {"location": "/a.png"})}
    root = server.base_url.removesuffix("/v1")

    async def both() -> bytes:
        async with openai.DefaultAioHttpClient() as http:
            api = openai.AsyncOpenAI(api_key="sk-secret-4711", organization="org-1", http_client=http)
            with pytest.raises(CellError, match="HTTP 302"):
                await download(api._client, f"{root}/b.png", "127.0.0.1")
            return await download(api._client, f"{root}/a.png", "127.0.0.1")

    assert asyncio.run(both()) == b"x"
    assert [asked.path for asked in server.fetched] == ["/b.png", "/a.png"]
    for asked in server.fetched:
        assert not asked.headers.keys() & {"authorization", "openai-organization", "cookie"}
        assert "4711" not in str(asked.headers)
