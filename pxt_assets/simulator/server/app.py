"""The simulator as an ASGI application.

A request to an endpoint passes, in this order: the key (401), the body (400), the model (404), the limits
(429), the latency, a fault if one is drawn for it (5xx or a broken connection), and the answer. As at the API
it is charged when it arrives, before the latency; a request refused by the first three is not charged.
"""

import asyncio
import json
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pxt_assets.simulator.audio.speech import read_speech_call
from pxt_assets.simulator.audio.transcriptions import read_transcription_call
from pxt_assets.simulator.audio.translations import read_translation_call
from pxt_assets.simulator.chat.completion import read_chat_call
from pxt_assets.simulator.embeddings import read_embedding_call
from pxt_assets.simulator.endpoint import errors, models
from pxt_assets.simulator.endpoint.endpoint import FORM, JSON, ROOT_PLACEHOLDER, Answer, Endpoint
from pxt_assets.simulator.endpoint.errors import SimulatedError
from pxt_assets.simulator.endpoint.multipart import digest_of_form, read_form
from pxt_assets.simulator.images.pictures import read_edit_call, read_generation_call, read_variation_call
from pxt_assets.simulator.images.served_files import PATH as FILES_PATH
from pxt_assets.simulator.images.served_files import PublishedFiles
from pxt_assets.simulator.moderations import read_moderation_call
from pxt_assets.simulator.responses.response import ResponseCall, read_response_call
from pxt_assets.simulator.responses.store import StoredResponses
from pxt_assets.simulator.server.counters import Counters
from pxt_assets.simulator.server.limits import Headers, RateLimits
from pxt_assets.simulator.server.options import SimulatorOptions
from pxt_assets.simulator.server.shared_state import SharedState

ENDPOINTS: dict[str, Endpoint] = {
    "chat/completions": Endpoint(read_chat_call, announced_limits=("requests", "tokens")),
    "responses": Endpoint(read_response_call, announced_limits=("requests", "tokens")),
    "embeddings": Endpoint(read_embedding_call, announced_limits=("requests", "tokens")),
    "moderations": Endpoint(read_moderation_call),
    "images/generations": Endpoint(read_generation_call, in_thread=True),
    "images/edits": Endpoint(read_edit_call, content_types=(FORM, JSON), in_thread=True),
    "images/variations": Endpoint(read_variation_call, content_types=(FORM,), in_thread=True),
    "audio/speech": Endpoint(read_speech_call),
    "audio/transcriptions": Endpoint(
        read_transcription_call, content_types=(FORM,), announced_limits=("requests",)
    ),
    "audio/translations": Endpoint(read_translation_call, content_types=(FORM,)),
}
"""Path below /v1 -> its endpoint."""

_DROPPED_LENGTH = 65536


class DroppedConnectionError(ConnectionResetError):
    """Breaks off an answer that has begun; the server that runs the app then closes the connection."""


