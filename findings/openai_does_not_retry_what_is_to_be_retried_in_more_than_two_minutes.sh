#!/usr/bin/env bash
# openai 3.57.0 (the Python client).
#
# One would expect: a 429 is retried `max_retries` times. With a Retry-After the client waits for as long, or, where that is
# long, for as long as it likes to; a longer wait that a server asks for makes a client no less patient.
# What happens: up to 120 s the wait is obeyed. From there on nothing is retried at all, whatever `max_retries` says: the
# error is raised after the first request. So the same loop that rides out a Retry-After of a minute ends at once where a
# server says three minutes, or names a date; and a Retry-After that cannot be read, or is negative, is retried as if
# there were none. Who wants to wait longer must catch RateLimitError, read the header, and wait by himself.
# Source: `_should_retry` and `_calculate_retry_timeout` of the client, https://github.com/openai/openai-python
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q openai==3.57.0
cat > "$folder/retries.py" <<'PYTHON'
import http.server
import threading

import openai


class RateLimited(http.server.BaseHTTPRequestHandler):
    wait = ""
    requests = 0

    def do_POST(self):
        RateLimited.requests += 1
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(429)
        self.send_header("retry-after", RateLimited.wait)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RateLimited)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1", max_retries=2)
sent = {}
for wait in ("1", "121", "3600", "Fri, 01 Jan 2100 00:00:00 GMT", "-1", "soon"):
    RateLimited.wait, RateLimited.requests = wait, 0
    try:
        client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hi"}])
    except openai.RateLimitError:
        sent[wait] = RateLimited.requests
    print(f"Retry-After: {wait:30s} requests sent: {sent[wait]}")
assert list(sent.values()) == [3, 1, 1, 1, 3, 3], sent
PYTHON
"$folder/venv/bin/python" "$folder/retries.py"
# Output seen on 2026-11-30:
# Retry-After: 1                              requests sent: 3
# Retry-After: 121                            requests sent: 1
# Retry-After: 3600                           requests sent: 1
# Retry-After: Fri, 01 Jan 2100 00:00:00 GMT  requests sent: 1
# Retry-After: -1                             requests sent: 3
# Retry-After: soon                           requests sent: 3
