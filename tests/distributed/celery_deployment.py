"""A deployment on celery: Dagster's daemon, a code server, and two workers that execute runs, around a `World`.

Dagster's daemon hands each run to celery, whose workers execute it in a process that they fork for it alone: so it
loads the code that is there then.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import yaml
from dagster._grpc.client import DagsterGrpcClient

from tests.distributed.backfills import store_table
from tests.distributed.processes import Running, accepts, children, free_port, running
from tests.distributed.servers import Redis, redis_server
from tests.distributed.world import World, world

WORKERS = ("worker1", "worker2")
PRELOADED = ("pxt_assets.functions", "dagster_postgres", "s3fs")
"""What workers import before they fork, so that no run has to."""


@dataclass
class Deployment:
    """Processes that run, with what they share."""

    world: World
    redis: Redis
    instance: dg.DagsterInstance
    code_port: int
    """The code server's."""
    workers: dict[str, Running]

    def executing(self, worker: str) -> int:
        """The process in which a worker executes its next run, or this one."""
        celery = children(self.workers[worker].process.pid)  # of the command that started it
        (forked,) = self.workers[worker].until(
            "has forked", lambda: [pid for main in celery for pid in children(main)]
        )
        return forked

    def deploy(self, old: str, new: str) -> None:
        """Writes a text of the code location anew, and has its server load it."""
        text = self.world.location.read_text()
        assert old in text
        self.world.location.write_text(text.replace(old, new))
        DagsterGrpcClient(port=self.code_port, host="127.0.0.1").reload_code(timeout=60)


@contextmanager
def celery_deployment(folder: Path, rows: int) -> Iterator[Deployment]:
    """Within the block, a deployment whose table is stored, of `rows` rows a partition; its columns are not."""
    folder.mkdir(parents=True, exist_ok=True)
    with redis_server(folder) as redis, ExitStack() as stack:
        agreed = {"broker": redis.url(0), "backend": redis.url(1)}
        (folder / "celery.yaml").write_text(yaml.safe_dump({"execution": {"config": agreed}}))
        launcher = {"module": "dagster_celery.launcher", "class": "CeleryRunLauncher", "config": agreed}
        shared = stack.enter_context(world(folder, launcher, rows))
        instance = stack.enter_context(dg.DagsterInstance.get())

        def start(name: str, *command: str) -> Running:
            return stack.enter_context(running(name, command, folder, shared.environment))

        port = free_port()
        python = [sys.executable, "-W", "ignore", "-m"]
        where = ["-h", "127.0.0.1", "-p", str(port), "-f", str(shared.location)]
        code_server = start("code_server", *python, "dagster", "code-server", "start", *where)
        worker = ["worker", "start", "-A", "dagster_celery.app", "-y", "celery.yaml", "-q", "dagster"]
        worker += [part for module in PRELOADED for part in ("-i", module)]
        options = ["--", "--concurrency", "1", "--disable-prefetch", "--max-tasks-per-child", "1"]
        workers = {
            name: start(name, "dagster-celery", *worker, "-n", name, *options) for name in WORKERS
        }
        store_table(instance)
        code_server.until("accepts connections", lambda: accepts(port))
        location = {"grpc_server": {"host": "127.0.0.1", "port": port, "location_name": "tickets"}}
        (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [location]}))
        start("daemon", *python, "tests.distributed.daemon", "run", "-w", "workspace.yaml")
        for name in WORKERS:
            workers[name].until("is ready", lambda name=name: " ready." in workers[name].log)
        yield Deployment(shared, redis, instance, port, workers)
        for one in workers.values():
            one.signal_all(signal.SIGKILL)  # what a test left to do is of no interest
