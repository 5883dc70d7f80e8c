"""Columns on two celery workers: an instance and a ledger in PostgreSQL, columns in a bucket, Redis between them.

Every test has a column of its own, with a model whose limits are its own; all have the table's rows.
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.distributed.conftest import ROWS
from tests.distributed.processes import wait_until
from tests.distributed.traffic import Traffic, watched

if TYPE_CHECKING:
    from tests.distributed.backfills import Backfill
    from tests.distributed.celery_deployment import Deployment

PROMPT = "Say in one word what this is about."
NEW_PROMPT = "Say in two words what this is about."
MOST_LOAD = 4.0
"""Processes that want to run, a core: with more of them the machine is what bounds the rows a second, not the limit."""
JOURNAL_SECONDS = 2.0
"""Within which a finished cell is in the bucket, on a machine where much else runs; a quarter where nothing does."""


def assert_right(column: str, days: list[str], tmp_path: Path, prompt: str = PROMPT) -> None:
    """The stored rows are those that one run in one process computes of these days."""
    from tests.distributed.backfills import stored, undisturbed

    assert len(stored(column, days)) == ROWS * len(days)
    assert stored(column, days) == undisturbed(column, days, prompt, tmp_path / prompt)


def until_answered(backfill: "Backfill", traffic: Traffic, rows: int) -> None:
    """Waits until that many rows are answered, so that runs are in their midst. Fails where one has failed."""

    def answered() -> bool:
        failed = [backfill.errors(run) for run in backfill.runs() if run.status.value == "FAILURE"]
        assert not failed, failed
        return traffic.now.answered >= rows

    wait_until(f"{rows} answers", answered, every=0.25)


def worker_in_midst(deployment: "Deployment", backfill: "Backfill") -> str | None:
    """A worker whose run has stored some of its partitions, and not all."""
    done = backfill.materialized()
    for run in backfill.runs():
        first, last = (run.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
        days = {day for day in backfill.days if first <= day <= last}
        if days & done and days - done and run.status.value == "STARTED":
            return deployment.executed_by(run)[0]
    return None


def ended_as(backfill: "Backfill") -> list[str]:
    """The statuses of its runs, sorted."""
    return sorted(run.status.value for run in backfill.runs())


def test_two_workers_share_a_backfill_and_the_limit(deployment: "Deployment", tmp_path: Path) -> None:
    """Sixty partitions: each row is asked for once, by both workers, at the rate that the limit allows."""
    from tests.distributed.backfills import all_days, ask_for
    from tests.distributed.celery_deployment import WORKERS
    from tests.distributed.world import INITIAL_LEVEL, RPM

    days = all_days()
    rows = ROWS * len(days)
    with watched(deployment.world) as traffic:
        backfill = ask_for(deployment.instance, "undisturbed", days)
        backfill.until_done()
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    least = (rows - INITIAL_LEVEL * RPM) / (RPM / 60)
    print(
        f"{rows} rows in {traffic.seconds:.1f} s, {least:.1f} s at least: {least / traffic.seconds:.1%} of the limit; "
        f"{traffic.now.rate_limited} 429s; load {load:.1f} a core{'' if load <= MOST_LOAD else ', too much to tell'}"
    )
    assert len(days) == 60
    assert ended_as(backfill) == ["SUCCESS", "SUCCESS"]
    assert traffic.now.answered == rows
    assert traffic.now.rate_limited <= max(1, 0.002 * rows)  # one may be more than that of so few rows
    assert least / traffic.seconds >= 0.97 or load > MOST_LOAD
    assert {worker for run in backfill.runs() for worker in deployment.executed_by(run)} == set(WORKERS)
    assert_right("undisturbed", days, tmp_path)


def test_a_killed_workers_run_is_retried_and_goes_on(deployment: "Deployment", tmp_path: Path) -> None:
    """What it had finished is not paid for again: at most what was in flight, and what came within the journal's time."""
    from tests.distributed.backfills import all_days, ask_for
    from tests.distributed.processes import kill

    days = all_days()[:8]
    with watched(deployment.world) as traffic:
        backfill = ask_for(deployment.instance, "killed", days)
        worker = wait_until("a run in its midst", lambda: worker_in_midst(deployment, backfill), every=0.25)
        kill(deployment.executing(worker))
        killed = time.monotonic()
        backfill.until_done()
    statuses = ended_as(backfill)
    then = traffic.at(killed)
    lost = traffic.now.answered - ROWS * len(days)
    print(f"{lost} rows paid for twice; {then.in_flight} in flight; runs: {statuses}")
    assert statuses == ["FAILURE", "SUCCESS", "SUCCESS"]
    assert [run.tags["dagster/retry_number"] for run in backfill.runs() if run.parent_run_id] == ["1"]
    assert lost <= then.in_flight + then.answered - traffic.at(killed - JOURNAL_SECONDS).answered
    assert_right("killed", days, tmp_path)


def test_runs_outlive_restarts_of_redis_and_of_postgresql(deployment: "Deployment", tmp_path: Path) -> None:
    """Runs under way go on without Redis, those in its queue come after. The instance and the ledger break off at once."""
    from tests.distributed.backfills import all_days, ask_for

    days = all_days()[:8]
    rows = ROWS * len(days)
    with watched(deployment.world) as traffic:
        backfill = ask_for(deployment.instance, "restarted", days)
        until_answered(backfill, traffic, ROWS)
        deployment.redis.restart()
        until_answered(backfill, traffic, rows // 2 + ROWS)
        deployment.world.postgres.restart()
        restarted = time.monotonic()
        backfill.until_done()
    in_flight = traffic.at(restarted).in_flight
    print(f"{traffic.now.answered - rows} paid for twice, {in_flight} in flight; {ended_as(backfill)}")
    assert traffic.now.answered - rows <= in_flight
    assert_right("restarted", days, tmp_path)


def test_a_prompt_deployed_meanwhile_is_that_of_the_runs_that_begin_then(
    deployment: "Deployment", tmp_path: Path
) -> None:
    """Each partition is of one prompt, and says by its code version of which; runs under way keep the old one."""
    from tests.distributed.backfills import all_days, ask_for

    days = all_days()[:8]
    with watched(deployment.world) as traffic:
        backfill = ask_for(deployment.instance, "redeployed", days)
        until_answered(backfill, traffic, ROWS)
        deployment.deploy(PROMPT, NEW_PROMPT)
        backfill.until_done()
    versions = {day: backfill.code_version(day) for day in days}
    old = [day for day in days if versions[day] == versions[days[0]]]
    new = [day for day in days if versions[day] == versions[days[-1]]]
    print(f"{len(old)} days of the old prompt, {len(new)} of the new one; {ended_as(backfill)}")
    assert (*old, *new) == tuple(days)
    assert_right("redeployed", old, tmp_path)
    assert_right("redeployed", new, tmp_path, NEW_PROMPT)
    assert traffic.now.answered == ROWS * len(days)