class Simulator:
    """The state behind one application: limits, counters, and the two random sources."""

    def __init__(
        self,
        options: SimulatorOptions,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
        shared: SharedState | None = None,
        process: int = 0,
    ) -> None:
        self.options = options
        self.clock = clock
        self.sleep = sleep
        self.limits = RateLimits(options, shared)
        self.counters = Counters()
        self.files = PublishedFiles()
        self.responses = StoredResponses(shared=shared)
        seed = f"{options.seed} {process}" if process else f"{options.seed}"
        # Separate sources, so that the latency does not change which requests meet faults.
        self._latencies = random.Random(f"latency {seed}")  # noqa: S311
        self._faults = random.Random(f"fault {seed}")  # noqa: S311
        self._id_prefix = b"sim-req-%x-" % (options.seed & 0xFFFFFFFF) + (
            b"%x-" % process if process else b""
        )
        self._answer_count = 0

    def standard_headers(self, arrived_at: float, content_type: str = JSON) -> Headers:
        """The headers of every answer; `arrived_at` is the arrival time of its request, by the clock."""
        self._answer_count += 1
        return [
            (b"content-type", content_type.encode()),
            (b"x-pxt-simulated", b"true"),
            (b"x-request-id", self._id_prefix + b"%08x" % self._answer_count),
            (b"openai-processing-ms", b"%d" % ((self.clock() - arrived_at) * 1000)),
            (b"openai-version", b"2020-10-01"),
            (b"openai-organization", b"org-simulated"),
        ]

    async def answer(self, endpoint: str, request: Request, arrived_at: float) -> tuple[Answer, Headers]:
        """Answer a POST to `endpoint`.

        Raises SimulatedError for every answer that is not 200, DroppedConnectionError for a dropped one.
        """
        key = _read_key(request)
        spec = ENDPOINTS[endpoint]
        body, identity = await _read_body(request, spec.content_types)
        call = await asyncio.to_thread(spec.read, body) if spec.in_thread else spec.read(body)
        if not models.is_served_at(endpoint, call.model, self.options.models):
            meant = models.suggestion(endpoint, call.model, self.options.models)
            raise errors.unknown_model(call.model, meant, endpoint)
        if isinstance(call, ResponseCall):
            call = call.continue_from(self.responses.for_key(key))
        if key.startswith("sk-no-quota"):
            raise errors.no_quota()
        tokens = call.charge(count_max_tokens=self.options.count_max_tokens)
        headers = self.limits.admit(
            key, call.model, tokens, arrived_at, announced_limits=spec.announced_limits
        )
        fault = self._draw_fault()
        try:
            await self._wait_until(
                arrived_at + self._draw_latency() + self.options.slow_seconds * (fault == "slow")
            )
            if fault == "dropped":
                raise DroppedConnectionError("the simulator drops this connection")
            if fault in ("500", "503"):
                raise errors.server_error() if fault == "500" else errors.server_overloaded()
            digest = blake2b(b"%d %b" % (self.options.seed, identity), digest_size=12).hexdigest()
            answer = await asyncio.to_thread(call.answer, digest) if spec.in_thread else call.answer(digest)
            return self._publish(answer, request), headers
        except SimulatedError as exc:
            # An admitted request gets the headers of the limits with its error too.
            exc.headers.extend(headers)
            raise

    def _publish(self, answer: Answer, request: Request) -> Answer:
        """Serve the files of `answer`, and return it with the URLs that lead to them."""
        if not answer.files:
            return answer
        self.files.publish(answer.files, self.clock())
        root = json.dumps(str(request.base_url).rstrip("/"))[1:-1]
        return replace(answer, body=answer.body.replace(ROOT_PLACEHOLDER.encode(), root.encode()))

    def _draw_latency(self) -> float:
        if self.options.latency_sigma == 0:
            return self.options.latency
        return self.options.latency * math.exp(self._latencies.gauss(0, self.options.latency_sigma))

    def _draw_fault(self) -> str | None:
        if self.options.fault_rate == 0 or self._faults.random() >= self.options.fault_rate:
            return None
        kind = self._faults.choice(("5xx", "dropped", "slow"))
        if kind == "5xx":
            kind = self._faults.choice(("500", "503"))
        self.counters.faults[kind] += 1
        return kind

    async def _wait_until(self, due: float) -> None:
        seconds = due - self.clock()
        if seconds > 0:
            await self.sleep(seconds)


class _EndpointApp:
    """The ASGI application of one endpoint.

    An object, since Starlette wraps functions in layers that cost time.
    """

    def __init__(self, simulator: Simulator, endpoint: str) -> None:
        self._simulator = simulator
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        simulator, counters = self._simulator, self._simulator.counters
        arrived_at = simulator.clock()
        counters.count_arrival(self._endpoint)
        try:
            answer, headers = await simulator.answer(self._endpoint, Request(scope, receive), arrived_at)
            counters.count_answer(
                input_tokens=answer.input_tokens, output_tokens=answer.output_tokens, inputs=answer.inputs
            )
            standard = simulator.standard_headers(arrived_at, answer.content_type)
            response = _response(200, answer.body, [*standard, *headers])
        except SimulatedError as exc:
            if exc.code == "rate_limit_exceeded":
                counters.rate_limited += 1
            elif exc.status < 500:
                counters.client_errors += 1
            response = _response(
                exc.status, exc.body(), [*simulator.standard_headers(arrived_at), *exc.headers]
            )
        except (DroppedConnectionError, asyncio.CancelledError):
            # A stopping server cancels the requests that still sleep, and would answer them itself.
            await _begin_answer(send, simulator.standard_headers(arrived_at))
            raise
        except ClientDisconnect:
            return
        finally:
            counters.count_departure()
        await response(scope, receive, send)


