"""A real `dagster dev` on the repository's workspace, and its GraphQL."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

ROOT = Path(__file__).parents[1]
START_SECONDS = 180
QUIET_INSTANCE = "telemetry:\n  enabled: false\nnux:\n  enabled: false\nrun_coordinator:\n  module: dagster._core.run_coordinator\n  class: QueuedRunCoordinator\n  config:\n    dequeue_interval_seconds: 1\n"


def environment(home: Path) -> dict[str, str]:
    """Of a process that works on the demo with that DAGSTER_HOME."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PXT_", "OPENAI_"))}
    return {**kept, "DAGSTER_HOME": str(home), "PXT_DEMO_STORE": str(home / "columns")}


class DagsterDev:
    """One that serves at `url`."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self._process = process

    def ask(self, query: str, **variables: Any) -> Any:
        """What the server answers to a GraphQL query; waits until it accepts connections, shortly after it says so."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        while True:
            try:
                with urllib.request.urlopen(request) as answer:
                    said = json.load(answer)
            except URLError:
                if self._process.poll() is not None:
                    raise
                continue
            assert "errors" not in said, said
            return said["data"]

    def until_ended(self, run_id: str) -> str:
        """The status of a run when it is over."""
        query = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        while True:
            status = str(self.ask(query, id=run_id)["runOrError"]["status"])
            if status in ("SUCCESS", "FAILURE", "CANCELED"):
                return status
            time.sleep(0.5)  # between looks at a process that nobody can wait for


@contextmanager
def dagster_dev(home: Path, command: Sequence[str] = ("dagster", "dev")) -> Iterator[DagsterDev]:
    """Within the block, that command of Dagster's serves on loopback, from the repository's root."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(QUIET_INSTANCE)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "-h", "127.0.0.1", "-p", str(port)],
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (as from a shell)
    )
    assert process.stdout is not None
    too_late = threading.Timer(START_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    too_late.start()  # fails the test instead of hanging it
    log: list[str] = []
    drain = threading.Thread(target=lambda: log.extend(process.stdout or ()))  # the pipe must not fill up
    try:
        for line in process.stdout:
            log.append(line)
            if re.search(r"Serving dagster-webserver on http", line):
                break
        else:
            raise AssertionError("".join(log))
        too_late.cancel()
        drain.start()
        yield DagsterDev(f"http://127.0.0.1:{port}", process)
    finally:
        too_late.cancel()
        process.send_signal(signal.SIGINT)
        process.wait()
        if drain.ident is not None:
            drain.join()
        process.stdout.close()
