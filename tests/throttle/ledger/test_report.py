import pytest

from pxt_assets.throttle.ledger.pool_rows import BucketRow, PoolRows, ProcessRow
from pxt_assets.throttle.ledger.report import report

NOW = 1_000_000.4


def pool(taken: dict[int, float], updated: float = NOW, seen: float = NOW) -> PoolRows:
    row = BucketRow(updated, limit=1200.0, rate=20.0, level=600.0)
    return PoolRows({"requests": row}, {"p": ProcessRow(seen, taken={"requests": taken})})


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.99])
def test_a_steady_rate_is_shown_as_it_is(fraction: float) -> None:
    """Twenty a second are 1,200 a minute, whatever part of the current second has passed."""
    taken = dict.fromkeys(range(999900, 1000000), 20.0) | {1_000_000: 20.0 * fraction}
    now = 1_000_000 + fraction
    (line,) = report(("a", "luna"), pool(taken, seen=now), now)
    assert line.per_minute == pytest.approx(1200.0)


def test_a_pool_is_idle_since_a_process_last_drew_on_it() -> None:
    """Whether what it took is still remembered or not."""
    (line,) = report(("a", "luna"), pool({}, updated=NOW - 500, seen=NOW - 300), NOW)
    assert line.idle_seconds == pytest.approx(300)
    rows = pool({}, updated=NOW - 500)
    rows.processes.clear()
    (line,) = report(("a", "luna"), rows, NOW)
    assert line.idle_seconds == pytest.approx(500)
