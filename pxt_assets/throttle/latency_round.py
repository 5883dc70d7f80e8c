"""The latency of requests that were granted in one round, those included that are not answered yet."""

import math

FEWEST_SAMPLES = 16
MOST_SAMPLES = 64
SAMPLES_BY_VARIANCE = 120.0
"""Requests of a round: so many times the variance of the logarithms of latencies, within bounds."""
MOST_WEIGHT = 128.0
"""Answers that a latency is averaged over, at most, or twice what is in flight."""
ANSWERED_SHARE = 0.9
"""Share of a round that must be answered before its latency is judged: the first answers are those to short requests."""
GROWING_SHARE = 0.5
"""The same while what is in flight grows by large steps."""
LEAST_CHANGE = 0.25
SURE_ERRORS = 4.0
"""Difference of two logarithms of latencies that is a change, at least, and in standard errors."""
_SHORTEST = 1e-9  # seconds: a latency is never zero


class Mean:
    """The latency, in seconds, of `count` requests, and what was in flight at their grants.

    Compared are means of logarithms: of times that differ by factors they vary least, and what waits in a queue, so that
    no answer is quick any more, moves them most.
    """

    __slots__ = ("at_once", "count", "latency", "log", "square")

    def __init__(
        self,
        count: float = 0.0,
        latency: float = 0.0,
        log: float = 0.0,
        square: float = 0.0,
        at_once: float = 0.0,
    ) -> None:
        self.count = count
        self.latency = latency
        self.log = log
        """The mean of the logarithms of latencies, ..."""
        self.square = square
        """... and of their squares."""
        self.at_once = at_once

    def add(self, latency: float, at_once: float, most: float) -> None:
        """Count a request; the latest `most` of them are averaged."""
        log = math.log(max(_SHORTEST, latency))
        self.merge(Mean(1.0, latency, log, log * log, at_once), most)

    def merge(self, other: "Mean", most: float) -> None:
        """Count what another mean is of; the latest `most` are averaged."""
        self.count = min(most, self.count + other.count)
        part = min(1.0, other.count / self.count)
        self.latency += (other.latency - self.latency) * part
        self.log += (other.log - self.log) * part
        self.square += (other.square - self.square) * part
        self.at_once += (other.at_once - self.at_once) * part

    def differs(self, other: "Mean") -> bool:
        """Whether two means of the same number in flight are not of the same server, as good as surely."""
        if not self.count or not other.count:
            return False
        error = math.sqrt(self.variance / self.count + other.variance / other.count)
        return abs(self.log - other.log) > max(LEAST_CHANGE, SURE_ERRORS * error)

    @property
    def variance(self) -> float:
        """That of the logarithms of latencies; 0 where nothing is known."""
        return max(0.0, self.square - self.log * self.log)

    @property
    def highest(self) -> float:
        """The logarithm of a latency that is hardly above the true one: that of a few may be low by chance."""
        return self.log + 0.5 / math.sqrt(self.count)


class LatencyRound:
    """The first `size` requests that are granted from the time `since` on with more than `fewest` in flight.

    It is over once a `share` of them is answered. The others count by their age, since so long they take at least, or
    as those that are answered.
    """

    __slots__ = (
        "_answered",
        "_fewest",
        "_granted",
        "_grants",
        "_last_grant",
        "_latencies",
        "_logs",
        "_share",
        "_size",
        "_squares",
        "_unanswered_grants",
        "since",
    )

    def __init__(
        self, since: float, size: float, fewest: float = 0.0, *, share: float = ANSWERED_SHARE
    ) -> None:
        self.since = since
        self._size = math.ceil(size)
        self._fewest = fewest
        self._share = share
        self._granted = 0
        self._answered = 0
        self._latencies = 0.0  # sum
        self._logs = 0.0
        self._squares = 0.0
        self._unanswered_grants = 0.0  # sum of times
        self._last_grant = -math.inf

    def granted(self, at_once: int, at: float) -> None:
        """Count a grant, if it is one of the round."""
        if self._granted < self._size and at >= self.since and at_once > self._fewest:
            self._granted += 1
            self._last_grant = at
            self._unanswered_grants += at

    def left(self, at_once: int, granted_at: float) -> None:
        """Take out a request that says nothing."""
        if self._includes(at_once, granted_at):
            self._granted -= 1
            self._unanswered_grants -= granted_at

    def answered(self, at_once: int, granted_at: float, now: float) -> bool:
        """Count an answer, if it is to one of the round; return whether the round is over."""
        if not self._includes(at_once, granted_at):
            return False
        latency = max(_SHORTEST, now - granted_at)
        log = math.log(latency)
        self._answered += 1
        self._latencies += latency
        self._logs += log
        self._squares += log * log
        self._unanswered_grants -= granted_at
        return self._granted >= self._size and self._answered >= self._share * self._size

    def mean(self, now: float) -> Mean:
        """Return the mean latency of the round."""
        count, unanswered = self._granted, self._granted - self._answered
        age = self._latencies / self._answered
        log = self._logs / self._answered
        if unanswered and (older := now - self._unanswered_grants / unanswered) > age:
            age, log = older, math.log(older)
        return Mean(
            count,
            (self._latencies + unanswered * age) / count,
            (self._logs + unanswered * log) / count,
            (self._squares + unanswered * log * log) / count,
        )

    def _includes(self, at_once: int, granted_at: float) -> bool:
        return self.since <= granted_at <= self._last_grant and at_once > self._fewest


def elasticity(size: float, mean: Mean, other_size: float, other: Mean) -> float:
    """Return which part of a change of what is in flight becomes throughput: 1 all of it, 0 nothing."""
    return 1.0 if size == other_size else 1 - (other.log - mean.log) / math.log(other_size / size)
