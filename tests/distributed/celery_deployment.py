"""A deployment on celery: Dagster's daemon, a code server, and two workers that execute runs, around a `World`."""

import signal
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.storage.dagster_run import FINISHED_STATUSES, RunRecord

from tests.distributed.processes import Running, accepts, children, free_port, running, wait_until
from tests.distributed.servers import Redis, redis_server
from tests.distributed.world import World, definitions, world

WORKERS = ("worker1", "worker2")
RUNS_AT_ONCE = 2
"""Runs that each worker executes at once."""


@dataclass
class Backfill:
    """One that was asked for, and its runs."""

    instance: dg.DagsterInstance
    id: str

    def records(self) -> list[RunRecord]:
        """Of its runs by now, retried ones and their retries included."""
        return list(
            self.instance.get_run_records(dg.RunsFilter(tags={"dagster/backfill": self.id}))
        )

    def statuses(self) -> list[str]:
        return [record.dagster_run.status.value for record in self.records()]


@dataclass
class Deployment:
    """Processes that run, and what they are asked to do."""

    world: World
    redis: Redis
    instance: dg.DagsterInstance
    port: int
    """The code server's."""
    workers: dict[str, Running]
    _stack: ExitStack
    _worker_command: list[str]
    daemon: Running
    code_server: Running
    _ended: list[str] = field(default_factory=list)

    def backfill(self, column: str, days: Sequence[str]) -> Backfill:
        """Asks for these partitions of a column, as the page of an asset does."""
        found = definitions()
        backfill = PartitionBackfill.from_asset_partitions(
            backfill_id=uuid.uuid4().hex[:8],
            asset_graph=found.get_repository_def().asset_graph,
            partition_names=list(days),
            asset_selection=[dg.AssetKey(["tickets", column])],
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=self.instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        )
        self.instance.add_backfill(backfill)
        return Backfill(self.instance, backfill.backfill_id)

    def materialized(self, column: str) -> set[str]:
        """The partitions of a column that the instance knows as materialized."""
        return self.instance.get_materialized_partitions(dg.AssetKey(["tickets", column]))

    def until_materialized(self, column: str, days: Sequence[str]) -> None:
        """Waits for all of them; fails with the logs where a run is given up."""
        wait_until(
            f"{column} of {len(days)} days", lambda: self.materialized(column) >= set(days), every=0.2
        )

    def executing(self, worker: str) -> list[int]:
        """The processes in which a worker executes runs, or would."""
        return [pid for main in children(self.workers[worker].process.pid) for pid in children(main)]


def celery_options(redis: Redis) -> dict[str, Any]:
    """What the launcher and the workers must agree on."""
    return {"broker": redis.url(0), "backend": redis.url(1)}


@contextmanager
def celery_deployment(folder: Path, rows: int) -> Iterator[Deployment]:
    """Within the block, a deployment whose table is stored; its columns are not.

    Each run is executed in a process of its own, which the worker forks: so it loads the code that is there then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with redis_server(folder) as redis, ExitStack() as stack:
        launcher = {
            "module": "dagster_celery.launcher",
            "class": "CeleryRunLauncher",
            "config": celery_options(redis),
        }
        shared = stack.enter_context(world(folder, launcher, rows))
        (folder / "celery.yaml").write_text(
            yaml.safe_dump({"execution": {"config": celery_options(redis)}})
        )
        instance = stack.enter_context(dg.DagsterInstance.get())
        port = free_port()
        where = ["-h", "127.0.0.1", "-p", str(port), "-f", str(shared.location)]
        code_server = stack.enter_context(
            running(
                "code_server", [sys.executable, "-m", "dagster", "code-server", "start", *where], folder, shared.environment
            )
        )
        command = ["dagster-celery", "worker", "start", "-A", "dagster_celery.app", "-y", "celery.yaml"]
        command += ["-q", "dagster", "-i", "pxt_assets"]
        options = ["--", "--concurrency", str(RUNS_AT_ONCE), "--max-tasks-per-child", "1"]
        workers = {
            name: stack.enter_context(
                running(name, [*command, "-n", name, *options], folder, shared.environment)
            )
            for name in WORKERS
        }
        code_server.until("accepts connections", lambda: accepts(port))
        workspace = {"load_from": [{"grpc_server": {"host": "127.0.0.1", "port": port, "location_name": "tickets"}}]}
        (folder / "workspace.yaml").write_text(yaml.safe_dump(workspace))
        daemon = stack.enter_context(
            running(
                "daemon",
                [sys.executable, "-m", "tests.distributed.daemon", "run", "-w", "workspace.yaml"],
                folder,
                shared.environment,
            )
        )
        _store_table(instance)
        for worker in workers.values():
            worker.until("is ready", lambda worker=worker: " ready." in worker.log)
        yield Deployment(shared, redis, instance, port, workers, stack, command, daemon, code_server)


def _store_table(instance: dg.DagsterInstance) -> None:
    """All days of the table, in one run in this process."""
    found = definitions()
    days = all_days()
    dg.materialize(
        [found.get_assets_def("tickets")],
        instance=instance,
        resources=found.resources,
        tags={
            "dagster/asset_partition_range_start": days[0],
            "dagster/asset_partition_range_end": days[-1],
        },
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
    )


def all_days() -> list[str]:
    """The partitions, oldest first."""
    partitions = definitions().get_assets_def("tickets").partitions_def
    assert partitions is not None
    return list(partitions.get_partition_keys())


def kill(pid: int) -> None:
    """`kill -9`."""
    import os

    os.kill(pid, signal.SIGKILL)


def finished(backfill: Backfill) -> bool:
    """Whether none of its runs is under way."""
    return all(record.dagster_run.status in FINISHED_STATUSES for record in backfill.records())
