"""How many requests may be in flight, where answers carry no limits: found by their latency.

Such a server (llama.cpp, Ollama, vLLM, TEI, a gateway) works on so many requests at once, and puts the others into a
queue in silence. By Little's law `throughput = in flight / latency`: so where twice as many take twice as long, the
server does no more by it. The elasticity `1 - ln(latency ratio) / ln(in flight ratio)` says which part of more in
flight becomes throughput: 1 where nothing queues, 0 where all that is more only waits.

The search goes through these stages; a step is judged by the latencies of requests that were granted with nearly as
many in flight as the step allows, so that neither what was in flight before it nor a half-filled window counts.

- `OPEN`: nothing is bounded, since headers are expected or requests go at a configured rate. Only a queue that shows
  (latency that grows as fast as what is in flight) bounds them, and leads to `HOLDING`.
- `GROWING`: from a few upwards, four times as many a round trip, while enough of it becomes throughput. At the step
  that gains too little it goes back to what the throughput found and the latency before the step say: `HOLDING`.
- `HOLDING`: the latency is averaged. From time to time more are tried, at the price of some latency; and fewer, where
  the latency is above the lowest seen, so that requests seem to queue. Tries that fail come ever more seldom.
- `TRYING_MORE`: judged, and kept if it gains enough: then it grows on, twice as many a step. Else back.
- `TRYING_FEWER`: kept if it costs as good as no throughput. Else back.

Requests whose answers were lost after a time that an answer would have taken are the strongest sign: several of them
take the step back, or halve what is in flight; all that was granted before that counts no further. Faults that come at
once say nothing of a queue. Where the client itself is the bottleneck, its own delay is in the latency, and growth ends
where more in flight gains nothing for that reason.

Clients that share a server each gain by a longer queue, at the others' cost. So that they do not outbid each other,
more than `LONG_QUEUE` times the lowest latency needs a gain that no such client sees.
"""

import math
from enum import Enum

from pxt_assets.throttle.latency_round import (
    FEWEST_SAMPLES,
    GROWING_SHARE,
    MOST_SAMPLES,
    MOST_WEIGHT,
    SAMPLES_BY_VARIANCE,
    LatencyRound,
    Mean,
)

FIRST_SIZE = 4
"""Requests in flight at the beginning."""
GROWTH = 4.0
"""Factor on the size in a step while it grows from the beginning."""
SLOW_GROWTH = 2.0
SLOW_SIZE = 16
"""The same up to this size, and after more were tried with success."""
NEEDED_GAIN = 0.25
"""Elasticity from which a step upwards is kept: twice as many in flight for a fifth more throughput."""
SMALL_GAIN = 0.4
"""The same of small sizes: servers that gain slowly take more than that."""
FILLING_LATENCIES = 2.0
"""Latencies after which a step is judged by what came to be in flight, if that is less than the step allows."""
CHEAP_LOSS = 0.12
"""Elasticity up to which a step downwards is kept: a quarter fewer in flight for 3 % less throughput."""
LONG_QUEUE = 6.0
LONG_QUEUE_GAIN = 0.65
"""From so many times the lowest latency on, the elasticity that a step upwards needs; two clients alike see a half."""
NO_QUEUE_GAIN = 0.85
"""Elasticity from which on latency has nothing to do with what is in flight."""
FULL_SHARE = 0.75
"""Share of a size that must be in flight at the grant of a request whose latency counts."""
MOST_FEWER = 0.75
"""Factor on the size when fewer are tried, at least."""
QUEUE_SIGN = 1.3
"""Factor on the lowest latency from which on requests seem to queue."""
FIRST_INTERVAL = 1
LONGEST_INTERVAL = 16
"""Rounds until more are tried, at first and at most."""
FIRST_FEWER_INTERVAL = 1
LONGEST_FEWER_INTERVAL = 64
"""The same for fewer: it costs throughput."""
INTERVAL_AFTER_LOSS = 8
LONGEST_INTERVAL_AFTER_LOSS = 128
"""Rounds until more are tried after that cost answers, at first and at most."""
LOST_SHARE = 0.12
"""Share of lost among the latest outcomes, above which fewer go: three in a row."""
OUTCOMES_REMEMBERED = 20
LOST_LATENCY = 1.5
"""Factor on the latency after which a lost answer is taken for one that queued too long."""
FIRST_LOST_SECONDS = 1.0
"""The same in seconds, before the first answer."""
OTHERS_SECONDS = 0.2
"""Seconds after which a request is asked for again that waits for what others of this process have in flight."""


