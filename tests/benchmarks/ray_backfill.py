"""A backfill of 60 partitions on a Ray cluster of two nodes, with Dagster's instance and the ledger in PostgreSQL and the
columns in a bucket: whether all rows are there once, how many 429s there were, and how much of the limit was used.

    python3 -m venv .venv/ray
    .venv/ray/bin/pip install -e ".[postgres,s3]" dagster-ray==0.4.8 "ray[default]==2.60.0" dagster-postgres==0.29.27 "moto[server]"
    .venv/ray/bin/python tests/benchmarks/ray_backfill.py [--steps] [--rows 240] [--rpm 3000] [--kill node|run|step]

It needs the distribution's PostgreSQL. Runs are Ray jobs (`RayRunLauncher`); with --steps their steps are jobs too
(`ray_executor`). The share is the time that the limit demands / the time from the first request to the last. --kill
sends `kill -9`, once half of the rows are answered, to all that runs on a node, or to the process of a run or a step.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import dagster as dg
import yaml
from ray_cluster import Cluster, Node, dashboard, ray_cluster, token

from tests.distributed.backfills import Backfill, all_days, ask_for, store_table, stored
from tests.distributed.processes import free_port, running
from tests.distributed.traffic import Traffic, watched
from tests.distributed.world import INITIAL_LEVEL, World, world

COLUMN = "undisturbed"
LOCATION = Path(__file__).with_name("ray_location.py")
RUN_CPUS, WAITING_RUN_CPUS = 0.25, 0.01
"""What a run asks for, and one that only waits for its steps' jobs, which need the CPU. Not 0: a job that asks for
nothing is put on the head node, whatever it has to do there already."""
KILLED_IN_FLIGHT = 5
"""Requests in flight on all processes when one is killed, at least: a kill in between would show nothing."""
TELL_SECONDS = 10


@contextlib.contextmanager
def deployment(folder: Path, rows: int, rpm: float, *, steps: bool) -> Iterator[tuple[World, Cluster]]:
    """Within the block: the cluster, and a daemon that launches what is asked for on it; the table is stored."""
    port = free_port()
    launcher = {
        "module": "dagster_ray",
        "class": "RayRunLauncher",
        "config": {"ray": {"address": dashboard(port), "num_cpus": WAITING_RUN_CPUS if steps else RUN_CPUS}},
    }
    with world(folder, launcher, rows, rpm) as shared:
        with dg.DagsterInstance.get() as instance:
            store_table(instance)  # before the daemon looks: it fails runs that the launcher knows nothing of
        environment = {**shared.environment, **token(), **({"PXT_RAY_STEPS": "1"} if steps else {})}
        where = {"python_file": {"relative_path": str(LOCATION), "location_name": "tickets"}}
        (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [where]}))
        daemon = [sys.executable, "-m", "tests.distributed.daemon", "run", "-w", "workspace.yaml"]
        with (
            ray_cluster(folder, environment, port) as cluster,
            running("daemon", daemon, folder, environment),
        ):
            yield shared, cluster


def job_processes(node: Node, naming: str) -> list[int]:
    """A node's processes of runs' jobs (`execute_run`), or of steps' (`execute_step`), without the shells around them."""
    return [pid for pid, line in node.processes(f" api {naming}").items() if not line.startswith("/bin/")]


def kill(cluster: Cluster, what: str) -> str:
    """Kills a node without the dashboard, or one process; returns what it was."""
    if what == "node":
        lost = cluster.nodes[-1]
        of_jobs = len(job_processes(lost, "execute_"))
        lost.kill()
        return f"all of {lost.address}, with {of_jobs} processes of runs and steps"
    processes = [pid for node in cluster.nodes for pid in job_processes(node, f"execute_{what}")]
    os.kill(min(processes), signal.SIGKILL)
    return f"the process of one of {len(processes)} {what}s"


@dataclass
class Watched:
    """What was seen from the demand to the end."""

    traffic: Traffic
    placed: dict[str, set[int]]
    """The processes of runs and steps that were seen on each node."""
    killed_at: float | None


def watch(shared: World, backfill: Backfill, total: int, cluster: Cluster, what: str | None) -> Watched:
    """Looks, and tells, until all is materialized and no run is under way; kills when half is answered."""
    placed: dict[str, set[int]] = defaultdict(set)
    killed_at, told = None, time.monotonic()
    with watched(shared) as traffic:
        while True:
            is_half = traffic.now.answered >= total / 2 and traffic.now.in_flight >= KILLED_IN_FLIGHT
            if what and killed_at is None and is_half:
                killed_at = time.monotonic()
                print(f"kill -9 of {kill(cluster, what)}", flush=True)
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                for node in cluster.nodes:
                    placed[node.address].update(job_processes(node, "execute_"))
                runs = backfill.runs()
                now = traffic.now
                print(
                    f"  {now.answered} of {total} rows, {now.rate_limited} 429s, runs: {states(runs)}",
                    flush=True,
                )
                if backfill.materialized() >= set(backfill.days) and all(run.is_finished for run in runs):
                    return Watched(traffic, placed, killed_at)
            time.sleep(0.2)  # between looks at processes that nobody can wait for


def states(runs: list[dg.DagsterRun]) -> dict[str, int]:
    """How many runs are in each."""
    return dict(Counter(run.status.value for run in runs))


def tell(backfill: Backfill, seen: Watched, rows: int, rpm: float) -> None:
    """Prints the figures; raises AssertionError where rows are missing or there twice."""
    found = stored(COLUMN, all_days())
    total = rows * len(all_days())
    assert len({row["id"] for row in found}) == len(found) == total, f"{len(found)} rows"
    assert all(row["text"] and row["digest"] for row in found)
    now, seconds = seen.traffic.now, seen.traffic.seconds
    demanded = (now.requests - INITIAL_LEVEL * rpm) / (rpm / 60)
    in_flight = seen.traffic.at(seen.killed_at).in_flight if seen.killed_at else 0
    print(f"{total} rows of {len(all_days())} partitions stored, each once")
    print(f"{now.answered - total} answers paid twice ({in_flight} were in flight at the kill)")
    print(f"{now.rate_limited} 429s of {now.requests} requests: {now.rate_limited / now.requests:.2%}")
    print(f"{seconds:.1f} s of {demanded:.1f} s by the limit: {demanded / seconds:.1%}")
    print(f"processes of runs and steps: { {node: len(pids) for node, pids in seen.placed.items()} }")
    records = backfill.instance.get_run_records(dg.RunsFilter(tags={"dagster/backfill": backfill.id}))
    waits = [one.start_time - one.create_timestamp.timestamp() for one in records if one.start_time]
    print(f"runs: {states(backfill.runs())}; {min(waits):.0f} to {max(waits):.0f} s from creation to start")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", action="store_true", help="each step is a Ray job of its own")
    parser.add_argument("--rows", type=int, default=240, help="of each partition")
    parser.add_argument("--rpm", type=float, default=3_000)
    parser.add_argument("--kill", choices=["node", "run", "step"])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the logs stay")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        started = time.monotonic()
        with deployment(folder, given.rows, given.rpm, steps=given.steps) as (shared, cluster):
            print(f"deployed in {time.monotonic() - started:.0f} s", flush=True)
            with dg.DagsterInstance.get() as instance:
                backfill = ask_for(instance, COLUMN, all_days())
                seen = watch(shared, backfill, given.rows * len(all_days()), cluster, given.kill)
                tell(backfill, seen, given.rows, given.rpm)


if __name__ == "__main__":
    main()
