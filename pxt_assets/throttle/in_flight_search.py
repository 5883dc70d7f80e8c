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
- `HOLDING`: the latency is averaged. From time to time more are tried, at the price of some latency; and fewer, unless
  the latency is known to be one without a queue. Tries that fail come ever more seldom. Where the latency has changed
  beyond chance, or the number is one that was told or that has just grown, fewer are tried first, by a larger step.
- `TRYING_MORE`: judged, and kept if it gains enough: then it grows on, twice as many a step. Else back, and as many more
  as the gain says.
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

from pxt_assets.throttle.in_flight_thresholds import (
    ALLOWED_QUEUE,
    CHANGED_GAIN,
    CHEAP_LOSS,
    FEWER,
    FEWEST,
    FILLING_LATENCIES,
    FIRST_FEWER_INTERVAL,
    FIRST_INTERVAL,
    FIRST_LOST_SECONDS,
    FIRST_SIZE,
    FOLLOWED_SECONDS,
    FULL_SHARE,
    GROWTH,
    INTERVAL_AFTER_LOSS,
    LONG_QUEUE,
    LONG_QUEUE_GAIN,
    LONGEST_FEWER_INTERVAL,
    LONGEST_INTERVAL,
    LONGEST_INTERVAL_AFTER_LOSS,
    LOST_LATENCY,
    LOST_SHARE,
    NEEDED_GAIN,
    NO_QUEUE_GAIN,
    OTHERS_SECONDS,
    OUTCOMES_REMEMBERED,
    QUEUE_SIGN,
    SLOW_GROWTH,
    SLOW_SIZE,
    SMALL_GAIN,
    SURE_LOSS,
)
from pxt_assets.throttle.latency_round import (
    FEWEST_SAMPLES,
    GROWING_SHARE,
    MOST_SAMPLES,
    MOST_WEIGHT,
    SAMPLES_BY_VARIANCE,
    LatencyRound,
    Mean,
    elasticity,
)


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

    def __init__(self, *, from_few: bool = False) -> None:
        self.size: float = FIRST_SIZE if from_few else math.inf
        """Requests that may be in flight."""
        self.in_flight = 0
        self.is_off = False
        """Whether answers name limits, so that nothing is bounded here."""
        self.leads = True
        """Whether this process searches; else it follows another one that shares the server."""
        self.scale = 1.0
        """What all processes may have in flight, by what this one may."""
        self.stage = Stage.GROWING if from_few else Stage.OPEN
        self._before: tuple[float, Mean] | None = None  # size and latency before this step
        self._step = GROWTH
        self._usual = Mean()  # latency of the held size
        self._base = math.inf  # logarithm of the lowest latency seen
        self._more_in = self._more_interval = FIRST_INTERVAL  # rounds until more are tried
        self._fewer_in = self._fewer_interval = FIRST_FEWER_INTERVAL
        self._base_known = False  # whether fewer were tried, and nothing queued
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

    @property
    def proven(self) -> float:
        """The size without the step that is not judged yet."""
        return self.size if self._before is None else self._before[0]

    def wait(self, own_in_flight: int) -> float:
        """Return the seconds until one more may be sent, 0 for now, infinite until the next answer.

        `own_in_flight` are the caller's own: who has nothing in flight may always send.
        """
        if self.in_flight + 1 <= self.size / self.scale or own_in_flight == 0 or self.is_off:
            return 0.0
        return math.inf if own_in_flight >= self.in_flight else OTHERS_SECONDS

    def take(self, granted_at: float) -> int:
        """Count a request that is sent; return how many are in flight, itself included."""
        self.in_flight += 1
        at_once = math.ceil(self.in_flight * self.scale)
        self._round.granted(at_once, granted_at)
        return at_once

    def ended(self, at_once: int, granted_at: float) -> None:
        """Count a request that ended in a way that says nothing of the latency."""
        self.in_flight = max(0, self.in_flight - 1)
        self._round.left(at_once, granted_at)

    def answered(self, at_once: int, granted_at: float, now: float) -> None:
        """Count an answer."""
        self.in_flight = max(0, self.in_flight - 1)
        self._lost_share *= 1 - 1 / OUTCOMES_REMEMBERED
        if self.is_off or not self.leads:
            return
        if self.stage is Stage.OPEN:
            self._watch(at_once, now - granted_at, now)
        elif self._round.answered(at_once, granted_at, now):
            self._end_round(now)
        elif self._before is not None and self.in_flight * self.scale < FULL_SHARE * self.size:
            self._fit(*self._before, now)

    def lost(self, at_once: int, granted_at: float, now: float) -> None:
        """Count a request whose answer was lost; several that were waited for as long as for an answer are a sign."""
        usual = min(math.exp(self._base), self._before[1].latency if self._before else self._usual.latency)
        is_queued = now - granted_at >= (LOST_LATENCY * usual or FIRST_LOST_SECONDS)
        if granted_at < self._round.since or not is_queued or not self.leads:
            self.ended(at_once, granted_at)
            return
        self.in_flight = max(0, self.in_flight - 1)
        self._lost_share += (1 - self._lost_share) / OUTCOMES_REMEMBERED
        if self._lost_share > LOST_SHARE:
            self._lost_share = 0.0
            self._give_way(granted_at, now)
        elif self._round.answered(at_once, granted_at, now) and self.stage is not Stage.OPEN:
            self._end_round(now)

    def share(self, size: float, part: float, leads: bool, told: float | None, now: float) -> None:
        """Take note of the size that all processes may have together, of this one's part, and of whether it `leads`.

        `told` is the size that it reported itself as the one that leads: it may have found another one since.
        """
        begins, self.leads, self.scale = leads and not self.leads, leads, max(1.0, size / part)
        if begins or size != (told if leads and told is not None else self.size):
            self._usual = Mean()
            self._base = math.inf
            self._doubt()
            self._hold(size, now)

    def _end_round(self, now: float) -> None:
        """Judge the size by the latency of the round that has ended."""
        mean = self._round.mean(now)
        self._base = min(self._base, mean.highest)
        if self.stage is Stage.HOLDING:
            self._average(mean)
            self._round = self._next_round(now)
            self._try_another(now)
        elif self._before is None:
            self._grow(mean, now)
        else:
            size, before = self._before
            gain = elasticity(size, before, self.size, mean)
            if self.stage is Stage.TRYING_FEWER:
                self._judge_fewer(gain, mean, size, before, now)
            else:
                self._judge_more(gain, mean, size, before, now)

    def _average(self, mean: Mean) -> None:
        """Count a round of the held size, or begin anew with it where the server has become another one."""
        if not self._usual.differs(mean):
            self._usual.merge(mean, max(MOST_WEIGHT, 2 * self.size))
            return
        if mean.log > self._usual.log:
            self._doubt()
        else:
            self._more_in = self._more_interval = FIRST_INTERVAL
        self._usual = mean

    def _doubt(self) -> None:
        """Try fewer next, since nothing says that so many are needed."""
        self._base_known = False
        self._fewer_in = self._fewer_interval = FIRST_FEWER_INTERVAL

    def _fit(self, size: float, before: Mean, now: float) -> None:
        """Judge a step by what came to be in flight, where something else bounds it."""
        reached = math.ceil((self.in_flight + 1) * self.scale)
        if reached > size and now - self._round.since > FILLING_LATENCIES * before.latency:
            self._resize(reached, now)

    def _try_another(self, now: float) -> None:
        """Try another size when it is time."""
        self._more_in -= 1
        self._fewer_in -= 1
        times = math.exp(self._usual.log - self._base)
        is_first = self._fewer_interval == FIRST_FEWER_INTERVAL
        is_time = self._fewer_in <= 0 or (is_first and times > LONG_QUEUE)
        if is_time and self.size > 1 and (times > QUEUE_SIGN or not self._base_known):
            factor = max(FEWEST, min(FEWER, ALLOWED_QUEUE / times)) if is_first else FEWER
            self._try(Stage.TRYING_FEWER, min(math.ceil(self.size) - 1, math.ceil(self.size * factor)), now)
        elif self._more_in <= 0 and (times <= LONG_QUEUE or not is_first):
            self._try(Stage.TRYING_MORE, math.ceil(self.size * (2.0 if self.size < SLOW_SIZE else 1.5)), now)

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
        if gain > CHANGED_GAIN:
            self._usual = Mean()
            self._hold(size, now)
            return
        longer = (4 if gain >= SURE_LOSS else 2) * self._fewer_interval
        self._fewer_in = self._fewer_interval = min(LONGEST_FEWER_INTERVAL, longer)
        if gain >= NO_QUEUE_GAIN:
            self._base, self._base_known = max(self._base, mean.log), True
        self._hold(size, now)

    def _judge_more(self, gain: float, mean: Mean, size: float, before: Mean, now: float) -> None:
        needed = SMALL_GAIN if self.size <= SLOW_SIZE else NEEDED_GAIN
        if self._is_long(mean):
            needed = LONG_QUEUE_GAIN
        if gain >= needed:
            if self.stage is Stage.TRYING_MORE:
                self._step = SLOW_GROWTH
                self._doubt()
            self._more_in = self._more_interval = FIRST_INTERVAL
            self._grow(mean, now)
        elif self.stage is Stage.TRYING_MORE:
            longer = max(self._more_interval, min(LONGEST_INTERVAL, 2 * self._more_interval))
            self._more_in = self._more_interval = longer
            useful = max(size, round(self.size * math.exp(before.log - mean.log)))
            if useful > size:
                self._usual = Mean()
            self._hold(useful, now)
        else:
            useful = math.ceil(self.size * before.latency / mean.latency)
            self._usual = Mean()
            self._fewer_in = max(self._fewer_in, self._more_in + 1)
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
        size, interval = min(self.size, (self.in_flight + 1) * self.scale) / 2, INTERVAL_AFTER_LOSS
        if self.stage in (Stage.GROWING, Stage.TRYING_MORE) and self._before is not None:
            size, interval = self._before[0], max(interval, 2 * self._more_interval)
        self._more_in = self._more_interval = min(LONGEST_INTERVAL_AFTER_LOSS, interval)
        self._usual = Mean()
        self._hold(size, now)
        self._round.since += now - granted_at  # what waits at the server by now is worked on until about then

    def _resize(self, size: float, now: float) -> None:
        self.size = max(1.0, size)
        self._round = self._next_round(now if self.scale == 1 else now + FOLLOWED_SECONDS)

    def _next_round(self, now: float) -> LatencyRound:
        """Return the round that tells the latency of the present size."""
        if self.stage is Stage.OPEN:
            return LatencyRound(now, 0)
        fewest = FULL_SHARE * self.size
        if self.stage is Stage.GROWING:
            if self._before is None:
                return LatencyRound(now, FIRST_SIZE, share=GROWING_SHARE)
            quick = self._step == GROWTH
            samples = max(4, self.size / 8) if quick else max(8, self.size / 4)
            return LatencyRound(now, samples, fewest, share=GROWING_SHARE)
        if self.stage is Stage.TRYING_MORE and self._before is not None:
            fewest = max(fewest, min(self._before[0], self.size - 1))
        samples = max(FEWEST_SAMPLES, SAMPLES_BY_VARIANCE * self._usual.variance)
        most = (
            self.size / 2 if self.stage is Stage.TRYING_FEWER else self.size
        )  # the other tries cost no throughput
        return LatencyRound(now, max(most, min(MOST_SAMPLES, 8 * self.size, samples)), fewest)

    def _watch(self, at_once: int, latency: float, now: float) -> None:
        """Bound what is in flight if its latency has grown with it since there were four times fewer."""
        number = (at_once.bit_length() + 1) // 2
        level = self._levels.setdefault(number, Mean())
        level.add(latency, at_once, 2 * FEWEST_SAMPLES)
        fewer = self._levels.get(number - 1)
        if level.count < FEWEST_SAMPLES / 2 or fewer is None or fewer.count < 3:
            return
        if elasticity(fewer.at_once, fewer, level.at_once, level) < CHEAP_LOSS:
            self._base = min(one.log for one in self._levels.values() if one.count >= 3)
            size = math.ceil(level.at_once * math.exp(self._base - level.log))
            self._levels.clear()
            self._hold(size, now)