class Stage(Enum):
    """Where the search is."""

    OPEN = "open"
    GROWING = "growing"
    HOLDING = "holding"
    TRYING_MORE = "trying more"
    TRYING_FEWER = "trying fewer"


class InFlightSearch:
    """Finds the number in flight that a server can use. Times are seconds on one clock.

    `size` is that number, infinite while nothing is bounded; with `from_few` it begins with a few. A request that was
    taken with `at_once` in flight, itself included, at the time `granted_at` must be told as one of `answered`, `lost`
    and `ended`.
    """

    __slots__ = (
        "_base",
        "_before",
        "_fewer_in",
        "_fewer_interval",
        "_levels",
        "_lost_share",
        "_more_in",
        "_more_interval",
        "_round",
        "_step",
        "_usual",
        "in_flight",
        "is_off",
        "size",
        "stage",
    )

    def __init__(self, *, from_few: bool = False) -> None:
        self.size: float = FIRST_SIZE if from_few else math.inf
        """Requests that may be in flight."""
        self.in_flight = 0
        self.is_off = False
        """Whether answers name limits, so that nothing is bounded here."""
        self.stage = Stage.GROWING if from_few else Stage.OPEN
        self._before: tuple[float, Mean] | None = None  # size and latency before this step
        self._step = GROWTH
        self._usual = Mean()  # latency of the held size
        self._base = math.inf  # logarithm of the lowest latency seen
        self._more_in = self._more_interval = FIRST_INTERVAL  # rounds until more are tried
        self._fewer_in = self._fewer_interval = FIRST_FEWER_INTERVAL
        self._lost_share = 0.0
        self._levels: dict[int, Mean] = {}  # while open: by powers of four in flight
        self._round = self._next_round(-math.inf)

    @property
    def found(self) -> int | None:
        """The number in flight that the latency allows; None while nothing shows that there is one."""
        if self.is_off or self.stage in (Stage.OPEN, Stage.GROWING):
            return None
        size = self.size if self.stage is Stage.HOLDING or self._before is None else self._before[0]
        return max(1, int(size))

    def wait(self, own_in_flight: int) -> float:
        """Return the seconds until one more may be sent, 0 for now, infinite until the next answer.

        `own_in_flight` are the caller's own: who has nothing in flight may always send.
        """
        if self.in_flight + 1 <= self.size or own_in_flight == 0 or self.is_off:
            return 0.0
        return math.inf if own_in_flight >= self.in_flight else OTHERS_SECONDS

    def take(self, granted_at: float) -> int:
        """Count a request that is sent; return how many are in flight, itself included."""
        self.in_flight += 1
        self._round.granted(self.in_flight, granted_at)
        return self.in_flight

    def ended(self, at_once: int, granted_at: float) -> None:
        """Count a request that ended in a way that says nothing of the latency."""
        self.in_flight = max(0, self.in_flight - 1)
        self._round.left(at_once, granted_at)

    def answered(self, at_once: int, granted_at: float, now: float) -> None:
        """Count an answer."""
        self.in_flight = max(0, self.in_flight - 1)
        self._lost_share *= 1 - 1 / OUTCOMES_REMEMBERED
        if self.is_off:
            return
        if self.stage is Stage.OPEN:
            self._watch(at_once, now - granted_at, now)
        elif self._round.answered(at_once, granted_at, now):
            self._end_round(now)
        elif self._before is not None and self.in_flight < FULL_SHARE * self.size:
            self._fit(*self._before, now)

    def lost(self, at_once: int, granted_at: float, now: float) -> None:
        """Count a request whose answer was lost; several that were waited for as long as for an answer are a sign."""
        usual = self._before[1].latency if self._before else self._usual.latency
        is_queued = now - granted_at >= (LOST_LATENCY * usual or FIRST_LOST_SECONDS)
        if granted_at < self._round.since or not is_queued:
            self.ended(at_once, granted_at)
            return
        self.in_flight = max(0, self.in_flight - 1)
        self._lost_share += (1 - self._lost_share) / OUTCOMES_REMEMBERED
        if self._lost_share > LOST_SHARE:
            self._lost_share = 0.0
            self._give_way(granted_at, now)
        elif self._round.answered(at_once, granted_at, now) and self.stage is not Stage.OPEN:
            self._end_round(now)

    def follow(self, size: float, now: float) -> None:
        """Hold a size that another process has found."""
        if size != self.size:
            self._hold(size, now)

    def _end_round(self, now: float) -> None:
        """Judge the size by the latency of the round that has ended."""
        mean = self._round.mean(now)
        self._base = min(self._base, mean.highest)
        if self.stage is Stage.HOLDING:
            self._usual.merge(mean, max(MOST_WEIGHT, 2 * self.size))
            self._round = self._next_round(now)
            self._try_another(now)
        elif self._before is None:
            self._grow(mean, now)
        else:
            size, before = self._before
            gain = _elasticity(size, before, self.size, mean)
            if self.stage is Stage.TRYING_FEWER:
                self._judge_fewer(gain, mean, size, before, now)
            else:
                self._judge_more(gain, mean, size, before, now)

    def _fit(self, size: float, before: Mean, now: float) -> None:
        """Judge a step by what came to be in flight, where something else bounds it."""
        reached = self.in_flight + 1.0
        if reached > size and now - self._round.since > FILLING_LATENCIES * before.latency:
            self._resize(reached, now)

    def _try_another(self, now: float) -> None:
        """Try another size when it is time."""
        self._more_in -= 1
        self._fewer_in -= 1
        times = math.exp(self._usual.log - self._base)
        if self._more_in <= 0:
            self._try(Stage.TRYING_MORE, math.ceil(self.size * (2.0 if self.size < SLOW_SIZE else 1.5)), now)
        elif self.size > 1 and times > QUEUE_SIGN and self._fewer_in <= 0:
            fewer = math.ceil(self.size * max(MOST_FEWER, 1 / times))
            self._try(Stage.TRYING_FEWER, min(math.ceil(self.size) - 1, fewer), now)

    def _try(self, stage: Stage, size: float, now: float) -> None:
        self.stage = stage
        self._before = self.size, self._usual
        self._resize(size, now)

    def _judge_fewer(self, gain: float, mean: Mean, size: float, before: Mean, now: float) -> None:
        cheap = LONG_QUEUE_GAIN - 0.1 if self._is_long(before) else CHEAP_LOSS
        if gain <= cheap:
            self._fewer_in = self._fewer_interval = FIRST_FEWER_INTERVAL
            self._usual = mean
            self._hold(self.size, now)
            return
        self._fewer_in = self._fewer_interval = min(LONGEST_FEWER_INTERVAL, 4 * self._fewer_interval)
        if gain >= NO_QUEUE_GAIN:
            self._base = max(self._base, mean.log)
        self._hold(size, now)

    def _judge_more(self, gain: float, mean: Mean, size: float, before: Mean, now: float) -> None:
        needed = SMALL_GAIN if self.size <= SLOW_SIZE else NEEDED_GAIN
        if self._is_long(mean):
            needed = LONG_QUEUE_GAIN
        if gain >= needed:
            if self.stage is Stage.TRYING_MORE:
                self._step = SLOW_GROWTH
                self._fewer_in = self._fewer_interval = FIRST_FEWER_INTERVAL
            self._more_in = self._more_interval = FIRST_INTERVAL
            self._grow(mean, now)
        elif self.stage is Stage.TRYING_MORE:
            longer = max(self._more_interval, min(LONGEST_INTERVAL, 2 * self._more_interval))
            self._more_in = self._more_interval = longer
            self._hold(size, now)
        else:
            useful = math.ceil(self.size * before.latency / mean.latency)
            self._usual = Mean()
            self._hold(min(self.size, max(FIRST_SIZE, size / 2, useful)), now)

    def _is_long(self, mean: Mean) -> bool:
        """Whether as good as all of a latency is a queue's."""
        return mean.log > self._base + math.log(LONG_QUEUE)

    def _grow(self, mean: Mean, now: float) -> None:
        self.stage = Stage.GROWING
        self._before = self.size, mean
        self._resize(self.size * (SLOW_GROWTH if self.size < SLOW_SIZE else self._step), now)

    def _hold(self, size: float, now: float) -> None:
        self.stage, self._before = Stage.HOLDING, None
        self._resize(size, now)

    def _give_way(self, granted_at: float, now: float) -> None:
        """Take a step back, or halve the size, since answers were lost."""
        size, interval = min(self.size, self.in_flight + 1.0) / 2, INTERVAL_AFTER_LOSS
        if self.stage in (Stage.GROWING, Stage.TRYING_MORE) and self._before is not None:
            size, interval = self._before[0], max(interval, 2 * self._more_interval)
        self._more_in = self._more_interval = min(LONGEST_INTERVAL_AFTER_LOSS, interval)
        self._usual = Mean()
        self._hold(size, now)
        self._round.since += now - granted_at  # what waits at the server by now is worked on until about then

    def _resize(self, size: float, now: float) -> None:
        self.size = max(1.0, size)
        self._round = self._next_round(now)

    def _next_round(self, now: float) -> LatencyRound:
        """Return the round that tells the latency of the present size."""
        if self.stage is Stage.OPEN:
            return LatencyRound(now, 0)
        fewest = FULL_SHARE * self.size
        if self.stage is Stage.GROWING:
            if self._before is None:
                return LatencyRound(now, FIRST_SIZE, share=GROWING_SHARE)
            quick = self._step == GROWTH
            return LatencyRound(
                now, max(4, self.size / 8) if quick else max(8, self.size / 4), fewest, share=GROWING_SHARE
            )
        if self.stage is Stage.TRYING_MORE and self._before is not None:
            fewest = max(fewest, min(self._before[0], self.size - 1))
        variance, most = self._usual.variance, self.size
        if self.stage is Stage.TRYING_FEWER:  # the other tries cost no throughput
            variance, most = variance / 3, self.size / 2
        samples = min(MOST_SAMPLES, 8 * self.size, max(FEWEST_SAMPLES, SAMPLES_BY_VARIANCE * variance))
        return LatencyRound(now, max(samples, most), fewest)

    def _watch(self, at_once: int, latency: float, now: float) -> None:
        """Bound what is in flight if its latency has grown with it since there were four times fewer."""
        number = (at_once.bit_length() + 1) // 2
        level = self._levels.setdefault(number, Mean())
        level.add(latency, at_once, 2 * FEWEST_SAMPLES)
        fewer = self._levels.get(number - 1)
        if level.count < FEWEST_SAMPLES / 2 or fewer is None or fewer.count < 3:
            return
        if _elasticity(fewer.at_once, fewer, level.at_once, level) < CHEAP_LOSS:
            self._base = min(one.log for one in self._levels.values() if one.count >= 3)
            size = math.ceil(level.at_once * math.exp(self._base - level.log))
            self._levels.clear()
            self._hold(size, now)


def _elasticity(size: float, mean: Mean, other_size: float, other: Mean) -> float:
    """Return which part of a change of what is in flight becomes throughput: 1 all of it, 0 nothing."""
    return 1.0 if size == other_size else 1 - (other.log - mean.log) / math.log(other_size / size)
