"""How a pool is used, as one who draws on it can tell."""

from collections.abc import Callable, Mapping

from pxt_assets.throttle.fallback import guarded
from pxt_assets.throttle.hold import HoldReport
from pxt_assets.throttle.pool import Pool


class PoolUsage:
    """The use of a pool since this was made. `clock` returns seconds."""

    def __init__(self, pool: Pool, clock: Callable[[], float]) -> None:
        self.pool = guarded(pool)
        self._clock = clock
        self._made_at = clock()
        self._granted_at = 0.0  # time of the last grant

    @property
    def fault(self) -> str | None:
        """What has failed in the pool's own accounting, and what goes on in its place; None if nothing has."""
        return self.pool.fault

    def hold(self) -> HoldReport | None:
        """Return for how long the server asked to send nothing, None if it did not."""
        report: HoldReport | None = self.pool.hold(self._clock())
        return report

    def unreached(self) -> str | None:
        """Return which ledger was not reached for some of the time since this limiter was made, and why."""
        reason: str | None = self.pool.unreached(self._made_at)
        return reason

    def totals(self) -> dict[str, tuple[float, float]]:
        """Return the units taken and lost of each dimension up to now, for `utilization`."""
        return self.pool.totals(self._clock())

    def utilization(self, since: Mapping[str, tuple[float, float]]) -> float | None:
        """Return the used share, 0 to 1, of what the limit allowed from `since`, a `totals`, to the last grant."""
        return self.pool.utilization(since, self._granted_at, self._clock())
