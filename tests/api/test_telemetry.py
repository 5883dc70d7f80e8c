import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from pxt_assets import ColumnStore, OpenAIResource
from pxt_assets.api.meter import Meter
from pxt_assets.api.request import Endpoint, ParsedAnswer, Request
from pxt_assets.api.telemetry import DURATION_BOUNDS_S, SCHEMA_URL, TOKEN_BOUNDS, RequestSpan, find_telemetry
from pxt_assets.functions import embeddings
from tests.api.test_client import REQUEST, Scripted, client, never, send, status, well
from tests.runs import values
from tests.scripted_server import Reply, ScriptedServer, at_first, chat, refusal, vectors
from tests.tickets import Partitions, Tickets
from tests.virtual_time import run

ROWS = {1: "secret question", 2: "another one"}


class Recorded:
    """What a process that has set up OpenTelemetry is told."""

    def __init__(self) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """The spans that ended, in their order, whose name begins so."""
        return [span for span in self._spans.get_finished_spans() if span.name.startswith(name)]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self._reader.get_metrics_data()
        found = data.resource_metrics[0].scope_metrics[0].metrics if data else []
        return [point for metric in found if metric.name == name for point in metric.data.data_points]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """OpenTelemetry, set up for one test."""
    told = Recorded()
    monkeypatch.setattr(trace, "get_tracer", told.tracers.get_tracer)
    monkeypatch.setattr(metrics, "get_meter", told.meters.get_meter)
    find_telemetry.cache_clear()
    yield told
    find_telemetry.cache_clear()
    told.meters.shutdown()


def attributes(span: ReadableSpan, prefix: str = "") -> dict[str, Any]:
    return {name: value for name, value in (span.attributes or {}).items() if name.startswith(prefix)}


