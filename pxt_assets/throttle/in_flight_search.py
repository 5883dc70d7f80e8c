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

FIRST_SIZE = 4
"""Requests in flight at the beginning."""
GROWTH = 4.0
"""Factor on the size in a step while it grows from the beginning."""
REGROWTH = 2.0
"""The same after more were tried with success."""
NEEDED_GAIN = 0.25
"""Elasticity from which a step upwards is kept: twice as many in flight for a fifth more throughput."""
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
FEWEST_SAMPLES = 16
MOST_WEIGHT = 128.0
"""Answers that the latency of a held size is averaged over, at most, or twice the size."""
FIRST_INTERVAL = 2
LONGEST_INTERVAL = 16
"""Rounds (as many answers as are in flight, 16 at least) until more are tried, at first and at most."""
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
OTHERS_SECONDS = 0.2
"""Seconds after which a request is asked for again that waits for what others of this process have in flight."""


class Stage(Enum):
    """Where the search is."""

    OPEN = "open"
    GROWING = "growing"
    HOLDING = "holding"
    TRYING_MORE = "trying more"
    TRYING_FEWER = "trying fewer"


class _Mean:
    """A mean latency of answers, and what was in flight at their grants."""

    __slots__ = ("at_once", "count", "latency")

    def __init__(self) -> None:
        self.count = 0.0
        self.latency = 0.0
        self.at_once = 0.0

    def add(self, latency: float, at_once: float, most: float = math.inf) -> None:
        """Count an answer; the latest `most` of them are averaged."""
        self.count = min(most, self.count + 1)
        self.latency += (latency - self.latency) / self.count
        self.at_once += (at_once - self.at_once) / self.count


