"""The code location behind workspace.yaml, in the real `dagster` commands."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest

ROOT = Path(__file__).parents[2]
ASSETS = {
    "tickets",
    "tickets/response",
    "tickets/summary",
    "tickets/embed",
    "tickets/moderation",
    "tickets/flagged",
    "photos",
    "photos/seen",
    "photos/caption",
    "photos/reply",
    "photos/heard",
    "photos/transcript",
    "photos/edit",
    "photos/edited",
}
QUERY = "{ assetNodes { assetKey { path } partitionKeys dependencyKeys { path } } }"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PXT_", "OPENAI_"))}
    return {**kept, "DAGSTER_HOME": str(home), "PXT_DEMO_STORE": str(home / "columns")}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def asked(request: urllib.request.Request, process: subprocess.Popen[str]) -> dict:
    """The answer, as soon as the server accepts connections: it says that it serves a moment before."""
    while True:
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except URLError:
            if process.poll() is not None:
                raise


def test_the_definitions_validate(home):
    """`dagster definitions validate` loads the workspace, without a key."""
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Validation successful for code location demo" in done.stdout + done.stderr


def test_dagster_dev_serves_the_demos_assets(home):
    """`dagster dev` in the repository's root answers on loopback with the demo's assets and their partitions."""
    port = free_port()
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (as from a shell)
    )
    assert process.stdout is not None
    too_late = threading.Timer(
        180, os.killpg, (process.pid, signal.SIGKILL)
    )  # fails the test instead of hanging it
    too_late.start()
    log = []
    drain = threading.Thread(target=lambda: log.extend(process.stdout))  # the pipe must not fill up
    try:
        for line in process.stdout:
            log.append(line)
            if re.search(r"Serving dagster-webserver on http", line):
                break
        else:
            pytest.fail("".join(log))
        drain.start()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql",
            json.dumps({"query": QUERY}).encode(),
            {"Content-Type": "application/json"},
        )
        nodes = asked(request, process)["data"]["assetNodes"]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        if drain.ident is not None:
            drain.join()
        process.stdout.close()
        too_late.cancel()
    by_name = {"/".join(node["assetKey"]["path"]): node for node in nodes}
    assert set(by_name) == ASSETS
    assert by_name["tickets/embed"]["partitionKeys"] == [f"2026-03-0{day}" for day in range(2, 7)]
    assert by_name["photos/edit"]["partitionKeys"] == by_name["tickets/embed"]["partitionKeys"]
    assert by_name["photos/heard"]["dependencyKeys"] == [{"path": ["photos", "reply"]}]
    assert by_name["tickets/summary"]["dependencyKeys"] == [{"path": ["tickets", "response"]}]
