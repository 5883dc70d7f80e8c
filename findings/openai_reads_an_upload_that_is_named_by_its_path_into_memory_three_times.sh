#!/usr/bin/env bash
# openai 3.57.0 (the Python client); httpx2 2.16.2.
#
# One would expect: a file of a batch may have 200 MB and more, and `files.create(file=Path("batch.jsonl"), purpose="batch")`
# sends it from the disk, as an open file is sent: its README names a path as a way to upload, "the file contents will be
# read asynchronously automatically", and open files as another, with no word of a difference.
# What happens: of a path the whole content is read into memory: once by the synchronous client, and three times by the
# asynchronous one, whose process grows by 590 MB for a file of 200 MB. An open file is streamed by both.
# Source: async_to_httpx_files in openai/_files.py and encode_multipart_data of httpx2,
# https://github.com/openai/openai-python
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q openai==3.57.0 httpx2==2.16.2
cat > "$folder/upload.py" <<'PYTHON'
import http.server
import json
import os
import resource
import sys
import tempfile
import threading
from pathlib import Path

import openai

SIZE = 200_000_000


class Server(http.server.BaseHTTPRequestHandler):
    """Reads a request, and keeps nothing of it."""

    def do_POST(self):
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 65_536)))
        file = {"id": "file-1", "object": "file", "bytes": SIZE, "created_at": 1, "filename": "a.jsonl"}
        body = json.dumps({**file, "purpose": "batch", "status": "processed"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def peak():
    """Megabytes of memory that this process has taken at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def upload(url, path, how):
    """Megabytes by which the process grows, at its peak."""
    client = openai.OpenAI(api_key="none", base_url=url) if "sync" == how[0] else None
    before = peak()
    with open(path, "rb") as opened:
        file = Path(path) if how[1] == "path" else ("a.jsonl", opened)
        if client is not None:
            client.files.create(file=file, purpose="batch")
        else:
            import asyncio

            async def send():
                async with openai.AsyncOpenAI(api_key="none", base_url=url) as client:
                    await client.files.create(file=file, purpose="batch")

            asyncio.run(send())
    return peak() - before


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
found = {}
with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
    for _ in range(SIZE // 1_000_000):
        file.write(b"x" * 1_000_000)
    file.flush()
    for how in (("async", "open file"), ("sync", "open file"), ("async", "path"), ("sync", "path")):
        child = os.pipe()
        process = os.fork()  # each has a peak of its own
        if process == 0:
            os.write(child[1], str(round(upload(url, file.name, how))).encode())
            os._exit(0)
        os.waitpid(process, 0)
        found[how] = int(os.read(child[0], 100))
        print(f"{how[0]}, {how[1]}: {found[how]} MB more for a file of {SIZE // 1_000_000} MB", flush=True)
assert all(found[how, "open file"] < 40 for how in ("async", "sync")), "an open file is streamed"
assert found["sync", "path"] > 190, "a file that is named by its path is read into memory"
assert found["async", "path"] > 400, "and by the asynchronous client more than once"
PYTHON
"$folder/venv/bin/python" "$folder/upload.py"
# Output seen on 2026-11-30:
#
# async, open file: 11 MB more for a file of 200 MB
# sync, open file: 4 MB more for a file of 200 MB
# async, path: 588 MB more for a file of 200 MB
# sync, path: 199 MB more for a file of 200 MB
