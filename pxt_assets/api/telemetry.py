"""OpenTelemetry: a span for each partition of a column and each request to the API, and metrics of the requests.

All of it goes to whatever the process has set up for OpenTelemetry; of requests only where that was done before their
client was made, as no span is made for nobody. Where nothing is set up, nothing is recorded. Where
`opentelemetry-api` is not installed, nothing is imported. Prompts, answers and what errors quote of them are never
recorded.

Names are those of the semantic conventions for generative AI, version 1.41.0
(https://github.com/open-telemetry/semantic-conventions/blob/v1.41.0/docs/gen-ai/README.md); other
names begin with `pxt.`. A request's span lasts from its first attempt until it is answered or given up, retries
included, as the conventions ask; the wait for the limiter before is no part of it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from pxt_assets.errors import CellError

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

    from pxt_assets.api.answer import Answer
    from pxt_assets.api.request import Request
    from pxt_assets.api.wire import ApiUrl

SCOPE = "pxt_assets"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
DURATION = "gen_ai.client.operation.duration"
USAGE = "gen_ai.client.token.usage"
DURATION_BOUNDS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bounds of the histogram of durations, in seconds, as the conventions advise."""
TOKEN_BOUNDS = tuple(4**i for i in range(14))
"""Bounds of the histogram of token counts, as the conventions advise: 1 to 67,108,864."""
_OPERATIONS = {"chat": "chat", "responses": "chat", "images": "generate_content", "audio": "generate_content"}
"""`gen_ai.operation.name` by an endpoint's first name, where it is not that name itself."""
_OUTPUT_TYPES = {"/audio/speech": "speech", "/audio/transcriptions": "text", "/audio/translations": "text"}
"""`gen_ai.output.type` by path, where the output is no image."""
_PORTS = {"http": 80, "https": 443}


@cache
def find_telemetry() -> Telemetry | None:
    """The telemetry of this process, None without `opentelemetry-api` 1.30 or later."""
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        return None
    options = inspect.signature(metrics.Meter.create_histogram).parameters
    if "explicit_bucket_boundaries_advisory" not in options:
        return None
    return Telemetry(
        trace.get_tracer(SCOPE, schema_url=SCHEMA_URL), metrics.get_meter(SCOPE, schema_url=SCHEMA_URL)
    )


