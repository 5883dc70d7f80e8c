"""What the machines of a deployment share: an instance on PostgreSQL, a bucket, a ledger, and the API with its limits.

Whoever runs the columns (celery's workers here, other engines elsewhere) is started beside it, with `environment`.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.distributed.servers import KEY, SECRET, counters, s3_process, simulator_process
from tests.throttle.ledger.postgres import Postgres, running_postgres

ROOT = Path(__file__).parents[2]
LOCATION = Path(__file__).with_name("location.py")
RPM = 240.0
"""So little that a machine where much else runs keeps up: what is measured is the limit, not the machine."""
INITIAL_LEVEL = 0.05
"""Share of the limit that is there at first: a run waits for the limit from its third second on."""
INSTANCE = {
    "storage": {"postgres": {"postgres_url": {"env": "PXT_TEST_INSTANCE"}}},
    "run_coordinator": {
        "module": "dagster._core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"dequeue_interval_seconds": 1, "max_concurrent_runs": 60},
    },
    "run_monitoring": {"enabled": True, "poll_interval_seconds": 2, "start_timeout_seconds": 180},
    "run_retries": {"enabled": True, "max_retries": 3},
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    "freshness": {"enabled": False},
}


@dataclass(frozen=True)
class World:
    """Servers that run, and what their clients need to know."""

    folder: Path
    postgres: Postgres
    server: str
    """The simulator's base URL."""
    environment: dict[str, str]
    """Of each process that works for the deployment."""

    @property
    def location(self) -> Path:
        """The file of the code location, which may be written anew."""
        return self.folder / "location.py"

    def counters(self) -> dict[str, Any]:
        """What the simulator has met by now."""
        return counters(self.server)


@contextmanager
def world(folder: Path, run_launcher: dict[str, Any], rows: int, rpm: float = RPM) -> Iterator[World]:
    """Within the block, the shared servers run, and `folder` has `dagster.yaml` with that launcher.

    `rows` is how many rows each of the 60 partitions has. This process's environment is that of the others, so that
    `dg.DagsterInstance.get()` is the deployment's instance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(LOCATION, folder / "location.py")
    (folder / "dagster.yaml").write_text(yaml.safe_dump({**INSTANCE, "run_launcher": run_launcher}))
    limits = {"rpm": rpm, "initial_level": INITIAL_LEVEL, "latency": 0.3, "latency_sigma": 0.3}
    with (
        running_postgres() as postgres,
        s3_process(folder) as s3,
        simulator_process(folder, "simulator", **limits) as server,
    ):
        own = {
            "DAGSTER_HOME": str(folder),
            "PXT_TEST_INSTANCE": postgres.url.replace("postgresql:", "postgresql+psycopg2:"),
            "PXT_LEDGER": postgres.url,
            "PXT_TEST_SERVER": server,
            "PXT_TEST_ROWS": str(rows),
            "AWS_ENDPOINT_URL": s3,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        try:
            yield World(folder, postgres, server, dict(os.environ))
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
