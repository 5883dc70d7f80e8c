"""A server of the API whose own CPU does not decide a figure: some 0.1 ms a request, where the simulator takes 1 ms.

    python tests/benchmarks/lean_server.py [--latency 0.3] [--tls] [--rpm 1200 --initial-level 0.1] [--slots 4]

It prints its base URL, and with --tls the file of the authority to trust, for SSL_CERT_FILE. It answers chat completions
(some 700 bytes, 16 headers as those of the API), embeddings, moderations, generated images and speech, and has files and
batches of the first three (`lean_batches.py`), which nothing limits. A request is charged
when it arrives: 1 of the requests, a quarter of its body's bytes of the tokens; the buckets are continuous, as the API's.
GET /counters says what it has met, how many seconds passed between the first and the last admitted request, and the CPU
seconds that it took; GET /counters?reset begins anew. The buckets begin with the first request.
"""

import argparse
import asyncio
import json
import math
import os
import random
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httptools
import uvloop
from lean_answers import SPEECH, chat, embeddings, images, moderations
from lean_batches import File, Later
from lean_bucket import Bucket

UNLIMITED = 30_000_000
"""Units a minute where no limit is asked for: the headers have the length of the API's, and nothing is refused."""
COUNTS = (
    "requests",
    "tokens",
    "answered",
    "rate_limited",
    "abandoned",
    "connections",
    "peak_in_flight",
    "bytes_in",
    "bytes_out",
)
HEAD = (
    b"HTTP/1.1 %b\r\ndate: %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nopenai-organization: org-benchmark\r\n"
    b"openai-processing-ms: %d\r\nopenai-project: proj_benchmark0123456789\r\nopenai-version: 2020-10-01\r\n"
    b"x-request-id: req_%032x\r\nstrict-transport-security: max-age=31536000; includeSubDomains; preload\r\n"
    b"server: lean\r\n%b\r\n"
)
LIMITS = (
    b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-limit-tokens: %d\r\nx-ratelimit-remaining-requests: %d\r\n"
    b"x-ratelimit-remaining-tokens: %d\r\nx-ratelimit-reset-requests: %b\r\nx-ratelimit-reset-tokens: %b\r\n"
)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n"
REFUSAL = b'{"error":{"message":"Rate limit reached. Please try again in %dms.","type":"%b","param":null,"code":"rate_limit_exceeded"}}'