def test_a_request_and_its_partition(
    recorded: Recorded, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """A request is a client span named by the conventions, below the span of its partition; nothing said is in either."""
    server.script = lambda asked: Reply(chat(asked).body, headers={"x-request-id": "req-1"})
    Tickets(store, openai).run(ROWS)
    first, second = recorded.spans("chat")
    (partition,) = recorded.spans("compute")
    port = int(server.base_url.split(":")[2].removesuffix("/v1"))
    assert (first.name, first.kind, first.status.status_code) == (
        "chat gpt-4o-mini",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    cost = attributes(first)["pxt.cost_usd"]
    assert attributes(first) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "server.address": "127.0.0.1",
        "server.port": port,
        "pxt.attempts": 1,
        "pxt.cost_usd": cost,
        "pxt.request_id": "req-1",
    }
    assert first.instrumentation_scope.schema_url == SCHEMA_URL
    assert first.parent == second.parent == partition.context
    assert partition.name == "compute tickets/c"
    assert attributes(partition)["pxt.cost_usd"] == pytest.approx(2 * cost)
    assert attributes(partition, "pxt.r") == {
        "pxt.run_id": attributes(partition)["pxt.run_id"],
        "pxt.requests": 2,
        "pxt.rows_computed": 2,
        "pxt.rows_reused": 0,
        "pxt.rows_null": 0,
        "pxt.rows_failed": 0,
    }
    everything = "".join(span.to_json() for span in recorded.spans())
    assert not [said for said in ("secret", "another", "re: ") if said in everything]


def test_metrics_of_requests(recorded: Recorded, store: ColumnStore, openai: OpenAIResource) -> None:
    """Durations and token counts are histograms with the buckets that the conventions advise."""
    Tickets(store, openai).run(ROWS)
    (duration,) = recorded.points("gen_ai.client.operation.duration")
    assert (duration.count, duration.explicit_bounds) == (2, DURATION_BOUNDS_S)
    assert duration.sum == pytest.approx(
        sum(s.end_time - s.start_time for s in recorded.spans("chat")) / 1e9, abs=0.05
    )
    tokens = {p.attributes["gen_ai.token.type"]: p for p in recorded.points("gen_ai.client.token.usage")}
    assert {kind: (p.count, p.sum, p.explicit_bounds) for kind, p in tokens.items()} == {
        "input": (2, 20, TOKEN_BOUNDS),
        "output": (2, 10, TOKEN_BOUNDS),
    }
    shared = {"gen_ai.operation.name": "chat", "gen_ai.response.model": "gpt-4o-mini"}
    assert shared.items() <= duration.attributes.items() < tokens["input"].attributes.items()
    (gauge,) = recorded.points("pxt.limit.utilization") or [None]
    assert gauge is None or 0 <= gauge.value <= 1


def test_each_partition_has_its_span(recorded: Recorded, store: ColumnStore, openai: OpenAIResource) -> None:
    """Partitions of one run are spans of their own below that of the caller; what is reused is said, and sends nothing."""
    tickets = Partitions(store, openai, {"a": {1: "x"}, "b": {2: "y", 3: None}})
    tickets.run("a")
    with recorded.tracers.get_tracer("caller").start_as_current_span("caller"):
        tickets.run()
    first, *rest = recorded.spans("compute tickets/c")
    again, new = sorted(rest, key=lambda span: str(attributes(span)["pxt.partition"]))
    (caller,) = recorded.spans("caller")
    assert [attributes(span)["pxt.partition"] for span in (first, again, new)] == ["a", "a", "b"]
    assert [attributes(span)["pxt.rows_reused"] for span in (first, again, new)] == [0, 1, 0]
    assert again.parent == new.parent == caller.context
    assert [span.parent for span in recorded.spans("chat")] == [first.context, new.context]


def test_errors_are_statuses(
    recorded: Recorded, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """A refused request, and the partition that it fails, are errors by type; what the API quotes is not told."""
    server.script = lambda asked: refusal(400, f"cannot read {asked.text!r}")
    Tickets(store, openai).run(ROWS, fails=True)
    (request, *_), (partition,) = recorded.spans("chat"), recorded.spans("compute")
    for span, error in ((request, "BadRequestError"), (partition, "CellsFailedError")):
        assert attributes(span)["error.type"] == error
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
        assert not span.events
    assert attributes(request)["pxt.request_id"] == "req-7"
    (duration,) = recorded.points("gen_ai.client.operation.duration")
    assert duration.attributes["error.type"] == "BadRequestError"
    assert not recorded.points("gen_ai.client.token.usage")
    assert "secret" not in "".join(span.to_json() for span in recorded.spans())


def test_cells_that_fail_are_counted(
    recorded: Recorded, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """Under on_error="ignore" the partition is no error: it says how many of its rows are."""
    server.script = at_first([refusal(400)])
    Tickets(store, openai).run(ROWS, on_error="ignore")
    (partition,) = recorded.spans("compute")
    assert partition.status.status_code is StatusCode.UNSET
    assert (attributes(partition)["pxt.rows_failed"], attributes(partition)["pxt.rows_computed"]) == (1, 1)


def test_retries_are_in_one_span(recorded: Recorded) -> None:
    """However often a request is sent it is one span, as long as all of it took; 429s and faults are counted."""
    api = Scripted(status(429, {"retry-after": "3"}), status(500), status(503, {"retry-after": "7"}), well)
    send(api)
    (span,) = recorded.spans()
    assert attributes(span)["pxt.attempts"] == 4
    assert [point.value for point in recorded.points("pxt.retries")] == [2]
    assert [point.value for point in recorded.points("pxt.rate_limited")] == [1]
    (duration,) = recorded.points("gen_ai.client.operation.duration")
    assert duration.sum == pytest.approx(api.times[-1] - api.times[0])
    assert duration.sum > 10


def test_a_request_that_waits_has_no_span_yet(recorded: Recorded) -> None:
    """What is cancelled before it is sent leaves no span; what is on its way ends as cancelled."""

    async def sent() -> None:
        sender = client(Scripted(never), max_in_flight=1)
        tasks = [asyncio.create_task(sender.send(REQUEST, Meter())) for _ in range(2)]
        await asyncio.sleep(5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(sent())
    (span,) = recorded.spans()
    assert attributes(span)["error.type"] == "CancelledError"
    assert [point.sum for point in recorded.points("gen_ai.client.operation.duration")] == [5]
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_packed_request_is_one_span(
    recorded: Recorded, store: ColumnStore, openai: OpenAIResource, server: ScriptedServer
) -> None:
    """Embeddings of several rows are one request, below the partition's span; they have no output tokens."""
    server.script = vectors
    Tickets(store, openai).run(ROWS, lambda table: embeddings(table.body, model="text-embedding-3-small"))
    (request,), (partition,) = recorded.spans("embeddings text-embedding-3-small"), recorded.spans("compute")
    assert request.parent == partition.context
    assert attributes(request, "gen_ai.usage") == {"gen_ai.usage.input_tokens": 6}
    (tokens,) = recorded.points("gen_ai.client.token.usage")
    assert (tokens.attributes["gen_ai.token.type"], tokens.sum) == ("input", 6)


@pytest.mark.parametrize(
    ("path", "operation", "output"),
    [
        ("/chat/completions", "chat", None),
        ("/responses", "chat", None),
        ("/embeddings", "embeddings", None),
        ("/moderations", "moderations", None),
        ("/images/generations", "generate_content", "image"),
        ("/images/edits", "generate_content", "image"),
        ("/images/variations", "generate_content", "image"),
        ("/audio/speech", "generate_content", "speech"),
        ("/audio/transcriptions", "generate_content", "text"),
        ("/audio/translations", "generate_content", "text"),
    ],
)
def test_operations_are_named_by_the_conventions(
    path: str, operation: str, output: str | None, recorded: Recorded
) -> None:
    """Each endpoint is an operation of the conventions, or named as itself; Azure is a provider of its own."""
    request = Request(Endpoint(path, lambda *_: ParsedAnswer([], None)), {"model": "m"})

    async def asked(url: str) -> None:
        telemetry = find_telemetry()
        assert telemetry is not None
        RequestSpan(telemetry, request, httpx2.URL(url)).failed(ValueError("x"))

    for url in ("https://api.openai.com/v1/", "https://me.openai.azure.com/openai/"):
        run(asked(url))
    plain, azure = recorded.spans(f"{operation} m")
    assert attributes(plain)["gen_ai.operation.name"] == operation
    assert attributes(plain).get("gen_ai.output.type") == output
    assert [attributes(span)["gen_ai.provider.name"] for span in (plain, azure)] == [
        "openai",
        "azure.ai.openai",
    ]
    assert attributes(plain)["server.port"] == 443


@pytest.mark.parametrize("missing", ["package", "buckets"])
def test_without_the_api_package(
    missing: str, monkeypatch: pytest.MonkeyPatch, store: ColumnStore, openai: OpenAIResource
) -> None:
    """Without `opentelemetry-api`, or with one that is too old, columns are computed all the same."""
    if missing == "package":
        monkeypatch.setitem(sys.modules, "opentelemetry", None)
    else:
        monkeypatch.setattr(
            metrics.Meter, "create_histogram", lambda self, name, unit="", description="": None
        )
    find_telemetry.cache_clear()
    try:
        assert find_telemetry() is None
        Tickets(store, openai).run(ROWS)
    finally:
        find_telemetry.cache_clear()
    assert [json.loads(cell)["id"] for cell in values(store, "tickets/c")] == ["chatcmpl-1"] * 2
