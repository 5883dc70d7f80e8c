"""A real S3 server on loopback."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer


@contextmanager
def s3_server(key: str = "k", secret: str = "s") -> Iterator[dict[str, Any]]:
    """The storage options of a server that has a bucket `bucket`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client(
            "s3", "us-east-1", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret
        )
        client.create_bucket(Bucket="bucket")
        client.close()
        yield {"key": key, "secret": secret, "client_kwargs": {"endpoint_url": url}}
    finally:
        server.stop()