class Server:
    """What all connections share: limits, slots, counters."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        self.options, self.loop = options, asyncio.get_running_loop()
        self.random, self.date, self.in_flight, self.at_work = random.Random(1), b"", 0, 0
        self.queue: deque[Callable[[], object]] = deque()
        self.begin()
        self.answers: dict[bytes, Callable[[bytes], bytes]] = {
            b"/v1/chat/completions": chat,
            b"/v1/embeddings": embeddings,
            b"/v1/moderations": moderations,
            b"/v1/images/generations": lambda _: images(options.image_bytes),
            b"/v1/audio/speech": lambda _: SPEECH,
        }
        self.later = Later(folder, options.batch_seconds, self.answers)

    def begin(self) -> None:
        """Counts from nothing, with the buckets as at the start."""
        self.begun, self.halved = time.monotonic(), False
        self.counts, self.admitted, options = dict.fromkeys(COUNTS, 0), [0.0, 0.0], self.options
        given = ((options.rpm, UNLIMITED), (options.tpm, 1_000 * UNLIMITED))
        self.buckets = [Bucket(n, options.initial_level) if n else Bucket(other, 1.0) for n, other in given]

    def tell_date(self) -> None:
        """Renews the date of the headers, each second."""
        self.date = formatdate(usegmt=True).encode()
        self.loop.call_later(1, self.tell_date)

    def latency(self) -> float:
        """Seconds that an answer takes."""
        sigma = self.options.latency_sigma
        return self.options.latency * (math.exp(self.random.gauss(0, sigma)) if sigma else 1.0)

    def admit(self, size: int) -> tuple[float, int]:
        """Charges a request. Seconds until it would be admitted, 0 if it was; and which limit refused it."""
        now, charges = time.monotonic(), (1, max(1, size // 4))
        if self.options.halve_after and not self.halved and now > self.begun + self.options.halve_after:
            self.halved = True
            for bucket in self.buckets:
                bucket.limit, bucket.held = bucket.limit / 2, min(bucket.held, bucket.limit / 2)
        for index, (bucket, charge) in enumerate(zip(self.buckets, charges, strict=True)):
            short = charge - bucket.level(now)
            if short > 1e-6:
                return short * 60 / bucket.limit, index
        for bucket, charge in zip(self.buckets, charges, strict=True):
            bucket.take(charge)
        self.counts["tokens"] += charges[1]
        self.admitted = [self.admitted[0] or now, now]
        return 0.0, 0

    def told(self) -> dict[str, float]:
        """What it has met."""
        first, last = self.admitted
        return self.counts | self.later.counts | {"seconds": last - first, "cpu_seconds": time.process_time()}

    def limits(self) -> bytes:
        """The headers of the limits."""
        if self.options.no_headers:
            return b""
        one, other = self.buckets
        left = [max(0, math.floor(b.level(time.monotonic()) + 1e-6)) for b in (one, other)]
        return LIMITS % (one.limit, other.limit, *left, one.reset(), other.reset())

    def work(self, answer: Callable[[], object]) -> None:
        """Does it after the latency, when a slot is free."""
        slots = self.options.slots
        if slots and self.at_work >= slots:
            self.queue.append(answer)
            return
        self.at_work += 1
        seconds = self.latency()
        if seconds > 0:
            self.loop.call_later(seconds, self._finish, answer)
        else:
            self._finish(answer)

    def _finish(self, answer: Callable[[], object]) -> None:
        self.at_work -= 1
        answer()
        if self.queue and self.at_work < self.options.slots:
            self.work(self.queue.popleft())


class Connection(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, server: Server) -> None:
        self.server, self.idle, self.writable = server, None, asyncio.Event()
        self.writable.set()
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport, self.parser = transport, httptools.HttpRequestParser(self)
        self.server.counts["connections"] += 1

    def data_received(self, data: bytes) -> None:
        self.server.counts["bytes_in"] += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()

    def on_message_begin(self) -> None:
        self.url, self.parts, self.upload = b"", [], None
        if self.idle:
            self.idle.cancel()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_headers_complete(self) -> None:
        if self.url == b"/v1/files" and self.parser.get_method() == b"POST":
            self.upload = self.server.later.upload().open("wb")

    def on_body(self, part: bytes) -> None:
        if self.upload is None:
            self.parts.append(part)
        else:
            self.upload.write(part)

    def on_message_complete(self) -> None:
        server, path, body = self.server, self.url.partition(b"?")[0], b"".join(self.parts)
        if path.startswith((b"/v1/files", b"/v1/batches")):
            self.answer_later(path, body)
            return
        if path in (b"/counters", b"/simulator/counters"):
            self.send(b"200 OK", json.dumps(server.told()).encode())
            if self.url.endswith(b"?reset"):
                server.counts["requests"] = 0
            return
        make = server.answers.get(path)
        if make is None:
            self.send(b"404 Not Found", b'{"error":{"message":"unknown URL","type":"invalid_request_error"}}')
            return
        if not server.counts["requests"]:
            server.begin()
        server.counts["requests"] += 1
        seconds, limit = server.admit(len(body))
        if seconds:
            server.counts["rate_limited"] += 1
            ms, kind = math.ceil(seconds * 1000), (b"requests", b"tokens")[limit]
            after = b"retry-after: %d\r\nretry-after-ms: %d\r\n" % (math.ceil(seconds), ms)
            self.send(b"429 Too Many Requests", REFUSAL % (ms, kind), server.limits() + after)
            return
        server.in_flight += 1
        server.counts["peak_in_flight"] = max(server.counts["peak_in_flight"], server.in_flight)
        limits = server.limits()
        server.work(lambda: self.finish(make, body, limits, path))

    def answer_later(self, path: bytes, body: bytes) -> None:
        """Answers what is asked of files and batches."""
        later = self.server.later
        if self.upload is not None:
            self.upload.close()
            self.send(b"200 OK", json.dumps(later.add_upload(Path(self.upload.name)).shown()).encode())
            return
        try:
            answer = later.answer(self.parser.get_method(), path, self.url.partition(b"?")[2], body)
        except (KeyError, ValueError) as error:
            message = {"message": f"No such object: {error}", "type": "invalid_request_error"}
            self.send(b"404 Not Found", json.dumps({"error": message}).encode())
            return
        if isinstance(answer, File):
            self.streaming = self.server.loop.create_task(self.stream(answer))
        else:
            self.send(b"200 OK", json.dumps(answer).encode())

    async def stream(self, file: File) -> None:
        """Sends the content of a file, as fast as it is taken."""
        self.transport.write(STREAM)
        for piece in self.server.later.pieces(file):
            if self.transport.is_closing():
                return
            self.transport.writelines([b"%x\r\n" % len(piece), piece, b"\r\n"])
            self.server.counts["bytes_out"] += len(piece)
            await self.writable.wait()
            await asyncio.sleep(0)
        self.transport.write(b"0\r\n\r\n")

    def finish(self, make: Callable[[bytes], bytes], body: bytes, limits: bytes, path: bytes) -> None:
        """Sends the answer, if somebody still waits for it."""
        self.server.in_flight -= 1
        if self.transport.is_closing():
            self.server.counts["abandoned"] += 1
            return
        self.server.counts["answered"] += 1
        kind = b"audio/mpeg" if path.endswith(b"speech") else b"application/json"
        self.send(b"200 OK", make(body), limits, kind)

    def send(self, status: bytes, body: bytes, more: bytes = b"", kind: bytes = b"application/json") -> None:
        """Writes an answer."""
        server = self.server
        ms, number = server.options.latency * 1000, server.counts["requests"]
        head = HEAD % (status, server.date, kind, len(body), ms, number, more)
        server.counts["bytes_out"] += len(head) + len(body)
        if len(body) < 65_536:
            self.transport.write(head + body)
        else:
            self.transport.writelines([head, body])
        if not self.parser.should_keep_alive():
            self.transport.close()
        elif server.options.keep_alive:
            self.idle = server.loop.call_later(server.options.keep_alive, self.transport.close)


def certificate(folder: str) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 and localhost, signed by `ca.pem` in the folder."""
    Path(folder, "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    new = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for command in (
        f"{new} -x509 -days 2 -subj /CN=benchmarks -keyout ca.key -out ca.pem",
        f"{new} -subj /CN=localhost -keyout key.pem -out asked.pem",
        "x509 -req -in asked.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(folder, "cert.pem"), Path(folder, "key.pem"))
    return context


async def serve(options: argparse.Namespace) -> None:
    """Serves until it is told to end."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    if options.with_stdin:
        loop.add_reader(sys.stdin.fileno(), lambda: os.read(0, 1) or ended.set())
    with tempfile.TemporaryDirectory() as folder:
        server = Server(options, folder)
        server.tell_date()
        context = certificate(folder) if options.tls else None
        listening = await loop.create_server(
            lambda: Connection(server), "127.0.0.1", options.port, ssl=context, backlog=4_096
        )
        port = listening.sockets[0].getsockname()[1]
        trust = f" {folder}/ca.pem" if options.tls else ""
        print(f"http{'s' if options.tls else ''}://127.0.0.1:{port}/v1{trust}", flush=True)
        await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--latency-sigma", type=float, default=0.0, help="log-normal about --latency")
    parser.add_argument("--tls", action="store_true", help="HTTPS, by the command openssl's certificate")
    parser.add_argument("--rpm", type=float, help="requests a minute; without it none is refused")
    parser.add_argument("--tpm", type=float, help="tokens a minute")
    parser.add_argument("--initial-level", type=float, default=1.0, help="share of the buckets at the start")
    parser.add_argument("--halve-after", type=float, help="seconds after which the limits are halved")
    parser.add_argument("--no-headers", action="store_true", help="answers say nothing of limits")
    parser.add_argument(
        "--slots", type=int, default=0, help="requests worked on at once; others wait, unsaid"
    )
    parser.add_argument("--keep-alive", type=float, help="seconds after which an idle connection is closed")
    parser.add_argument("--image-bytes", type=int, default=1_000_000, help="size of a generated image")
    parser.add_argument("--batch-seconds", type=float, default=0.0, help="seconds that a batch takes")
    parser.add_argument("--with-stdin", action="store_true", help="end when standard input does")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
