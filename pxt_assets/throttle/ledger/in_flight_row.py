"""The number in flight that all processes of a pool may have together, where its server names no limit.

It is the limit of a row of its own. One of the processes searches for it, the one that wants most, and the others follow.
What a process wants is kept as what it holds of that row; it is forgotten with the process, and so its part is free.
"""

from pxt_assets.throttle.ledger.messages import InFlightPart, InFlightReport
from pxt_assets.throttle.ledger.pool_rows import BucketRow, PoolRows

IN_FLIGHT = "in flight"
"""The dimension under which the ledger keeps it."""
_LEADS = "in flight, leads"  # 1 is held of it by the process that searches
_LEADING_SHARE = 0.25  # of what the others want, that it must want to go on searching
REMEMBERED_SECONDS = 60.0
"""Time after which it is sought anew where no process was at work: the server may be another by then."""


def share_in_flight(pool: PoolRows, process: str, report: InFlightReport, now: float) -> InFlightPart:
    """Apply what a process reports to the row, and return its part."""
    row = pool.buckets.get(IN_FLIGHT)
    if row is None or row.limit == float("inf") or row.measured_at < now - REMEMBERED_SECONDS:
        row = pool.buckets[IN_FLIGHT] = BucketRow(now, limit=report.size, rate=1.0)
    pool.processes[process].outstanding[IN_FLIGHT] = max(1.0, report.wanted)
    wanted = {
        name: one.outstanding[IN_FLIGHT]
        for name, one in pool.processes.items()
        if one.outstanding.get(IN_FLIGHT) and (name == process or pool.is_active(one, now))
    }
    most = max(sorted(wanted), key=lambda name: wanted[name])
    leading = (name for name in sorted(wanted) if pool.processes[name].outstanding.get(_LEADS))
    leader = next((name for name in leading if wanted[name] >= _LEADING_SHARE * wanted[most]), most)
    for name, one in pool.processes.items():
        one.outstanding[_LEADS] = float(name == leader)
    leads = process == leader
    if leads and report.leads:
        row.limit = report.size
    row.measured_at = now
    return InFlightPart(row.limit, _part(row.limit, wanted, process), leads)


def _part(size: float, wanted: dict[str, float], process: str) -> float:
    """Return what a process may have in flight: as much as each other, or less if it wants less; one at least."""
    left, others = size, len(wanted)
    for name, wish in sorted(wanted.items(), key=lambda item: (item[1], item[0])):
        part = min(wish, left // others) if others > 1 else left
        if name == process:
            return max(1.0, part)
        left, others = left - part, others - 1
    return max(1.0, left)
