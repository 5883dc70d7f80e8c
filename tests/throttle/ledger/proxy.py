"""A way to a database that can go silent, as where a firewall drops packets or a host is gone without a word."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """Forwards connections to `port` of loopback; with `silent` set it takes what comes and forwards nothing."""

    port: int
    silent: threading.Event = field(default_factory=threading.Event)
    accepted: int = 0
    own_port: int = 0

    @contextlib.contextmanager
    def running(self) -> Iterator["Proxy"]:
        with contextlib.ExitStack() as sockets, socket.create_server(("127.0.0.1", 0)) as server:
            self.own_port = server.getsockname()[1]
            accepting = threading.Thread(target=self._accept, args=(server, sockets), daemon=True)
            accepting.start()
            try:
                yield self
            finally:
                server.shutdown(socket.SHUT_RDWR)
                accepting.join()

    def _accept(self, server: socket.socket, sockets: contextlib.ExitStack) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = sockets.enter_context(server.accept()[0])
                self.accepted += 1
                database = sockets.enter_context(socket.create_connection(("127.0.0.1", self.port)))
                for one, other in ((client, database), (database, client)):
                    threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                if not self.silent.is_set():
                    other.sendall(data)
        if not self.silent.is_set():
            with contextlib.suppress(OSError):
                other.shutdown(socket.SHUT_RDWR)