class Telemetry:
    """The tracer of the spans and the instruments of the metrics."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        from opentelemetry import context, trace

        self.tracer = tracer
        self._meter = meter
        self.context, self.trace = context, trace  # importing them again takes as long as a span
        histogram = meter.create_histogram
        self.duration = histogram(DURATION, "s", explicit_bucket_boundaries_advisory=DURATION_BOUNDS_S)
        self.tokens = histogram(USAGE, "{token}", explicit_bucket_boundaries_advisory=TOKEN_BOUNDS)
        self.retries = meter.create_counter("pxt.retries", "{request}", "Requests sent again after a fault.")
        self.rate_limited = meter.create_counter("pxt.rate_limited", "{response}", "429 answers met.")
        self.utilization = meter.create_gauge(
            "pxt.limit.utilization", "1", "Share of what the rate limits allowed that a partition used."
        )

    @property
    def is_set_up(self) -> bool:
        """Whether the process has set up anything that records: what the API has of its own does not."""
        from opentelemetry import metrics

        traces = not _is_of_api(self.tracer) or not _is_of_api(self.trace.get_tracer_provider())
        return traces or not _is_of_api(self._meter) or not _is_of_api(metrics.get_meter_provider())


class RequestSpan:
    """The span of one request to the API, from its first attempt on; it is the current span until its end."""

    def __init__(self, telemetry: Telemetry, request: Request, server: ApiUrl) -> None:
        path = request.endpoint.path
        name = path.split("/")[1]
        operation = _OPERATIONS.get(name, name)
        azure = server.host.endswith(".openai.azure.com")
        self._attributes: dict[str, Any] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "azure.ai.openai" if azure else "openai",
            "gen_ai.request.model": request.model,
            "server.address": server.host,
            "server.port": server.port or _PORTS.get(server.scheme, 0),
        }
        self._telemetry = telemetry
        self._span = telemetry.tracer.start_span(
            f"{operation} {request.model}", kind=telemetry.trace.SpanKind.CLIENT, attributes=self._attributes
        )
        if operation == "generate_content":
            self._span.set_attribute("gen_ai.output.type", _OUTPUT_TYPES.get(path, "image"))
        self._clock = asyncio.get_running_loop().time
        self._sent = self._clock()
        self._token = telemetry.context.attach(telemetry.trace.set_span_in_context(self._span))

    def retried(self) -> None:
        """Counts a retry after a fault."""
        self._telemetry.retries.add(1, self._attributes)

    def rate_limited(self) -> None:
        """Counts a 429."""
        self._telemetry.rate_limited.add(1, self._attributes)

    def answered(self, answer: Answer) -> None:
        """Ends the span with the answer's model, usage and cost."""
        first = answer.values[0]
        outcome = {
            "gen_ai.response.id": first.get("id") if isinstance(first, Mapping) else None,
            "gen_ai.response.model": answer.model,
            "pxt.request_id": answer.request_id,
            "pxt.attempts": answer.attempts,
            "pxt.cost_usd": answer.cost_usd,
        }
        if answer.model is not None:
            self._attributes["gen_ai.response.model"] = answer.model
        if answer.usage is not None:
            for kind, count in (("input", answer.usage.input_tokens), ("output", answer.usage.output_tokens)):
                if count:  # zero stands for tokens that an endpoint does not count
                    outcome[f"gen_ai.usage.{kind}_tokens"] = count
                    self._telemetry.tokens.record(count, {**self._attributes, "gen_ai.token.type": kind})
            outcome["gen_ai.usage.cache_read.input_tokens"] = answer.usage.cached_tokens or None
        self._end_span(outcome)

    def failed(self, error: BaseException) -> None:
        """Ends the span as an error. The message is left out: the API quotes prompts in it."""
        self._attributes["error.type"] = error_type(error)
        self._span.set_status(self._telemetry.trace.StatusCode.ERROR)
        request_id = error.request_id if isinstance(error, CellError) else None
        self._end_span({"error.type": error_type(error), "pxt.request_id": request_id})

    def _end_span(self, outcome: Mapping[str, Any]) -> None:
        self._telemetry.duration.record(self._clock() - self._sent, self._attributes)
        if self._span.is_recording():
            self._span.set_attributes(_without_none(outcome))
        self._span.end()
        self._telemetry.context.detach(self._token)


@contextmanager
def partition_span(
    asset: str, partition: str | None, run_id: str | None
) -> Iterator[Callable[[Mapping[str, Any], float | None], None]]:
    """Within the block, the span of one partition of a column is the current one.

    It yields a function to call with the attributes of the outcome (`pxt.rows_computed`, ...; None for what is not known)
    and the share of the rate limits that the partition used, 0 to 1.
    """
    telemetry = find_telemetry()
    if telemetry is None:
        yield lambda _attributes, _limit_utilization: None
        return
    attributes = _without_none({"pxt.asset": asset, "pxt.partition": partition, "pxt.run_id": run_id})
    with telemetry.tracer.start_as_current_span(
        f"compute {asset}", attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:

        def finish(outcome: Mapping[str, Any], limit_utilization: float | None) -> None:
            span.set_attributes(_without_none(outcome))
            if limit_utilization is not None:
                telemetry.utilization.set(limit_utilization, {"pxt.asset": asset})

        try:
            yield finish
        except BaseException as e:
            span.set_attribute("error.type", error_type(e))
            span.set_status(telemetry.trace.StatusCode.ERROR)
            raise


def _is_of_api(found: object) -> bool:
    return type(found).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


def _without_none(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def error_type(error: BaseException) -> str:
    """`error.type`: the API's error class (`BadRequestError`) of a row's error, else the exception's own."""
    return error.errortype if isinstance(error, CellError) else type(error).__name__
