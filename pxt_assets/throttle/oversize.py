"""Requests that are believed to take more than a whole limit: each is sent once, alone, and the server decides.

What is believed may be wrong: the limit may have been raised since it was measured, and what a request costs is an
estimate. So nothing is refused before the server has refused it, or a smaller one under the same limit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pxt_assets.throttle.admission import Admission, RequestTooLarge, SizedRequest
from pxt_assets.throttle.headers import Reading
from pxt_assets.throttle.share import SharedBucket

PATIENCE_SECONDS = 60.0
"""How long such a request waits until nothing else is queued or in flight and the bucket is full. After that it goes
among the others, with what there is: whoever waits longer keeps others from being sent."""
FULL_SHARE = 0.95
"""Share of the limit from which a bucket is full: a request that is refused then would be refused again."""
REFUSAL_SECONDS = 60.0
"""How long a refusal holds for others that are as large: limits are raised without notice."""
_MOST_VERDICTS = 32


class _Verdict(NamedTuple):
    """What the server said of one request."""

    kind: str
    size: tuple[float, ...]
    """Its size, or its costs by dimension in order of their names."""
    dimension: str
    limit: float
    until: float
    words: str


@dataclass
class SizeVerdicts:
    """What a server has said of requests that were believed too large. Times are seconds."""

    _accepted: list[_Verdict] = field(default_factory=list)
    _refused: list[_Verdict] = field(default_factory=list)

    def note_accepted(self, error: RequestTooLarge, admission: Admission) -> None:
        """Note that a request of which `error` was believed was let in: others as small fit as well."""
        verdict = _verdict(error, admission.sized, math.inf, "")
        self._refused = [one for one in self._refused if not _covers(verdict, one)]
        self._accepted = [verdict, *(one for one in self._accepted if not _covers(verdict, one))][
            :_MOST_VERDICTS
        ]

    def note_refused(self, error: RequestTooLarge, admission: Admission, words: str, now: float) -> None:
        """Note that a request of which `error` was believed was refused, in the server's `words`."""
        verdict = _verdict(error, admission.sized, now + REFUSAL_SECONDS, words)
        self._accepted = [one for one in self._accepted if not _covers(one, verdict)]
        self._refused = [verdict, *(one for one in self._refused if not _covers(one, verdict))][
            :_MOST_VERDICTS
        ]

    def fits(self, error: RequestTooLarge, sized: SizedRequest | None) -> bool:
        """Whether the server has let in a request as large."""
        if not self._accepted:
            return False
        asked = _verdict(error, sized, 0.0, "")
        return any(_covers(one, asked) and one.limit <= asked.limit for one in self._accepted)

    def refusal(self, error: RequestTooLarge, sized: SizedRequest | None, now: float) -> str | None:
        """Return the words in which a request that is no larger was refused a moment ago, under the same limit."""
        if not self._refused:
            return None
        asked = _verdict(error, sized, 0.0, "")
        for one in self._refused:
            if now < one.until and one.limit == asked.limit and _covers(asked, one):
                return one.words
        return None


def seconds_until_full(bucket: SharedBucket, processes: int, now: float) -> tuple[float, float]:
    """Return the seconds until a process's part of a bucket is full, and what is in it now."""
    bucket.advance(now)
    missing = FULL_SHARE * bucket.limit / processes - bucket.level
    if missing <= 0:
        return 0.0, bucket.level
    return (missing / bucket.rate if bucket.rate > 0 else math.inf), bucket.level


def refused_for_size(error: RequestTooLarge, readings: Mapping[str, Reading]) -> bool:
    """Whether a 429 shows that a request is too large: that it still exceeds the limit, of which nothing was in use."""
    reading = readings.get(error.dimension)
    return (
        reading is not None
        and 0 < reading.limit < error.cost
        and reading.remaining >= FULL_SHARE * reading.limit
    )


def _verdict(error: RequestTooLarge, sized: SizedRequest | None, until: float, words: str) -> _Verdict:
    kind, size = ("", (error.cost,)) if sized is None else (sized.kind, tuple(sized.size))
    return _Verdict(kind, size, error.dimension, error.limit, until, words)


def _covers(large: _Verdict, small: _Verdict) -> bool:
    """Whether a request is at least as large as another one in every part."""
    return (large.kind, large.dimension) == (small.kind, small.dimension) and all(
        one >= other for one, other in zip(large.size, small.size, strict=True)
    )
