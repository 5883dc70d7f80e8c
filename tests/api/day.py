"""A day of an account: a server with its limits, a client outside, and processes that share a ledger."""

import asyncio
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai

from pxt_assets.api.client import Client
from pxt_assets.api.meter import Meter as Used
from pxt_assets.api.request import Request, pack
from pxt_assets.functions import chat_completions, embeddings
from pxt_assets.throttle import Pool
from pxt_assets.throttle.ledger.arithmetic import exchange
from pxt_assets.throttle.ledger.ledger_share import LedgerShare
from pxt_assets.throttle.ledger.messages import ExchangeAnswer, ExchangeRequest
from tests.throttle.ledger.virtual import LoopWorker, MemoryLedger
from tests.throttle.server import Meter, log_normal

HOUR = 3_600.0
ROWS_AT_ONCE = 40
"""Rows that each process asks for at once, of each column."""
CHAT, EMBEDDINGS = "/chat/completions", "/embeddings"
_ANSWERS = {
    CHAT: json.dumps(
        {
            "choices": [{"message": {"content": "Yes."}}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 2},
        }
    ).encode(),
    EMBEDDINGS: json.dumps(
        {"data": [{"index": 0, "embedding": [0.5, 0.25]}], "usage": {"prompt_tokens": 40, "total_tokens": 40}}
    ).encode(),
}


@dataclass
class SpillingMeter(Meter):
    """A dimension of the limits that counts what is lost because nobody took it."""

    spilled: float = 0.0
    taken: float = 0.0
    """By the processes of the day; what the client outside took is in neither."""

    def advance(self, now: float) -> None:
        full = self.level + (now - self.updated) * self.limit / self.window
        super().advance(now)
        self.spilled += max(0.0, full - self.limit)

    @property
    def utilization(self) -> float:
        """What was taken, as a share of all that could have been."""
        return self.taken / (self.taken + self.spilled + self.level)


@dataclass
class SteppingLedger(MemoryLedger):
    """A ledger whose clock can be set."""

    clock: float = 1e9

    def exchange(self, process: str, request: ExchangeRequest) -> ExchangeAnswer:
        self.exchanges += 1
        return exchange(self.pool, process, request, self.clock + asyncio.get_running_loop().time())


@dataclass
class Account:
    """The server: two columns with limits of their own, one by requests, one by tokens."""

    source: random.Random
    meters: dict[str, dict[str, SpillingMeter]] = field(default_factory=dict)
    names_the_short: bool = True
    """Whether a 429 names the dimension that fell short."""
    says_when: bool = True
    """Whether a 429 says when to come again."""
    down: bool = False
    answers: int = 0
    rejections: int = 0
    failures: int = 0

    base_url = httpx2.URL("http://127.0.0.1/v1/")

    def __post_init__(self) -> None:
        self.meters = {
            CHAT: {"requests": SpillingMeter(6, 6), "tokens": SpillingMeter(1e6, 1e6)},
            EMBEDDINGS: {"requests": SpillingMeter(1e4, 1e4), "tokens": SpillingMeter(600, 600)},
        }
        self._latency = {CHAT: log_normal(4, 0.7, self.source), EMBEDDINGS: log_normal(0.3, 0.5, self.source)}

    async def post(self, request: Request) -> httpx2.Response:
        """Answer as the API does, or fail while it is down."""
        await asyncio.sleep(0.02)
        path = request.endpoint.path
        if self.down:
            self.failures += 1
            raise self._error(503, {}, path, "server_error")
        costs = {"requests": 1.0, "tokens": request.size.text}
        short, wait = self.charge(path, costs, ours=True)
        headers = {
            name: text
            for pair in self.meters[path].items()
            for name, text in pair[1].headers(pair[0]).items()
        }
        if wait > 0:
            self.rejections += 1
            raise self._error(
                429,
                headers | self._retry_after(wait),
                path,
                short if self.names_the_short else "rate_limit_error",
            )
        await asyncio.sleep(self._latency[path]())
        self.answers += 1
        return httpx2.Response(200, headers=headers, content=_ANSWERS[path], request=_asked(path))

    def charge(self, path: str, costs: dict[str, float], *, ours: bool) -> tuple[str, float]:
        """Charge a request if all meters allow; return the dimension that is shortest, and until when it is."""
        now = asyncio.get_running_loop().time()
        short, wait = "", 0.0
        for dimension, meter in self.meters[path].items():
            meter.advance(now)
            missing = (costs[dimension] - meter.level) / meter.limit * meter.window
            short, wait = max((short, wait), (dimension, missing), key=lambda pair: pair[1])
        if wait <= 0:
            for dimension, meter in self.meters[path].items():
                meter.level -= costs[dimension]
                meter.taken += costs[dimension] if ours else 0.0
        return short, wait

    def set_down(self, down: bool) -> None:
        """Begin or end an outage. Nothing could have been taken in it."""
        now = asyncio.get_running_loop().time()
        self.down = down
        for meters in self.meters.values():
            for meter in meters.values():
                spilled = meter.spilled
                meter.advance(now)
                if not down:
                    meter.spilled = spilled

    async def client_outside(self, share: float, begin: float, end: float) -> None:
        """Somebody else on the same key, who takes a share of both limits from `begin` to `end`."""
        await asyncio.sleep(begin)
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(self.source.expovariate(1 / 30))
            for path, dimension in ((CHAT, "requests"), (EMBEDDINGS, "tokens")):
                units = self.meters[path][dimension].limit / 2 * share
                for _ in range(max(1, round(units))) if path == CHAT else (0,):
                    tokens = units if path == EMBEDDINGS else 10.0
                    self.charge(path, {"requests": 1.0, "tokens": tokens}, ours=False)

    def _retry_after(self, wait: float) -> dict[str, str]:
        if not self.says_when:
            return {}
        return {"retry-after-ms": str(math.ceil(wait * 1000)), "retry-after": str(math.ceil(wait))}

    def _error(self, status: int, headers: dict[str, str], path: str, kind: str) -> openai.APIStatusError:
        response = httpx2.Response(status, headers=headers, request=_asked(path))
        body = {"message": "Rate limit reached" if status == 429 else "overloaded", "type": kind}
        return openai.APIStatusError("no", response=response, body=body)


