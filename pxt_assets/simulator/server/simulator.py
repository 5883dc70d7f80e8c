"""The state behind one application, and the way of a request to an endpoint.

A request passes, in this order: the key (401), the body (400), the model (404), the limits (429), the latency, a fault if
one is drawn for it (5xx or a broken connection), and the answer. As at the API it is charged when it arrives, before the
latency; a request refused by the first three is not charged.
"""

import asyncio
import json
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from starlette.requests import Request

from pxt_assets.simulator.audio.speech import read_speech_call
from pxt_assets.simulator.audio.transcriptions import read_transcription_call
from pxt_assets.simulator.audio.translations import read_translation_call
from pxt_assets.simulator.batches.background import BackgroundResponses
from pxt_assets.simulator.batches.batches import Batches, BatchRules
from pxt_assets.simulator.batches.file_records import FileRecords
from pxt_assets.simulator.batches.storage import Storage, owner_of
from pxt_assets.simulator.chat.completion import ChatCall, read_chat_call
from pxt_assets.simulator.decisions.decision import read_decision_call
from pxt_assets.simulator.embeddings import read_embedding_call
from pxt_assets.simulator.endpoint import errors, models
from pxt_assets.simulator.endpoint.endpoint import FORM, JSON, ROOT_PLACEHOLDER, Answer, Call, Endpoint
from pxt_assets.simulator.endpoint.errors import SimulatedError
from pxt_assets.simulator.images.pictures import read_edit_call, read_generation_call, read_variation_call
from pxt_assets.simulator.images.served_files import PublishedFiles
from pxt_assets.simulator.moderations import read_moderation_call
from pxt_assets.simulator.prompt.prompt_cache import PromptCache
from pxt_assets.simulator.responses.response import ResponseCall, read_response_call
from pxt_assets.simulator.responses.store import StoredResponses
from pxt_assets.simulator.server.counters import Counters, LaterCounters
from pxt_assets.simulator.server.limits import Headers, RateLimits
from pxt_assets.simulator.server.options import SimulatorOptions
from pxt_assets.simulator.server.request_body import read_body, read_key
from pxt_assets.simulator.server.shared_state import SharedState

ENDPOINTS: dict[str, Endpoint] = {
    "chat/completions": Endpoint(read_chat_call, announced_limits=("requests", "tokens")),
    "responses": Endpoint(read_response_call, announced_limits=("requests", "tokens")),
    "decisions": Endpoint(read_decision_call, announced_limits=("requests", "tokens")),
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


DROPPED = "the simulator drops this connection"


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
        *,
        shared_folder: Path | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.options = options
        self.clock = clock
        self.sleep = sleep
        self.limits = RateLimits(options, shared)
        self.counters = Counters()
        self.later = LaterCounters()
        self.files = PublishedFiles()
        self.responses = StoredResponses(shared=shared)
        self.prompts = PromptCache()
        self.storage = Storage(shared_folder, options.shown, wall=wall)
        self.uploads = FileRecords(self.storage)
        self.batches = Batches(
            self.storage,
            self.uploads,
            BatchRules(
                options.batch_seconds,
                options.batch_expiry_rate,
                options.batch_failure_rate,
                options.batch_queue_limit,
                options.fault_rate,
                options.seed,
            ),
        )
        self.background = BackgroundResponses(
            self.storage,
            seconds=options.background_seconds,
            failure_rate=options.background_failure_rate,
            seed=options.seed,
        )
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
        key = read_key(request)
        spec = ENDPOINTS[endpoint]
        body, identity = await read_body(request, spec.content_types)
        call = await self.read_call(endpoint, body, key)
        if key.startswith("sk-no-quota"):
            raise errors.no_quota()
        tokens = call.charge(count_max_tokens=self.options.count_max_tokens)
        headers = self.limits.admit(
            key, call.model, tokens, arrived_at, announced_limits=spec.announced_limits
        )
        try:
            if await self.meet_fault(arrived_at):
                raise DroppedConnectionError(DROPPED)
            if isinstance(call, ResponseCall) and call.request.background:
                return self._answer_in_background(call, identity, key), headers
            answer = await self.answer_call(endpoint, call, identity)
            return self.publish(answer, str(request.base_url)), headers
        except SimulatedError as exc:
            # An admitted request gets the headers of the limits with its error too.
            exc.headers.extend(headers)
            raise

    async def meet_fault(self, arrived_at: float) -> bool:
        """Wait for the latency, and for more if a slow answer is drawn; whether the connection is to be dropped.

        Raises a 500 or a 503 if one is drawn.
        """
        fault = self._draw_fault()
        await self._wait_until(
            arrived_at + self._draw_latency() + self.options.slow_seconds * (fault == "slow")
        )
        if fault in ("500", "503"):
            raise errors.server_error() if fault == "500" else errors.server_overloaded()
        return fault == "dropped"

    def _answer_in_background(self, call: ResponseCall, identity: bytes, key: str) -> Answer:
        """The answer to a request that is answered later, which has an id of its own each time."""
        owner = owner_of(key)
        digest = blake2b(identity + uuid.uuid4().bytes, digest_size=12).hexdigest()
        answer = call.answer_later(digest)
        self.prompts.store(call.cache, answer.input_tokens, self.clock())
        body = self.background.create(owner, f"sim-resp-{digest}", json.loads(answer.body))
        return replace(answer, body=json.dumps(body).encode())

    async def read_call(self, endpoint: str, body: dict[str, Any], key: str) -> Call:
        """The call that `body` asks for. Raises a `SimulatedError` for one that the API would refuse."""
        spec = ENDPOINTS[endpoint]
        call = await asyncio.to_thread(spec.read, body) if spec.in_thread else spec.read(body)
        if not models.is_served_at(endpoint, call.model, self.options.models):
            meant = models.suggestion(endpoint, call.model, self.options.models)
            raise errors.unknown_model(call.model, meant, endpoint)
        if isinstance(call, ResponseCall):
            call = call.continue_from(self.responses.for_key(key))
        return self.looked_up(call, key)

    def looked_up(self, call: Call, key: str) -> Call:
        """The call with what is in the cache of prompts now; a call that waits for long is looked up again."""
        if not isinstance(call, ChatCall | ResponseCall):
            return call
        return replace(call, cache=self.prompts.look_up(call.cache, key, call.model, self.clock()))

    async def answer_call(self, endpoint: str, call: Call, identity: bytes) -> Answer:
        """The answer to a call; `identity` is equal for equal requests. Raises a 400 for what only now proves impossible."""
        digest = blake2b(b"%d %b" % (self.options.seed, identity), digest_size=12).hexdigest()
        if ENDPOINTS[endpoint].in_thread:
            return await asyncio.to_thread(call.answer, digest)
        answer = call.answer(digest)
        if isinstance(call, ChatCall | ResponseCall):
            self.prompts.store(call.cache, answer.input_tokens, self.clock())
        return answer

    def publish(self, answer: Answer, root_url: str) -> Answer:
        """Serve the files of `answer` below `root_url`, and return it with the URLs that lead to them."""
        if not answer.files:
            return answer
        self.files.publish(answer.files, self.clock())
        root = json.dumps(root_url.rstrip("/"))[1:-1]
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
