"""The first requests of a pool, before anybody has said what its limits are."""

import math

PROBES = 16
"""Requests that may be under way before the first answer, and answers without a reading after which an
endpoint is taken to report no limits."""
MORE_A_SECOND = 20.0
"""How many more may be under way for each second without an answer: a 429 comes at once, however long answers
take, so that none by then is a sign that there is room."""
STEADY_SECONDS = 1.0
"""Time without an answer after which they double each second."""
PROBES_PER_ANSWER = 2
"""How many more may be under way for each answer that brought no reading."""


class Probe:
    """How many requests may be under way while nothing is known. Times are in seconds."""

    def __init__(self) -> None:
        self.measured = False
        """Whether a limit is known."""
        self.unmeasured = 0
        """Answers without a reading."""
        self._since = -math.inf
        self._first_at: float | None = None

    @property
    def over(self) -> bool:
        """Whether there is no more to find out."""
        return self.measured or self.unmeasured >= PROBES

    def wait(self, in_flight: int, processes: int, now: float) -> float:
        """Return the seconds until one more than `in_flight` may be under way, of `processes` that probe."""
        if in_flight == 0:
            self._since = now
        probes, more = max(1, PROBES // processes), MORE_A_SECOND / processes
        steady = probes + more * STEADY_SECONDS
        wanted = in_flight + 1 - PROBES_PER_ANSWER * self.unmeasured
        if wanted <= probes:
            return 0.0
        seconds = (wanted - probes) / more
        if wanted > steady:
            seconds = STEADY_SECONDS + math.log2(wanted / steady)
        return max(0.0, self._since + seconds - now)

    def granted(self, now: float) -> None:
        """Take note of a request that is sent."""
        if self._first_at is None:
            self._first_at = now

    def answered(self) -> None:
        """Take note of an answer."""
        if not self.measured:
            self.unmeasured += 1

    def answers_per_second(self, now: float) -> float:
        """Return the rate of answers since the first request, at least one a second."""
        seconds = 0.0 if self._first_at is None else now - self._first_at
        return max(1.0, self.unmeasured / max(1.0, seconds))