def create_app(
    options: SimulatorOptions,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    shared: SharedState | None = None,
    process: int = 0,
) -> Starlette:
    """The simulator as an ASGI application, for a server or an in-process transport.

    `clock` gives seconds and runs steadily; `sleep` waits for seconds. A dropped connection leaves the
    application as a ConnectionResetError, after the answer has begun. Each `process` that shares a state meets other faults.
    """
    simulator = Simulator(options, clock, sleep, shared, process)

    def answer_json(content: Any, status: int = 200) -> Response:
        return _response(status, json.dumps(content).encode(), simulator.standard_headers(simulator.clock()))

    def answer_error(error: SimulatedError) -> Response:
        headers = [*simulator.standard_headers(simulator.clock()), *error.headers]
        return _response(error.status, error.body(), headers)

    async def list_models(request: Request) -> Response:
        try:
            _read_key(request)
            return answer_json(models.model_list(options.models))
        except SimulatedError as exc:
            return answer_error(exc)

    async def show_model(request: Request) -> Response:
        try:
            _read_key(request)
            name = request.path_params["model"]
            entry = models.model_entry(name, options.models)
            return answer_json(entry) if entry else answer_error(errors.unknown_model(name))
        except SimulatedError as exc:
            return answer_error(exc)

    async def show_counters(_: Request) -> Response:
        return answer_json(simulator.counters.as_dict())

    async def reset_counters(_: Request) -> Response:
        simulator.counters.reset()
        return answer_json(simulator.counters.as_dict())

    async def change_limits(request: Request) -> Response:
        try:
            return answer_json(simulator.limits.change(_read_json(await request.body()), simulator.clock()))
        except SimulatedError as exc:
            return answer_error(exc)

    async def show_file(request: Request) -> Response:
        now = simulator.clock()
        file = simulator.files.find(request.path_params["name"], now)
        if file is None:
            return answer_error(errors.unknown_file(request.path_params["name"]))
        return _response(200, file.content, simulator.standard_headers(now, file.content_type))

    async def refuse_route(request: Request, exc: Exception) -> Response:
        error = errors.unknown_url if _status(exc) == 404 else errors.wrong_method
        return answer_error(error(request.method, request.url.path))

    app = Starlette(
        routes=[
            *(
                Route(f"/v1/{endpoint}", _EndpointApp(simulator, endpoint), methods=["POST"])
                for endpoint in ENDPOINTS
            ),
            Route("/v1/models", list_models),
            Route("/v1/models/{model:path}", show_model),
            Route(f"{FILES_PATH}{{name}}", show_file),
            Route("/simulator/counters", show_counters),
            Route("/simulator/reset", reset_counters, methods=["POST"]),
            Route("/simulator/limits", change_limits, methods=["POST"]),
        ],
        exception_handlers={404: refuse_route, 405: refuse_route},
    )
    app.router.redirect_slashes = False
    return app


def _status(exc: Exception) -> int:
    return exc.status_code if isinstance(exc, HTTPException) else 500


def _read_key(request: Request) -> str:
    """The API key. Raises a 401 without one, or for one that starts with `sk-invalid`."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key or " " in key:
        raise errors.missing_key()
    if key.startswith("sk-invalid"):
        raise errors.refused_key(key)
    return key


async def _read_body(request: Request, content_types: tuple[str, ...]) -> tuple[dict[str, Any], bytes]:
    """The body as an object, and bytes that are equal for equal requests.

    Raises a 400 for a body that is broken, or of a content type that the endpoint does not take.
    """
    header = request.headers.get("content-type", JSON)
    kind = header.partition(";")[0].strip().lower()
    if kind not in content_types:
        raise errors.wrong_content_type(header, content_types)
    if kind == FORM:
        body = await read_form(request)
        return body, digest_of_form(body)
    raw = await request.body()
    return _read_json(raw), raw


def _read_json(raw: bytes) -> dict[str, Any]:
    """The object that a body holds. Raises a 400 for anything else."""
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise errors.invalid_json() from None
    if not isinstance(body, dict):
        raise errors.invalid_json()
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is Python's, not JSON")


def _response(status: int, body: bytes, headers: Headers) -> Response:
    response = Response(body, status)
    # Set raw: encoding a dict of a dozen headers takes longer than a small answer does.
    response.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]
    return response


async def _begin_answer(send: Send, headers: Headers) -> None:
    """Send the first bytes of an answer that announces more."""
    start = [*headers, (b"content-length", b"%d" % _DROPPED_LENGTH)]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    await send({"type": "http.response.body", "body": b'{"id":"sim-', "more_body": True})
