#!/usr/bin/env bash
# bespokelabs-curator 0.1.31 (with litellm 1.83.7, openai 2.30.0).
#
# One would expect: `max_tokens` bounds what a row costs. An answer that reaches it is an answer, with finish_reason "length",
# for the caller to keep or to refuse; the same request would be cut off at the same length again, and the API charges each.
# What happens: curator counts "length" as a failed request and sends the same request again, `max_retries` times, which are
# 10 by default. A row whose answer needs more tokens than were allowed is paid for eleven times, and has no answer at the end:
# `require_all_responses=False` keeps what it may of other rows, but not of these. Who sets a low `max_tokens` in order to
# save pays eleven times as much; `backend_params={"invalid_finish_reasons": ["content_filter"]}` keeps such answers.
# Source: RequestProcessorConfig.invalid_finish_reasons, and handle_single_request_with_retries of the online processor,
# https://github.com/bespokelabsai/curator
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q bespokelabs-curator==0.1.31 litellm==1.83.7 openai==2.30.0
cat > "$folder/truncated.py" <<'PYTHON'
import http.server
import json
import sys
import threading

sent = []


class Truncating(http.server.BaseHTTPRequestHandler):
    """Answers each chat request with its first `max_tokens` tokens."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["messages"]:  # curator first asks for the limits' headers, by a request without messages
            sent.append(asked)
        answer = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1764500000,
            "model": asked["model"],
            "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "The zip of the"}}],
            "usage": {"prompt_tokens": 14, "completion_tokens": 5, "total_tokens": 19},
        }
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("x-ratelimit-limit-requests", "10000")
        self.send_header("x-ratelimit-limit-tokens", "10000000")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Truncating)
threading.Thread(target=server.serve_forever, daemon=True).start()

from bespokelabs import curator

counts = []
for more in ({}, {"require_all_responses": False}, {"invalid_finish_reasons": ["content_filter"]}):
    sent.clear()
    llm = curator.LLM(
        model_name="gpt-4o-mini",
        backend="openai",
        backend_params={"base_url": f"http://127.0.0.1:{server.server_port}/v1", **more},
        generation_params={"max_tokens": 5},
    )
    try:
        said = llm(["What is wrong with the jacket?"]).dataset["response"][0]
    except ValueError as error:
        said = " ".join(str(error).split())
    assert all(asked == sent[0] for asked in sent)
    counts.append(len(sent))
    print(f"SEEN {more or 'by default'}: {len(sent)} equal request(s) for one row: {said}")
assert counts == [11, 11, 1], counts
PYTHON
litellm=$(find "$folder/venv" -type d -path "*/litellm/litellm_core_utils/tokenizers")
export OPENAI_API_KEY=none CURATOR_CACHE_DIR="$folder/cache" CURATOR_DISABLE_CACHE=true TELEMETRY_ENABLED=false HOME="$folder"
export TIKTOKEN_CACHE_DIR="$litellm" LITELLM_LOCAL_MODEL_COST_MAP=True # nothing is downloaded
"$folder/venv/bin/python" "$folder/truncated.py" 2> "$folder/log" | sed -n "s/^SEEN //p" || { cat "$folder/log"; exit 1; }
# Output seen on 2026-11-30:
# by default: 11 equal request(s) for one row: All requests failed. Sample of the first 1 errors encountered: ['finish_reason was length(x11)']
# {'require_all_responses': False}: 11 equal request(s) for one row: All requests failed. Sample of the first 1 errors encountered: ['finish_reason was length(x11)']
# {'invalid_finish_reasons': ['content_filter']}: 1 equal request(s) for one row: The zip of the
