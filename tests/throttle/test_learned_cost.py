"""Prices learned from a server that charges by rules of its own, with answers that take their time."""

import heapq
import itertools
import math
import random
import statistics
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.throttle import LearnedCost, RequestSize
from pxt_assets.throttle.learned_cost import GrantTotals

LIMIT, RATE = 60_000.0, 1_000.0
Charge = Callable[[RequestSize], float]

SERVERS: dict[str, Charge] = {
    "text alone": lambda size: 3 + size.text,
    "text and outputs": lambda size: 3 + size.text + size.outputs,
    "text and tools": lambda size: size.text + 1.5 * size.tools,
    "rendered tokens": lambda size: 25 + 1.25 * size.text,
}


def rows(kind: str, n: int = 1_000, seed: int = 5) -> list[RequestSize]:
    """Requests of one kind."""
    source = random.Random(seed)
    sizes = []
    for _ in range(n):
        text = float(round(source.lognormvariate(math.log(100), 0.6)))
        match kind:
            case "equal":
                sizes.append(RequestSize(76.0))
            case "equal, with outputs":
                sizes.append(RequestSize(76.0, 500.0))
            case "texts":
                sizes.append(RequestSize(text))
            case "texts, with outputs":
                sizes.append(RequestSize(text, source.choice([100.0, 500.0, 1_000.0])))
            case "texts, with equal outputs":
                sizes.append(RequestSize(text, 500.0))
            case "texts, with tools":
                sizes.append(RequestSize(text, tools=source.choice([0.0, 200.0])))
    return sizes


class World:
    """A bucket with 30 requests before it: granted by what is there, answered later, out of order."""

    def __init__(self, charge: Charge, *, seed: int, others: float = 0.0, noise: float = 0.0) -> None:
        self.learned = LearnedCost()
        self.charge = charge
        self.others = others
        """Units a second that somebody else takes."""
        self.noise = noise
        self.source = random.Random(seed)
        self.now = 0.0
        self.level = LIMIT / 10
        self.distort: Callable[[float], float] = lambda level: level

    def send(self, sizes: Sequence[RequestSize], in_flight: int = 30) -> None:
        """Send them all, and learn from the answers."""
        order = itertools.count()
        waiting = list(reversed(sizes))
        flying, promised = 0, 0.0
        events: list[
            tuple[float, int, str, tuple[GrantTotals, RequestSize] | tuple[GrantTotals, float] | None]
        ] = []
        heapq.heappush(events, (self.now, next(order), "grant", None))
        while events:
            when, _, event, subject = heapq.heappop(events)
            self.level += (RATE - self.others) * (when - self.now)
            self.level, self.now = min(self.level, LIMIT), when
            if event == "grant":
                while waiting and flying < in_flight:
                    cost = self.charge(waiting[-1])
                    if promised + cost > self.level - 0.3 * RATE:
                        break
                    size = waiting.pop()
                    flying, promised = flying + 1, promised + cost
                    mark = self.learned.count(size, when)
                    arrives = when + self.source.random() * 0.01
                    heapq.heappush(events, (arrives, next(order), "arrive", (mark, size)))
                if waiting:
                    heapq.heappush(events, (when + 0.01, next(order), "grant", None))
            elif event == "arrive":
                mark, size = subject
                promised -= self.charge(size)
                self.level -= self.charge(size) * (1 + self.noise * self.source.uniform(-1, 1))
                answered = when + self.source.lognormvariate(math.log(0.3), 0.4)
                seen = self.distort(math.floor(self.level))
                heapq.heappush(events, (answered, next(order), "answer", (mark, seen)))
            else:
                mark, seen = subject
                flying -= 1
                self.learned.observe(mark, seen, limit=LIMIT, rate=RATE)

    def error(self, sizes: Sequence[RequestSize]) -> float:
        """Mean relative error of the estimates of these requests."""
        true = [self.charge(size) for size in sizes]
        told = [self.learned.estimate(size) for size in sizes]
        return statistics.mean(abs(a - b) / b for a, b in zip(told, true, strict=True))


