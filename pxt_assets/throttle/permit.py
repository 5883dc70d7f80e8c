"""A permit to send one request, which is told what became of it."""

from collections.abc import Mapping
from typing import Protocol

from pxt_assets.throttle.admission import Admission, RequestTooLarge
from pxt_assets.throttle.headers import read_rate_limits
from pxt_assets.throttle.oversize import refused_for_size


class PermitGiver(Protocol):
    """A `Limiter`, which is told what became of the requests that it let pass."""

    def _answered(
        self,
        admission: Admission,
        headers: Mapping[str, str],
        *,
        overloaded: bool = False,
        failed: bool = False,
    ) -> None:
        """Apply an answer, or an error that came in its place."""

    def _rejected(
        self,
        admission: Admission,
        headers: Mapping[str, str],
        short_dimension: str | None,
        *,
        slow_down: bool,
    ) -> float:
        """Apply a 429; return the seconds that this request alone has to wait."""

    def _refused(self, admission: Admission, headers: Mapping[str, str], words: str) -> None:
        """Apply a 429 for a request's size."""

    def _lost(self, admission: Admission) -> None:
        """Apply an unknown outcome."""

    def _cancelled(self, admission: Admission) -> None:
        """Take back a request that was never sent."""


class Permit:
    """Permission to send one request. Its outcome is reported by calling exactly one of its methods.

    Further calls do nothing, so that `cancel` may stand in a `finally`.
    """

    __slots__ = ("_admission", "_limiter", "_settled", "own_wait")

    def __init__(self, limiter: PermitGiver, admission: Admission) -> None:
        self._limiter = limiter
        self._admission = admission
        self._settled = False
        self.own_wait = 0.0
        """Seconds after which a rejected request may be queued again, while others go on."""

    @property
    def too_large(self) -> RequestTooLarge | None:
        """What was believed of the request's size, if it was believed too large, and sent all the same."""
        return self._admission.too_large

    def is_refused_for_size(self, headers: Mapping[str, str]) -> bool:
        """Whether the headers of a 429 show that the request is too large, as was believed."""
        too_large = self.too_large
        return too_large is not None and refused_for_size(too_large, read_rate_limits(headers))

    def refused(self, headers: Mapping[str, str], words: str) -> None:
        """Report a 429 for the request's size, by its headers and its words. It holds nothing up."""
        if self._settle():
            self._limiter._refused(self._admission, headers, words)

    def answered(self, headers: Mapping[str, str], *, failed: bool = False) -> None:
        """Report an answer of any status but 429, by its headers; one that `failed` took no longer than an error does."""
        if self._settle():
            self._limiter._answered(self._admission, headers, failed=failed)

    def rejected(
        self, headers: Mapping[str, str], short_dimension: str | None = None, *, slow_down: bool = False
    ) -> None:
        """Report a 429, which was not charged, by its headers, and hold the pool until its retry-after.

        `short_dimension` is the dimension that fell short, if the error says so. With `slow_down` the server
        asked for slower growth, and the rate is cut. Then `own_wait` says how long this request alone has to wait.
        """
        if self._settle():
            self.own_wait = self._limiter._rejected(
                self._admission, headers, short_dimension, slow_down=slow_down
            )

    def overloaded(self, headers: Mapping[str, str]) -> None:
        """Report an answer that says the server is overloaded, by its headers."""
        if self._settle():
            self._limiter._answered(self._admission, headers, overloaded=True, failed=True)

    def lost(self) -> None:
        """Report that the outcome is unknown: the request may have been charged."""
        if self._settle():
            self._limiter._lost(self._admission)

    def cancel(self) -> None:
        """Report that the request was never sent, and return what it took."""
        if self._settle():
            self._limiter._cancelled(self._admission)

    def _settle(self) -> bool:
        unsettled, self._settled = not self._settled, True
        return unsettled
