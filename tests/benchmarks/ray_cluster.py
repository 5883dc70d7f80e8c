"""A Ray cluster of two nodes on one machine, each with an address of loopback of its own, that may be killed one by one."""

import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.distributed.processes import Running, free_port, running

HEAD, WORKER = "127.0.0.2", "127.0.0.3"
"""Not 127.0.0.1: Ray takes that for "this host" and has its nodes look for each other at the host's own address."""
CPUS = 2
"""Of each node: how many jobs of one CPU it runs at once."""
OBJECT_STORE_BYTES = 80_000_000
"""Nearly the least that Ray takes; nothing is kept there."""


@dataclass
class Node:
    """One of the cluster: `ray start` and all that it started."""

    address: str
    mark: str
    """In the environment of all of its processes, jobs included, whoever their parent is by now."""
    head: Running

    def processes(self, naming: str = "") -> dict[int, str]:
        """Its processes whose command line has that, by id."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if self.mark.encode() in (folder / "environ").read_bytes():
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if command and naming in command:
                        found[int(folder.name)] = command
        return found

    def kill(self) -> None:
        """As if its machine lost power: `kill -9` of all at once, until nothing is left."""
        while found := self.processes():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)  # between looks at processes that nobody can wait for


@dataclass
class Cluster:
    """Two nodes that run jobs, and what Dagster needs to know of them."""

    port: int
    """The dashboard's, which takes jobs."""
    environment: dict[str, str]
    """Of the nodes, and of who submits jobs: it has the cluster's token."""
    nodes: list[Node] = field(default_factory=list)

    @property
    def address(self) -> str:
        return dashboard(self.port)


def dashboard(port: int) -> str:
    """The address to which jobs are submitted."""
    return f"http://{HEAD}:{port}"


def token() -> dict[str, str]:
    """Without it whoever reaches a port of the cluster may run code there; Ray's nodes listen on all addresses."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextlib.contextmanager
def ray_cluster(folder: Path, environment: Mapping[str, str], port: int) -> Iterator[Cluster]:
    """Within the block, the cluster takes jobs; these inherit `environment` from their node."""
    sessions = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # a socket's path is short
    gcs = free_port()
    program = [Path(sys.executable).with_name("ray"), "start", "--block", "--disable-usage-stats"]
    common = [
        "--num-cpus",
        CPUS,
        "--object-store-memory",
        OBJECT_STORE_BYTES,
        "--include-log-monitor",
        "false",
    ]
    common += ["--min-worker-port", 0, "--max-worker-port", 0]  # any free ones
    as_head = ["--head", "--port", gcs, "--ray-client-server-port", free_port(), "--temp-dir", sessions]
    as_head += ["--include-dashboard", "true", "--dashboard-host", HEAD, "--dashboard-port", port]
    cluster = Cluster(port, dict(environment))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, sessions, ignore_errors=True)
        for address, options in ((HEAD, as_head), (WORKER, ["--address", f"{HEAD}:{gcs}"])):
            mark = f"PXT_RAY_NODE={secrets.token_hex(8)}"
            of_node = {**cluster.environment, **dict([mark.split("=")])}
            command = [*program, *common, "--node-ip-address", address, *options]
            ray = stack.enter_context(
                running(f"ray_{address}", [str(part) for part in command], folder, of_node)
            )
            node = Node(address, mark, ray)
            stack.callback(node.kill)
            ray.until("is up", lambda ray=ray: "--block" in ray.log.partition("Ray runtime started")[2])
            cluster.nodes.append(node)
        cluster.nodes[0].head.until("takes jobs", lambda: _answers(port))
        yield cluster


def _answers(port: int) -> bool:
    """Whether the dashboard does; it may refuse, as it is not told the token."""
    try:
        with urllib.request.urlopen(f"{dashboard(port)}/api/version", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
