"""The simulator as an ASGI application: its routes."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pxt_assets.simulator.endpoint import errors, models
from pxt_assets.simulator.endpoint.errors import SimulatedError
from pxt_assets.simulator.images.served_files import PATH as FILES_PATH
from pxt_assets.simulator.server.begun_answer import begin_answer
from pxt_assets.simulator.server.counters import LaterCounters
from pxt_assets.simulator.server.later_routes import later_routes
from pxt_assets.simulator.server.limits import Headers
from pxt_assets.simulator.server.options import SimulatorOptions
from pxt_assets.simulator.server.request_body import read_json, read_key
from pxt_assets.simulator.server.shared_state import SharedState
from pxt_assets.simulator.server.simulator import ENDPOINTS, DroppedConnectionError, Simulator


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
            await begin_answer(send, simulator.standard_headers(arrived_at))
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
    shared_folder: Path | None = None,
    wall: Callable[[], float] = time.time,
) -> Starlette:
    """The simulator as an ASGI application, for a server or an in-process transport.

    `clock` gives seconds and runs steadily; `sleep` waits for seconds. A dropped connection leaves the
    application as a ConnectionResetError, after the answer has begun. Each `process` that shares a state meets other faults.
    Files, batches and responses in the background live in the `shared_folder`, by default a temporary one, and by `wall`, the
    seconds since 1970.
    """
    simulator = Simulator(options, clock, sleep, shared, process, shared_folder=shared_folder, wall=wall)

    def answer_json(content: Any, status: int = 200) -> Response:
        return _response(status, json.dumps(content).encode(), simulator.standard_headers(simulator.clock()))

    def answer_error(error: SimulatedError) -> Response:
        headers = [*simulator.standard_headers(simulator.clock()), *error.headers]
        return _response(error.status, error.body(), headers)

    async def list_models(request: Request) -> Response:
        try:
            read_key(request)
            return answer_json(models.model_list(options.models))
        except SimulatedError as exc:
            return answer_error(exc)

    async def show_model(request: Request) -> Response:
        try:
            read_key(request)
            name = request.path_params["model"]
            entry = models.model_entry(name, options.models)
            return answer_json(entry) if entry else answer_error(errors.unknown_model(name))
        except SimulatedError as exc:
            return answer_error(exc)

    async def show_counters(_: Request) -> Response:
        return answer_json(simulator.counters.as_dict())

    async def show_later(_: Request) -> Response:
        return answer_json(vars(simulator.later))

    async def reset_counters(_: Request) -> Response:
        simulator.counters.reset()
        simulator.later = LaterCounters()
        return answer_json(simulator.counters.as_dict())

    async def change_limits(request: Request) -> Response:
        try:
            return answer_json(simulator.limits.change(read_json(await request.body()), simulator.clock()))
        except SimulatedError as exc:
            return answer_error(exc)

    async def turn_clock(request: Request) -> Response:
        try:
            seconds = _read_seconds(read_json(await request.body()))
        except SimulatedError as exc:
            return answer_error(exc)
        return answer_json({"now": simulator.storage.turn(seconds)})

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
            *later_routes(simulator),
            Route("/v1/models", list_models),
            Route("/v1/models/{model:path}", show_model),
            Route(f"{FILES_PATH}{{name}}", show_file),
            Route("/simulator/counters", show_counters),
            Route("/simulator/later", show_later),
            Route("/simulator/reset", reset_counters, methods=["POST"]),
            Route("/simulator/limits", change_limits, methods=["POST"]),
            Route("/simulator/clock", turn_clock, methods=["POST"]),
        ],
        exception_handlers={404: refuse_route, 405: refuse_route},
    )
    app.router.redirect_slashes = False
    app.state.simulator = simulator
    return app


def _status(exc: Exception) -> int:
    return exc.status_code if isinstance(exc, HTTPException) else 500


def _read_seconds(body: dict[str, Any]) -> float:
    """The seconds of the body of `POST /simulator/clock`. Raises a 400 for anything else."""
    seconds = body.get("seconds")
    if (
        body.keys() != {"seconds"}
        or isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or seconds < 0
    ):
        raise errors.bad_request(f'Expected an object with "seconds" (a number >= 0), got {body!r}.')
    return float(seconds)


def _response(status: int, body: bytes, headers: Headers) -> Response:
    response = Response(body, status)
    # Set raw: encoding a dict of a dozen headers takes longer than a small answer does.
    response.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]
    return response
