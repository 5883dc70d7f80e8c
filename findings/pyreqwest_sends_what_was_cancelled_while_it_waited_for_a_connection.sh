#!/usr/bin/env bash
# pyreqwest 0.15.1 (reqwest under asyncio); beside it httpx2 2.16.2 and aiohttp 3.14.5.
#
# One would expect: a cancelled task's request ends with it, as reqwest's does when its future is dropped, and as those of
# httpx2 and aiohttp do. One that is on the wire is broken off; one that still waits for its turn, since `max_connections` are
# in use, is never sent. A timeout around a call, and a task group that fails, rely on that.
# What happens: the task ends at once, its request goes on without it. What waited for its turn is sent when the turn comes,
# after the caller has been told that it is cancelled; what was on the wire keeps its connection until the answer is there. So
# a POST that was given up, and sent again by whoever gave it up, reaches the server twice, and is paid for twice.
# Source: seen by the server below; https://github.com/MarkusSintonen/pyreqwest
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyreqwest==0.15.1 httpx2==2.16.2 aiohttp==3.14.5
cat > "$folder/cancelled.py" <<'PYTHON'
import asyncio
import contextlib

import aiohttp
import httpx2
from pyreqwest.client import ClientBuilder

SECONDS = 1.0
seen = []


async def serve(reader, writer):
    """Answers after a second, and notes which requests came and which of them were broken off."""
    with contextlib.suppress(asyncio.CancelledError):
        while head := await reader.readline():
            path = head.split()[1].decode()
            seen.append(f"{path} came")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            try:
                await asyncio.wait_for(reader.read(1), SECONDS)
                seen.append(f"{path} broken off")
                break
            except TimeoutError:
                seen.append(f"{path} answered")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()


async def cancelled(post, base_url):
    """Cancels a request that waits for the only connection, then one that is on the wire. What the server saw."""
    seen.clear()
    first = asyncio.create_task(post(f"{base_url}/first"))
    await asyncio.sleep(SECONDS / 4)
    waiting = asyncio.create_task(post(f"{base_url}/waiting"))
    await asyncio.sleep(SECONDS / 4)
    waiting.cancel()
    await asyncio.wait([first, waiting])
    assert waiting.cancelled()
    await asyncio.sleep(2 * SECONDS)
    sent = asyncio.create_task(post(f"{base_url}/sent"))
    await asyncio.sleep(SECONDS / 2)
    sent.cancel()
    await asyncio.sleep(2 * SECONDS)
    assert sent.cancelled()
    return seen.copy()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    found = {}
    async with (
        httpx2.AsyncClient(limits=httpx2.Limits(max_connections=1)) as plain,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
        ClientBuilder().max_connections(1).build() as client,
    ):

        async def by_aiohttp(url):
            async with session.post(url, data=b"{}") as answer:
                await answer.read()

        async def by_pyreqwest(url):
            answer = await client.post(url).body_bytes(b"{}").build().send()
            await answer.bytes()

        posts = {
            "httpx2": lambda url: plain.post(url, content=b"{}"),
            "aiohttp": by_aiohttp,
            "pyreqwest": by_pyreqwest,
        }
        for name, post in posts.items():
            found[name] = await cancelled(post, base_url)
            print(f"{name:10}", ", ".join(found[name]))
    ended = ["/first came", "/first answered", "/sent came", "/sent broken off"]
    assert found["httpx2"] == found["aiohttp"] == ended
    went_on = [f"/{name} {what}" for name in ("first", "waiting", "sent") for what in ("came", "answered")]
    assert found["pyreqwest"] == went_on


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/cancelled.py"
# Output seen on 2026-11-30:
# httpx2     /first came, /first answered, /sent came, /sent broken off
# aiohttp    /first came, /first answered, /sent came, /sent broken off
# pyreqwest  /first came, /first answered, /waiting came, /waiting answered, /sent came, /sent answered
