import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from pxt_assets.simulator import SimulatorOptions, create_app

CHAT = "/v1/chat/completions"


class FakeTime:
    """A clock that moves only when somebody sleeps, or is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class InProcess:
    """A simulator without a socket, and blocking calls to it."""

    def __init__(
        self, options: SimulatorOptions, sleep: Callable[[float], Awaitable[None]] | None = None
    ) -> None:
        self.time = FakeTime()
        self.app = create_app(
            options, clock=self.time.clock, sleep=sleep or self.time.sleep, wall=self.time.clock
        )

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://simulator")

    def request(
        self, method: str, path: str, content: bytes | None = None, key: str | None = "sk-test"
    ) -> httpx2.Response:
        async def send() -> httpx2.Response:
            async with self.client() as client:
                headers = {} if key is None else {"authorization": f"Bearer {key}"}
                return await client.request(method, path, content=content, headers=headers)

        return asyncio.run(send())

    def post(self, path: str, body: Any, key: str | None = "sk-test") -> httpx2.Response:
        return self.request("POST", path, json.dumps(body).encode(), key)

    def get(self, path: str, key: str | None = "sk-test") -> httpx2.Response:
        return self.request("GET", path, key=key)

    def chat(self, text: str = "Hello there.", key: str = "sk-test", **arguments: Any) -> httpx2.Response:
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **arguments}
        return self.post(CHAT, body, key)

    def embed(self, given: Any, **arguments: Any) -> httpx2.Response:
        return self.post("/v1/embeddings", {"model": "text-embedding-3-small", "input": given, **arguments})

    def moderate(self, given: Any, **arguments: Any) -> httpx2.Response:
        return self.post("/v1/moderations", {"input": given, **arguments})

    def counters(self) -> dict[str, Any]:
        return self.get("/simulator/counters", key=None).json()


@pytest.fixture
def simulate() -> Callable[..., InProcess]:
    """Simulators by their options, and by how they sleep, if not on a fake clock."""
    return lambda sleep=None, **options: InProcess(SimulatorOptions(**options), sleep)


@pytest.fixture
def simulator(simulate: Callable[..., InProcess]) -> InProcess:
    """A simulator without limits, latency and faults."""
    return simulate()
