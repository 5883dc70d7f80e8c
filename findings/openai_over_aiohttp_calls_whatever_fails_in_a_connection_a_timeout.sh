#!/usr/bin/env bash
# openai 3.57.0 (the Python client) with its extra `aiohttp`; aiohttp 3.14.5, httpx2 2.16.2.
#
# One would expect: `http_client=DefaultAioHttpClient()` exchanges the transport, and failures stay what they were: a closed
# port, or an answer that is lost because the server closes the connection, is an APIConnectionError, caused by httpx2's
# ConnectError or RemoteProtocolError; an APITimeoutError says that a time ran out, and one caused by ConnectTimeout that no
# connection came about, so that nothing was sent, and sending again costs nothing.
# What happens: each failure of a connection, at whatever moment, is an APITimeoutError, "Request timed out.", caused by
# httpx2's ConnectTimeout: a closed port after a millisecond, and an answer that is lost after the server has read the whole
# request and worked on it. Who counts timeouts, or sends again what met a ConnectTimeout because it was never sent, is
# misled, and pays twice. (The table of exceptions picks the first class that fits unless a later one is its subclass, and
# ConnectError is none of ConnectTimeout.)
# Source: AIOHTTP_EXC_MAP in openai/_vendor/httpx_aiohttp/transport.py, https://github.com/openai/openai-python
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'openai[aiohttp]==3.57.0' aiohttp==3.14.5 httpx2==2.16.2
cat > "$folder/failures.py" <<'PYTHON'
import asyncio
import socket

import openai

read = []


async def lose(reader, writer):
    """Reads a request whole, and closes the connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    read.append(await reader.readexactly(size))
    writer.close()


async def failure(http_client, port):
    """What a request to the port fails with, and why."""
    async with openai.AsyncOpenAI(
        api_key="none", base_url=f"http://127.0.0.1:{port}/v1", http_client=http_client, max_retries=0
    ) as client:
        try:
            await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hi"}])
        except openai.APIConnectionError as error:
            return type(error).__name__, str(error), type(error.__cause__).__name__


async def main():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
    server = await asyncio.start_server(lose, "127.0.0.1", 0)
    losing = server.sockets[0].getsockname()[1]
    found = {}
    for transport, make in (("httpx2", openai.DefaultAsyncHttpxClient), ("aiohttp", openai.DefaultAioHttpClient)):
        for name, port in (("closed port", closed), ("lost answer", losing)):
            found[transport, name] = said = await failure(make(), port)
            print(f"{transport}, {name}: {': '.join(said[:2])} (caused by {said[2]})")
    assert len(read) == 2, "the server read both requests whose answers it lost"
    assert [said[2] for said in found.values()] == ["ConnectError", "RemoteProtocolError", "ConnectTimeout", "ConnectTimeout"]
    assert [said[0] for said in found.values()] == ["APIConnectionError"] * 2 + ["APITimeoutError"] * 2


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/failures.py"
# Output seen on 2026-11-30:
# 
# httpx2, closed port: APIConnectionError: Connection error. (caused by ConnectError)
# httpx2, lost answer: APIConnectionError: Connection error. (caused by RemoteProtocolError)
# aiohttp, closed port: APITimeoutError: Request timed out. (caused by ConnectTimeout)
# aiohttp, lost answer: APITimeoutError: Request timed out. (caused by ConnectTimeout)
