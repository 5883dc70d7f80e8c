#!/usr/bin/env bash
# openai 3.57.0 (the Python client); httpx2 2.16.2.
#
# One would expect: `client.files.content(batch.output_file_id).iter_lines()` gives the lines of the JSON Lines file that a
# batch's results are: as many as there were requests, each of them JSON.
# What happens: it cuts at everything that Python's `str.splitlines` cuts at, U+2028, U+2029 and U+0085 among it, which JSON
# allows inside of strings as they are (RFC 8259, section 7), and which text that was copied out of web pages and PDFs is
# full of. A server that writes UTF-8 without escapes so gives two halves of a line, neither of which is JSON, where one
# answer was: whoever skips lines that he cannot read loses what he has paid for. `.text.splitlines()` does the same;
# `.content.split(b"\n")` does not.
# Source: LineDecoder in httpx2/_decoders.py, by HttpxBinaryResponseContent.iter_lines in openai/_legacy_response.py
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q openai==3.57.0 httpx2==2.16.2
cat > "$folder/lines.py" <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import openai

TEXTS = ["plain", "a\u2028b", "a\u2029b", "a\u0085b"]


def line(name, text):
    body = {"choices": [{"message": {"role": "assistant", "content": text}}]}
    response = {"status_code": 200, "request_id": "req", "body": body}
    return json.dumps({"custom_id": name, "response": response, "error": None}, ensure_ascii=False)


FILE = "".join(line(str(i), text) + "\n" for i, text in enumerate(TEXTS)).encode()


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", str(len(FILE)))
        self.end_headers()
        self.wfile.write(FILE)

    def log_message(self, *_):
        pass


def readable(lines):
    """How many of the lines are JSON."""
    count = 0
    for one in lines:
        try:
            json.loads(one)
            count += 1
        except ValueError:
            pass
    return count


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1")
by_iter_lines = list(client.files.content("file-1").iter_lines())
by_line_feed = client.files.content("file-1").content.rstrip(b"\n").split(b"\n")
print(f"answers in the file: {len(TEXTS)}")
print(f"iter_lines(): {len(by_iter_lines)} lines, {readable(by_iter_lines)} of them JSON")
print(f'split(b"\\n"): {len(by_line_feed)} lines, {readable(by_line_feed)} of them JSON')
assert (len(by_iter_lines), readable(by_iter_lines)) == (7, 1)
assert (len(by_line_feed), readable(by_line_feed)) == (4, 4)
PYTHON
"$folder/venv/bin/python" "$folder/lines.py"
# Output seen on 2026-11-30:
#
# answers in the file: 4
# iter_lines(): 7 lines, 1 of them JSON
# split(b"\n"): 4 lines, 4 of them JSON
