"""The first requests of a pool, while its limits are unknown."""

import math

PROBES = 16
"""Requests that may be in flight before the first answer; also the answers without a reading after which an endpoint
is taken to report no limits."""
PROBES_PER_SECOND = 20.0
"""How many more may be in flight for each second without an answer: a 429 comes at once, however long answers take,
so that none by then means that the limit is not reached."""
STEADY_SECONDS = 1.0
"""Time without an answer after which that number doubles each second."""
PROBES_PER_ANSWER = 2
"""How many more may be in flight for each answer without a reading."""


class Probe:
    """How many requests may be in flight while no limit is known. Times are in seconds."""

    def __init__(self) -> None:
        self.limit_known = False
        """Whether a limit is known."""
        self.unmeasured_answers = 0
        """Answers without a reading."""
        self._probing_since = -math.inf

    @property
    def is_over(self) -> bool:
        """Whether probing has ended: a limit is known, or none is reported."""
        return self.limit_known or self.unmeasured_answers >= PROBES

    def wait(self, in_flight: int, processes: int, now: float) -> float:
        """Return the seconds until one request more than `in_flight` may be sent, while `processes` probe."""
        if in_flight == 0 or self._probing_since == -math.inf:
            self._probing_since = now
        probes, more = max(1, PROBES // processes), PROBES_PER_SECOND / processes
        steady = probes + more * STEADY_SECONDS
        wanted = in_flight + 1 - PROBES_PER_ANSWER * self.unmeasured_answers
        if wanted <= probes:
            return 0.0
        seconds = (wanted - probes) / more
        if wanted > steady:
            seconds = STEADY_SECONDS + math.log2(wanted / steady)
        return max(0.0, self._probing_since + seconds - now)

    def answered(self) -> None:
        """Count an answer."""
        if not self.limit_known:
            self.unmeasured_answers += 1
