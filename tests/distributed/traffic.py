"""What a simulator in another process meets, looked at again and again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.distributed.world import World

LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Look:
    """The counters at one moment, less those from before."""

    when: float
    """Seconds, monotonic."""
    requests: int
    answered: int
    rate_limited: int
    in_flight: int


@dataclass
class Traffic:
    """The looks by now, the oldest first."""

    looks: list[Look] = field(default_factory=list)

    @property
    def now(self) -> Look:
        return self.looks[-1]

    @property
    def seconds(self) -> float:
        """From the first request to the last."""
        first = next(look.when for look in self.looks if look.requests)
        last = next(look.when for look in self.looks if look.requests == self.now.requests)
        return last - first

    def at(self, when: float) -> Look:
        """The last look before that moment."""
        return [look for look in self.looks if look.when <= when][-1]


@contextmanager
def watched(world: World) -> Iterator[Traffic]:
    """Within the block, and from its beginning on, what the world's simulator meets."""
    traffic, ended = Traffic(), threading.Event()
    before: dict[str, Any] = world.counters()

    def look() -> None:
        found = world.counters()
        counts = {name: found[name] - before[name] for name in ("requests", "answered", "rate_limited")}
        traffic.looks.append(Look(time.monotonic(), **counts, in_flight=found["in_flight"]))

    def keep_looking() -> None:
        while not ended.wait(LOOK_SECONDS):
            look()

    look()
    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield traffic
    finally:
        ended.set()
        thread.join()
        look()
