"""The servers that the machines of a deployment share, as processes on loopback: PostgreSQL, Redis, S3, the simulator.

PostgreSQL and Redis can be restarted; both keep their data.
"""

import json
import re
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from tests.distributed.processes import Running, accepts, free_port, running

BUCKET = "columns"
KEY, SECRET = "key-of-the-bucket", "secret-of-the-bucket"


class Redis:
    """A server whose queues outlive it, as a broker's should."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._running: Any = None

    def url(self, database: int) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Serves when it returns."""
        binary = shutil.which("redis-server")
        assert binary is not None, "no Redis: install the distribution's redis-server package"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--appendonly", "yes", "--save", ""]
        self._running = running("redis", [binary, *options, "--dir", str(self._folder)], self._folder)
        started: Running = self._running.__enter__()
        started.until("answers", lambda: accepts(self.port))

    def stop(self) -> None:
        """Ends as it does when its machine is restarted: what it keeps is written."""
        if self._running is not None:
            self._running.__exit__(None, None, None)
            self._running = None

    def restart(self) -> None:
        """Serves again when it returns; whoever was connected no longer is."""
        self.stop()
        self.start()


@contextmanager
def redis_server(folder: Path) -> Iterator[Redis]:
    """Within the block, a server that keeps its data in `folder`."""
    redis = Redis(folder)
    try:
        redis.start()
        yield redis
    finally:
        redis.stop()


@contextmanager
def s3_process(folder: Path) -> Iterator[str]:
    """The URL of an S3 server that has BUCKET."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running("s3", command, folder) as server:
        server.until("accepts connections", lambda: accepts(port))
        url = f"http://127.0.0.1:{port}"
        client = boto3.client(
            "s3", "us-east-1", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET
        )
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield url


@contextmanager
def simulator_process(folder: Path, name: str, **options: float) -> Iterator[str]:
    """The base URL of a simulator with these options of its command."""
    said = [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    command = [sys.executable, "-u", "-m", "pxt_assets", "simulate", "--port", "0", *said]
    with running(name, command, folder) as server:
        yield server.until("says where it is", lambda: re.search(r"http://127\.0\.0\.1:\d+/v1", server.log))[
            0
        ]


def counters(base_url: str) -> dict[str, Any]:
    """What a simulator has met by now."""
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/simulator/counters", timeout=30) as answer:
        return dict(json.load(answer))
