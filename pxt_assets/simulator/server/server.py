"""The simulator on a loopback port: in a thread of the caller's process, or in the foreground."""

import asyncio
import contextlib
import ipaddress
import json
import logging
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from pxt_assets.simulator.batches.storage import Storage
from pxt_assets.simulator.server.app import create_app
from pxt_assets.simulator.server.options import SimulatorOptions
from pxt_assets.simulator.server.shared_state import SharedState, Start
from pxt_assets.simulator.server.simulator import DroppedConnectionError

_BACKLOG = 2048
"""Connections that may wait to be accepted: a pipeline opens a thousand at once."""
_START_SECONDS = 30.0
_GRACE_SECONDS = 1
"""Seconds that a stopping server waits for unfinished answers; later ones are broken off."""


class SimulatorServer:
    """A simulator on a loopback port, in a daemon thread of this process.

    >>> with SimulatorServer(SimulatorOptions(rpm=500)) as server:  # doctest: +SKIP
    ...     client = openai.OpenAI(base_url=server.base_url, api_key="any")
    """

    def __init__(
        self,
        options: SimulatorOptions,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        shared_folder: Path | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`port` 0 takes a free one. Raises ValueError for a `host` that is no loopback address.

        Simulators of equal options with the same `shared_folder` are one: they share their limits, files and batches,
        whichever processes they run in. Files and batches live by `wall`, the seconds since 1970.
        """
        self.options = options
        self.shared_id = ""
        """Once started, what names the state that it shares; empty if it shares none."""
        self._shared = None if shared_folder is None else SharedState(shared_folder, options.shown)
        self._folder = shared_folder
        self._wall = wall
        self._host = require_loopback(host)
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """A client's base URL, such as "http://127.0.0.1:8080/v1". Raises RuntimeError before the start."""
        return f"{self.root_url}/v1"

    @property
    def root_url(self) -> str:
        """The URL below which `/simulator/counters` lies. Raises RuntimeError before the start."""
        if self._server is None:
            raise RuntimeError("the simulator is not running: call start(), or use it as a context manager")
        return _url(self._host, self._port)

    def start(self) -> Self:
        """Bind, and return once connections are accepted. Raises OSError for a port that is taken."""
        if self._server is not None:
            raise RuntimeError(f"the simulator is already running at {self.base_url}")
        listener = _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        start = Start(0, "") if self._shared is None else self._shared.start()
        self.shared_id = start.state_id
        self._server = _Server(
            self.options,
            shared=self._shared,
            process=start.number,
            shared_folder=self._folder,
            wall=self._wall,
        )
        self._thread = threading.Thread(
            target=self._server.run_until_stopped,
            args=(listener,),
            name=f"pxt-simulator-{self._port}",
            daemon=True,
        )
        self._thread.start()
        self._server.ready.wait(_START_SECONDS)
        if not self._server.started:
            self.stop()
            raise RuntimeError(f"the simulator did not start within {_START_SECONDS:.0f} seconds")
        return self

    def stop(self) -> None:
        """Close all connections and wait for the thread to end. Stopping a stopped simulator does nothing."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._server = self._thread = None
        if self._shared is not None:
            self._shared.close()

    def turn_clock(self, seconds: float) -> None:
        """Turn the clock of files, batches and responses in the background forward, by as many seconds."""
        body = json.dumps({"seconds": seconds}).encode()
        request = urllib.request.Request(f"{self.root_url}/simulator/clock", body, method="POST")  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            answer.read()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(
    options: SimulatorOptions,
    port: int,
    announce: Callable[[str], object] = print,
    *,
    host: str = "127.0.0.1",
) -> None:
    """Serve in the foreground until Ctrl-C, which ends it without a traceback.

    `announce` gets one line, once connections are accepted. Raises ValueError for a `host` that is no
    loopback address, OSError for a port that is taken.
    """
    listener = _listen(require_loopback(host), port)
    url = _url(host, listener.getsockname()[1])
    server = _Server(
        options,
        on_ready=lambda: announce(f"Simulating the OpenAI API at {url}/v1 (any key; Ctrl-C ends it)"),
    )
    # uvicorn stops at the signal, and raises it once more when it is done.
    with contextlib.suppress(KeyboardInterrupt):
        server.run([listener])
    server.storage.close()


def require_loopback(host: str) -> str:
    """`host`, if nobody outside this machine can reach it. Raises ValueError otherwise."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return host
    raise ValueError(
        f"the simulator listens on a loopback address only, such as 127.0.0.1 or ::1, got {host!r}: "
        "it has no access control"
    )


class _Server(uvicorn.Server):
    """uvicorn, set up for this application; calls `on_ready` once it accepts connections."""

    def __init__(
        self,
        options: SimulatorOptions,
        on_ready: Callable[[], object] | None = None,
        *,
        shared: SharedState | None = None,
        process: int = 0,
        shared_folder: Path | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        app = create_app(options, shared=shared, process=process, shared_folder=shared_folder, wall=wall)
        self.storage: Storage = app.state.simulator.storage
        super().__init__(
            uvicorn.Config(
                app,
                ws="none",
                proxy_headers=False,
                lifespan="off",
                log_config=None,  # the process's own logging stays as it is
                log_level="warning",
                access_log=False,
                server_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self.ready = threading.Event()
        self._on_ready = on_ready
        logging.getLogger("uvicorn.error").addFilter(_is_unexpected)

    def run_until_stopped(self, listener: socket.socket) -> None:
        """Serve on `listener`; `ready` is set even if that fails, so that nobody waits for ever."""
        try:
            self.run([listener])
        finally:
            self.ready.set()
            self.storage.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
        if self._on_ready is not None:
            self._on_ready()


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Whether a log record of uvicorn is about neither a simulated drop nor the end of the server."""
    cause = record.exc_info[1] if record.exc_info else None
    if isinstance(cause, DroppedConnectionError | asyncio.CancelledError):
        return False
    return not str(record.msg).startswith("Cancel %s running task(s)")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