class InFlightSearch:
    """Finds the number in flight that a server can use. Times are seconds on one clock.

    `size` is that number, infinite while nothing is bounded; with `from_few` it begins with a few.
    """

    __slots__ = (
        "_base",
        "_began",
        "_before",
        "_counted",
        "_fewer_in",
        "_fewer_interval",
        "_first",
        "_held",
        "_levels",
        "_lost_share",
        "_more_in",
        "_more_interval",
        "_since",
        "_step",
        "in_flight",
        "size",
        "stage",
    )

    def __init__(self, *, from_few: bool = False) -> None:
        self.size: float = FIRST_SIZE if from_few else math.inf
        """Requests that may be in flight."""
        self.in_flight = 0
        self.stage = Stage.GROWING if from_few else Stage.OPEN
        self._since = -math.inf  # requests granted earlier say nothing of the present size
        self._began = _Mean()  # this step's latency, or the held size's
        self._before: tuple[float, float] | None = None  # size and latency before this step
        self._held = _Mean()  # the held size's latency while another is tried
        self._first = from_few
        self._step = GROWTH
        self._base = math.inf  # lowest latency seen
        self._counted = 0  # answers of this round
        self._more_in = self._more_interval = FIRST_INTERVAL  # rounds until more are tried
        self._fewer_in = self._fewer_interval = FIRST_FEWER_INTERVAL
        self._lost_share = 0.0
        self._levels: dict[int, _Mean] = {}  # while open: by powers of four in flight

    @property
    def found(self) -> int | None:
        """The number in flight that the latency allows; None while nothing shows that there is one."""
        if self.stage in (Stage.OPEN, Stage.GROWING):
            return None
        size = self.size if self.stage is Stage.HOLDING or self._before is None else self._before[0]
        return max(1, int(size))

    def wait(self, own_in_flight: int) -> float:
        """Return the seconds until one more may be sent, 0 for now, infinite until the next answer.

        `own_in_flight` are the caller's own: who has nothing in flight may always send.
        """
        if self.in_flight + 1 <= self.size or own_in_flight == 0:
            return 0.0
        return math.inf if own_in_flight >= self.in_flight else OTHERS_SECONDS

    def take(self) -> int:
        """Count a request that is sent; return how many are in flight, itself included."""
        self.in_flight += 1
        return self.in_flight

    def ended(self) -> None:
        """Count a request that ended in a way that says nothing of the latency."""
        self.in_flight = max(0, self.in_flight - 1)

    def begin(self, now: float) -> None:
        """Bound what is in flight from now on, since no answer names a limit."""
        if self.stage is not Stage.OPEN:
            return
        count = sum(level.count for level in self._levels.values())
        self.stage = Stage.GROWING
        size = float(max(FIRST_SIZE, self.in_flight))
        if count:
            latency = sum(level.latency * level.count for level in self._levels.values()) / count
            self._before = size, latency
            self._base = min(self._base, latency)
            self._resize(size * GROWTH, now)
        else:
            self._first = True
            self._resize(size, now)

    def follow(self, size: float, now: float) -> None:
        """Hold a size that another process has found."""
        if size != self.size:
            self._hold(size, now)

    def answered(self, at_once: int, granted_at: float, now: float) -> None:
        """Count an answer to a request that was granted with so many in flight, itself included."""
        self.ended()
        self._lost_share *= 1 - 1 / OUTCOMES_REMEMBERED
        if granted_at < self._since:
            return
        latency = max(1e-9, now - granted_at)
        if self.stage is Stage.OPEN:
            self._watch(at_once, latency, now)
            return
        if not self._first and at_once <= self._fewest_at_once():
            return
        is_held = self.stage is Stage.HOLDING
        self._began.add(latency, at_once, max(MOST_WEIGHT, 2 * self.size) if is_held else math.inf)
        if is_held:
            self._end_round(now)
        elif self._began.count >= self._samples_needed():
            self._judge(now)

    def lost(self, granted_at: float, now: float) -> None:
        """Count a request whose answer was lost; several that were waited for as long as for an answer are a sign."""
        self.ended()
        latency = self._began.latency or (self._before[1] if self._before else 0.0)
        if granted_at < self._since or now - granted_at < LOST_LATENCY * latency:
            return
        self._lost_share += (1 - self._lost_share) / OUTCOMES_REMEMBERED
        if self._lost_share > LOST_SHARE:
            self._lost_share = 0.0
            self._give_way(now)
            self._since += now - granted_at  # what waits at the server by now is worked on until about then

    def _give_way(self, now: float) -> None:
        """Take a step back, or halve the size."""
        size, interval = min(self.size, self.in_flight + 1.0) / 2, INTERVAL_AFTER_LOSS
        if self.stage in (Stage.GROWING, Stage.TRYING_MORE) and self._before is not None:
            size, interval = self._before[0], max(interval, 2 * self._more_interval)
        self._hold(size, now)
        self._more_in = self._more_interval = min(LONGEST_INTERVAL_AFTER_LOSS, interval)

    def _fewest_at_once(self) -> float:
        fewest = FULL_SHARE * self.size
        if self.stage in (Stage.GROWING, Stage.TRYING_MORE) and self._before is not None:
            fewest = max(fewest, min(self._before[0], self.size - 1))
        return fewest

    def _samples_needed(self) -> float:
        if self._first:
            return 3
        if self.stage is Stage.GROWING:
            return max(4, self.size / 8) if self._step == GROWTH else max(8, self.size / 4)
        return max(FEWEST_SAMPLES, self.size / 4)

    def _judge(self, now: float) -> None:
        """End a step: keep it or go back."""
        latency = self._began.latency
        if self._before is None:
            self._grow(now)
            return
        size_before, latency_before = self._before
        gain = _elasticity(size_before, latency_before, self.size, latency)
        self._note_base(self._began)
        if self.stage is Stage.TRYING_FEWER:
            if gain <= self._cheap_loss(latency_before):
                self._fewer_in = self._fewer_interval = FIRST_FEWER_INTERVAL
                self._hold(self.size, now, self._began)
                return
            self._fewer_in = self._fewer_interval = min(LONGEST_FEWER_INTERVAL, 4 * self._fewer_interval)
            if gain >= NO_QUEUE_GAIN:
                self._base = max(self._base, latency)
            self._hold(size_before, now, self._held)
        elif gain >= self._needed_gain(latency):
            if self.stage is Stage.TRYING_MORE:
                self._step = REGROWTH
                self._fewer_in = self._fewer_interval = FIRST_FEWER_INTERVAL
            self._more_in = self._more_interval = FIRST_INTERVAL
            self._grow(now)
        elif self.stage is Stage.TRYING_MORE:
            self._more_in = self._more_interval = max(
                self._more_interval, min(LONGEST_INTERVAL, 2 * self._more_interval)
            )
            self._hold(size_before, now, self._held)
        else:
            useful = self.size * latency_before / latency
            self._hold(min(self.size, max(size_before / 2, math.ceil(useful))), now)

    def _grow(self, now: float) -> None:
        self.stage, self._first = Stage.GROWING, False
        self._before = self.size, self._began.latency
        self._note_base(self._began)
        self._resize(self.size * self._step, now)

    def _hold(self, size: float, now: float, latency: _Mean | None = None) -> None:
        """Hold a size, whose latency so far may be known."""
        self.stage, self._before, self._first = Stage.HOLDING, None, False
        self._resize(size, now)
        if latency is not None:
            self._began = latency

    def _end_round(self, now: float) -> None:
        """Count an answer of the held size, and try another size when it is time."""
        self._counted += 1
        if self._counted < max(FEWEST_SAMPLES, self.size):
            return
        self._counted = 0
        self._more_in -= 1
        self._fewer_in -= 1
        latency = self._began.latency
        self._note_base(self._began)
        if self.size > 1 and latency > QUEUE_SIGN * self._base and self._fewer_in <= 0:
            fewer = math.ceil(self.size * max(MOST_FEWER, self._base / latency))
            self._try(Stage.TRYING_FEWER, min(math.ceil(self.size) - 1, fewer), now)
        elif self._more_in <= 0:
            factor = 2.0 if self.size < 16 else 1.5 if self.size < 64 else 1.25
            self._try(Stage.TRYING_MORE, math.ceil(self.size * factor), now)

    def _try(self, stage: Stage, size: float, now: float) -> None:
        self.stage, self._held = stage, self._began
        self._before = self.size, self._began.latency
        self._resize(size, now)

    def _resize(self, size: float, now: float) -> None:
        self.size = max(1.0, size)
        self._since = now
        self._began = _Mean()
        self._counted = 0

    def _needed_gain(self, latency: float) -> float:
        return LONG_QUEUE_GAIN if latency > LONG_QUEUE * self._base else NEEDED_GAIN

    def _cheap_loss(self, latency: float) -> float:
        return LONG_QUEUE_GAIN - 0.1 if latency > LONG_QUEUE * self._base else CHEAP_LOSS

    def _note_base(self, mean: _Mean) -> None:
        """Note a latency that may be the lowest; of a few answers it may be low by chance."""
        self._base = min(self._base, mean.latency * (1 + 0.5 / math.sqrt(mean.count)))

    def _watch(self, at_once: int, latency: float, now: float) -> None:
        """Bound what is in flight if its latency has grown with it since there were four times fewer."""
        number = (at_once.bit_length() + 1) // 2
        level = self._levels.setdefault(number, _Mean())
        level.add(latency, at_once, 2 * FEWEST_SAMPLES)
        fewer = self._levels.get(number - 1)
        if level.count < FEWEST_SAMPLES / 2 or fewer is None or fewer.count < 3:
            return
        if _elasticity(fewer.at_once, fewer.latency, level.at_once, level.latency) < CHEAP_LOSS:
            self._base = min(one.latency for one in self._levels.values() if one.count >= 3)
            size = math.ceil(level.at_once * self._base / level.latency)
            self._levels.clear()
            self._hold(size, now)


def _elasticity(size: float, latency: float, other_size: float, other_latency: float) -> float:
    """Return which part of a change of what is in flight becomes throughput: 1 all of it, 0 nothing."""
    if size == other_size:
        return 1.0
    return 1 - math.log(other_latency / latency) / math.log(other_size / size)