def _asked(path: str) -> httpx2.Request:
    return httpx2.Request("POST", f"http://127.0.0.1/v1{path}")


@dataclass
class Day:
    """Three processes that fill two columns for a day, and all that happens meanwhile."""

    source: random.Random = field(default_factory=lambda: random.Random(1))
    ledgers: dict[str, SteppingLedger] = field(
        default_factory=lambda: {CHAT: SteppingLedger(), EMBEDDINGS: SteppingLedger()}
    )
    account: Account = field(init=False)
    said: list[str] = field(default_factory=list)
    used: list[Used] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.account = Account(self.source)

    async def play(self, seconds: float, processes: int = 3) -> None:
        """Let `processes` work for `seconds`."""
        tasks = [asyncio.create_task(self._work(str(number), seconds)) for number in range(processes)]
        await asyncio.gather(*tasks)

    def at(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let something happen at a time of the day."""
        asyncio.get_running_loop().call_at(seconds, happens)

    def resize(self, share: float) -> None:
        """Multiply the limits."""
        now = asyncio.get_running_loop().time()
        for path, dimension in ((CHAT, "requests"), (EMBEDDINGS, "tokens")):
            meter = self.account.meters[path][dimension]
            meter.resize(meter.limit * share, now)

    def set_reachable(self, reachable: bool) -> None:
        """Lose the ledger, or find it."""
        for ledger in self.ledgers.values():
            ledger.reachable = reachable

    def step_clock(self, seconds: float) -> None:
        """Set the ledger's clock."""
        for ledger in self.ledgers.values():
            ledger.clock += seconds

    async def _work(self, name: str, seconds: float) -> None:
        pools = {
            path: Pool(share=LedgerShare(path, LoopWorker(ledger, name)))
            for path, ledger in self.ledgers.items()
        }
        client = Client(
            self.account,  # type: ignore[arg-type]
            lambda request: pools[request.endpoint.path],
            max_in_flight=1_000,
            max_retries=5,
            timeout=600.0,
            outage_timeout=2 * HOUR,
            say=self.said.append,
            rng=self.source,
        )
        used = Used()
        self.used.append(used)
        rows = [
            asyncio.create_task(self._rows(client, used, make))
            for make in (_prompt, _text)
            for _ in range(ROWS_AT_ONCE)
        ]
        await asyncio.sleep(seconds)
        for row in rows:
            row.cancel()
        await asyncio.gather(*rows, return_exceptions=True)

    async def _rows(self, client: Client, used: Used, make: Callable[[random.Random], Any]) -> None:
        while True:
            try:
                await client.send(make(self.source), used)
            except Exception as error:
                self.failed.append(error)
                raise


def _prompt(source: random.Random) -> Any:
    text = "x" * source.randint(20, 2_000)
    return chat_completions.cell_request(
        {"messages": [{"role": "user", "content": text}], "model": "gpt-6-luna"}
    )


def _text(source: random.Random) -> Any:
    text = "x" * source.randint(20, 600)
    return pack([embeddings.cell_request({"input": text, "model": "text-embedding-3-small"})])
