"""TLS over a connection: the certificates that are trusted, and what is encrypted and decrypted."""

from __future__ import annotations

import os
import platform
import re
import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_READ_BYTES = 2**18
_BUNDLES = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)
"""Where systems keep them, if OpenSSL was built for another place."""


def trusted() -> ssl.SSLContext:
    """The certificates that the official client's connections trust too: SSL_CERT_FILE, SSL_CERT_DIR, or the system's.

    Raises OSError for a file that cannot be read.
    """
    return _context(os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None)


@cache
def _context(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Read once: that takes longer than all else in making a client."""
    if file or folder:
        return ssl.create_default_context(cafile=file, capath=None if file else folder)
    if platform.system() in ("Windows", "Darwin"):
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    paths = ssl.get_default_verify_paths()  # as they were compiled in: the variables were looked at above
    bundle = paths.openssl_cafile if Path(paths.openssl_cafile).is_file() else None
    hashed = paths.openssl_capath if _holds_certificates(Path(paths.openssl_capath)) else None
    if bundle is None and hashed is None:
        bundle = next((one for one in _BUNDLES if Path(one).is_file()), None)
    if bundle or hashed:
        context.load_verify_locations(bundle, hashed)
    return context


def _holds_certificates(folder: Path) -> bool:
    return folder.is_dir() and any(re.fullmatch(r"[0-9a-fA-F]{8}\.\d", one.name) for one in folder.iterdir())


class Tls:
    """One side of a TLS connection: bytes in, bytes out."""

    __slots__ = ("_incoming", "_object", "_outgoing", "is_closed")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self.is_closed = False
        """Whether the other side has said that nothing more comes."""

    def shake_hands(self, received: bytes = b"") -> bool:
        """Goes on with the handshake; whether it is done. Raises ssl.SSLError."""
        if received:
            self._incoming.write(received)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypted(self, received: bytes) -> Iterator[bytes]:
        """What was sent. Raises ssl.SSLError."""
        if received:
            self._incoming.write(received)
        try:
            while plain := self._object.read(_READ_BYTES):
                yield plain
            self.is_closed = True
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            self.is_closed = True

    def encrypt(self, content: bytes | memoryview) -> None:
        """Adds to what is to be sent."""
        self._object.write(content)

    def to_send(self) -> bytes:
        """What is to be sent, the handshake's bytes among it."""
        return self._outgoing.read() if self._outgoing.pending else b""
