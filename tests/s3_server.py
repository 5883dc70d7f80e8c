"""A real S3 server on loopback, which can refuse what a policy of the bucket's does not allow."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

DENIED = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'


class Policy:
    """What the bucket's server refuses, as S3 does: with 403, and without a reason where it was asked for heads alone."""

    def __init__(self) -> None:
        self.denied: set[str] = set()
        """`s3:ListBucket`, `s3:GetObject`, `s3:PutObject`, `s3:DeleteObject`."""
        self.refused: list[str] = []
        """Those that were asked for, in this order."""

    def over(self, app: Any) -> Callable[..., Iterable[bytes]]:
        """The server's WSGI application under this policy."""

        def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            action = _action(environ)
            if action in self.denied or (
                action == "s3:GetObject" and "s3:ListBucket" in self.denied and _is_missing(app, environ)
            ):
                self.refused.append(action)
                start_response("403 Forbidden", [("Content-Type", "application/xml")])
                return [] if environ["REQUEST_METHOD"] == "HEAD" else [DENIED]
            answer: Iterable[bytes] = app(environ, start_response)
            return answer

        return guarded


def _action(environ: dict[str, Any]) -> str:
    """The permission that a request needs."""
    _, _, key = environ["PATH_INFO"].strip("/").partition("/")
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    if not key:
        deletes = method == "POST" and "delete" in query
        return "s3:DeleteObject" if deletes else "s3:ListBucket" if method in ("GET", "HEAD") else "s3:*"
    return {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "DELETE": "s3:DeleteObject"}.get(
        method, "s3:PutObject"
    )


def _is_missing(app: Any, environ: dict[str, Any]) -> bool:
    """Whether an object is missing: who may not list is not told so, but refused."""
    seen: list[str] = []
    answer = app({**environ, "REQUEST_METHOD": "HEAD"}, lambda status, headers, *_: seen.append(status))
    for _ in answer:
        pass
    return seen[0].startswith("404")


@contextmanager
def s3_server(key: str = "k", secret: str = "s", policy: Policy | None = None) -> Iterator[dict[str, Any]]:
    """The storage options of a server that has a bucket `bucket`, under a policy if one is given."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    try:
        host, port = server.get_host_and_port()
        if policy is not None:
            server._server.app = policy.over(server._server.app)
        url = f"http://{host}:{port}"
        client = boto3.client(
            "s3", "us-east-1", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret
        )
        client.create_bucket(Bucket="bucket")
        client.close()
        yield {"key": key, "secret": secret, "client_kwargs": {"endpoint_url": url}}
    finally:
        server.stop()