KINDS = [
    "equal",
    "equal, with outputs",
    "texts",
    "texts, with outputs",
    "texts, with equal outputs",
    "texts, with tools",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("server", SERVERS)
def test_what_the_server_takes_is_learned_within_some_tens_of_requests(server, kind):
    """After 60 requests with 30 in flight the estimates are right within 15 %, after 300 within 5 %."""
    sizes = rows(kind)
    after = {60: [], 300: []}
    for seed in range(5):
        world = World(SERVERS[server], seed=seed)
        world.send(sizes[:60])
        after[60].append(world.error(sizes))
        world.send(sizes[60:300])
        after[300].append(world.error(sizes))
    assert statistics.median(after[60]) < 0.15
    assert max(after[300]) < 0.05


def test_at_first_everything_is_counted():
    """Before anything is known, text, outputs, tools and images all cost what they may."""
    assert LearnedCost().estimate(RequestSize(100, 500, 1, 50)) == 100 + 500 + 765 + 50


def test_charges_that_vary_from_request_to_request_are_met_on_average():
    """A server that counts real tokens, 30 % more or less than the characters tell, is followed."""
    world = World(lambda size: 1.25 * size.text, seed=1, noise=0.3)
    world.send(rows("texts"))
    told = sum(world.learned.estimate(size) for size in rows("texts"))
    assert told == pytest.approx(sum(world.charge(size) for size in rows("texts")), rel=0.05)


@pytest.mark.parametrize("level", [0.0, LIMIT, 1e12])
def test_a_wrong_answer_unlearns_nothing(level):
    """One answer with a level out of all proportion changes no price."""
    sizes = rows("texts, with outputs")
    world = World(SERVERS["text alone"], seed=1)
    world.send(sizes[:500])
    before = world.error(sizes)
    answers = itertools.count()
    world.distort = lambda seen: level if next(answers) % 50 == 25 else seen
    world.send(sizes[500:])
    assert world.error(sizes) < before + 0.02


def test_a_server_that_changes_its_rules_is_followed():
    """When outputs begin to count, that is learned as it was learned that they did not."""
    sizes = rows("texts, with equal outputs")
    world = World(SERVERS["text alone"], seed=1)
    world.send(sizes)
    world.charge = SERVERS["text and outputs"]
    world.send(sizes)
    assert world.error(sizes) < 0.1


def test_the_traffic_of_others_is_forgotten_when_it_ends():
    """While others take 30 %, requests seem to cost more; afterwards the estimates are right again."""
    sizes = rows("texts")
    world = World(SERVERS["text alone"], seed=1, others=0.3 * RATE)
    world.send(sizes)
    assert 0.1 < world.error(sizes) < 0.6
    world.others = 0.0
    world.send(sizes)
    assert world.error(sizes) < 0.06


def test_a_full_bucket_teaches_nothing_wrong():
    """While more flows in than is taken, what was left is no measure of many requests, and is not taken for one."""
    learned = LearnedCost()
    for second in range(200):
        marks = [learned.count(RequestSize(100.0), float(second)) for _ in range(5)]
        learned.observe(marks[-1], LIMIT - 500, limit=LIMIT, rate=RATE)
    assert learned.estimate(RequestSize(100.0)) == pytest.approx(100, rel=0.3)


def test_a_rejected_request_is_no_charge():
    """What a rejection left uncharged is not taken for a lower price of the others."""
    sizes = rows("texts")
    world = World(SERVERS["text alone"], seed=1)
    for first in range(0, 1_000, 100):
        world.send(sizes[first : first + 100])
        world.learned.count(RequestSize(5_000.0), world.now)
        world.learned.skip_earlier_grants()
    assert world.error(sizes) < 0.06


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e7), st.floats(0, 1e6), st.floats(-1e9, 1e12), st.floats(0, 100), st.floats(1, 1e9)
        ),
        max_size=60,
    )
)
def test_an_estimate_is_always_a_number(steps):
    """Whatever servers say, a request costs at least one unit, and never an infinite number of them."""
    learned, now = LearnedCost(), 0.0
    for text, outputs, level, seconds, limit in steps:
        now += seconds
        mark = learned.count(RequestSize(text, outputs), now)
        learned.observe(mark, level, limit=limit, rate=limit / 60)
        assert 1 <= learned.estimate(RequestSize(100.0, 100.0, 1.0, 100.0)) < math.inf
