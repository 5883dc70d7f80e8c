#!/usr/bin/env bash
# openai 3.57.0 (the Python client) with its extra `aiohttp`; aiohttp 3.14.5, httpx2 2.16.2.
#
# One would expect: with `max_retries=0` a call is one request. Who keeps time himself between polls of a batch, counts
# attempts, or cancels or deletes by a call that is to happen once, relies on it.
# What happens: over `DefaultAioHttpClient()` a GET or a DELETE whose connection is closed before an answer is sent again at
# once, without a pause and without a word, on a connection that was new as well; over httpx2 it is sent once. A server in
# trouble that drops its connections is so asked twice as often as the client's count of retries says. (aiohttp repeats
# methods that it calls idempotent; it is a property of its sessions, which the client's transport leaves on.)
# Source: ClientSession._request in aiohttp/client.py, by openai/_vendor/httpx_aiohttp/transport.py
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'openai[aiohttp]==3.57.0' aiohttp==3.14.5 httpx2==2.16.2
cat > "$folder/twice.py" <<'PYTHON'
import asyncio

import openai

asked = []


async def lose(reader, writer):
    """Reads a request, and closes the connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    asked.append(head.split(b" HTTP")[0].decode())
    writer.close()


async def main():
    server = await asyncio.start_server(lose, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    found = {}
    for transport, make in (("httpx2", openai.DefaultAsyncHttpxClient), ("aiohttp", openai.DefaultAioHttpClient)):
        for call in ("GET", "DELETE", "POST"):
            asked.clear()
            async with openai.AsyncOpenAI(api_key="none", base_url=url, http_client=make(), max_retries=0) as client:
                calls = {
                    "GET": lambda: client.batches.retrieve("batch_1"),
                    "DELETE": lambda: client.files.delete("file-1"),
                    "POST": lambda: client.batches.cancel("batch_1"),
                }
                try:
                    await calls[call]()
                except openai.APIConnectionError:
                    pass
            found[transport, call] = len(asked)
            print(f"{transport}, {call}: sent {len(asked)} times")
    assert [found["httpx2", call] for call in ("GET", "DELETE", "POST")] == [1, 1, 1]
    assert [found["aiohttp", call] for call in ("GET", "DELETE", "POST")] == [2, 2, 1]


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/twice.py"
# Output seen on 2026-11-30:
#
# httpx2, GET: sent 1 times
# httpx2, DELETE: sent 1 times
# httpx2, POST: sent 1 times
# aiohttp, GET: sent 2 times
# aiohttp, DELETE: sent 2 times
# aiohttp, POST: sent 1 times
