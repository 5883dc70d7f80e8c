"""A server on loopback that works on its connections byte by byte, each in a thread of its own."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OK = b'{"choices":[]}'

Script = Callable[["RawConnection", int], bool | None]
"""Is called with each request's connection and how many came before on it; False closes the connection."""


@dataclass
class RawConnection:
    """One connection, and what came over it."""

    sock: socket.socket
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def read(self) -> bool:
        """Reads a request whole; False where none came."""
        raw = b""
        while b"\r\n\r\n" not in raw:
            more = self.sock.recv(65_536)
            if not more:
                return False
            raw += more
        head, _, body = raw.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields.get(b"content-length", 0)):
            body += self.sock.recv(65_536)
        self.heads.append(head)
        self.bodies.append(body)
        return True

    def send(self, body: bytes = OK, status: str = "200 OK", *more: str) -> None:
        """Sends an answer."""
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *more]
        self.sock.sendall("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body)

    def reset(self) -> None:
        """Ends the connection with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@dataclass
class RawServer:
    """The server, and its connections in the order in which they came."""

    base_url: str
    connections: list[RawConnection] = field(default_factory=list)

    @property
    def requests(self) -> list[int]:
        """How many requests came over each connection."""
        return [len(connection.heads) for connection in self.connections]


def answer(connection: RawConnection, _: int) -> None:
    """Answers each request."""
    connection.send()


@contextmanager
def raw_server(script: Script = answer, context: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Serves as it is told, over TLS where there is a context."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        scheme = "http" if context is None else "https"
        server = RawServer(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/v1")

        def serve(sock: socket.socket) -> None:
            with suppress(OSError):
                if context is not None:
                    sock = context.wrap_socket(sock, server_side=True)
                with sock:
                    connection = RawConnection(sock)
                    server.connections.append(connection)
                    while connection.read():
                        if script(connection, len(connection.heads) - 1) is False:
                            return

        def accept() -> None:
            with suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    threading.Thread(target=serve, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
