"""Workers on Ray, with a Ray that a test scripts."""

import sys
import types
from typing import Any

import pytest

from pxt_assets.errors import RunError
from pxt_assets.local.ray_worker import RayCluster
from pxt_assets.local.worker_pool import WorkerEndedError


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class FakeRay(types.ModuleType):
    """As much of Ray as is used: references are the calls themselves, made when they are got."""

    def __init__(self, *, connected: bool, cpus: float = 4, outcome: Any = b"answer") -> None:
        super().__init__("ray")
        self.calls: list[Any] = []
        self.connected = connected
        self.cpus = cpus
        self.outcome = outcome
        self.is_ready = True
        self.exceptions = types.SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def is_initialized(self) -> bool:
        return self.connected

    def init(self, **options: Any) -> None:
        self.calls.append("init")
        if isinstance(self.outcome, ConnectionError):
            raise self.outcome

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def remote(self, **options: Any) -> Any:
        self.calls.append(options)
        answer = types.SimpleNamespace(remote=lambda request: request)
        return lambda cls: types.SimpleNamespace(remote=lambda: types.SimpleNamespace(answer=answer))

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 8.0}

    def available_resources(self) -> dict[str, float]:
        return {"CPU": self.cpus} if self.cpus else {}

    def wait(self, refs: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return (refs, []) if self.is_ready else ([], refs)

    def get(self, ref: Any) -> Any:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def kill(self, actor: Any) -> None:
        self.calls.append("kill")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(**options: Any) -> FakeRay:
        ray = FakeRay(**options)
        monkeypatch.setitem(sys.modules, "ray", ray)
        return ray

    return put


def test_a_cluster_that_the_process_is_connected_to_is_used(use):
    """As in a step that Dagster runs on Ray; it stays connected."""
    ray = use(connected=True)
    cluster = RayCluster()
    worker = cluster.start_worker()
    assert worker.answer(b"request") == b"answer"
    worker.close()
    cluster.close()
    assert ray.calls == [{"num_cpus": 1, "max_restarts": 0}, "kill"]


def test_a_cluster_that_was_joined_is_left(use):
    """With the run."""
    ray = use(connected=False)
    RayCluster().close()
    assert (ray.calls[0], ray.calls[-1]) == ("init", "shutdown")


@pytest.mark.parametrize(("cpus", "workers"), [(3.5, 3), (0, 1)])
def test_there_are_as_many_workers_as_free_cpus(cpus, workers, use):
    """At least one: a cluster may grow."""
    use(connected=True, cpus=cpus)
    assert RayCluster().free_cpus() == workers


def test_an_actor_that_dies_is_a_worker_that_ended(use):
    """Another one computes the batch."""
    use(connected=True, outcome=RayError("the actor died"))
    with pytest.raises(WorkerEndedError, match="RayError: the actor died"):
        RayCluster().start_worker().answer(b"request")


def test_what_fails_outside_the_function_ends_the_run(use):
    """Such as another release of this package on the cluster."""
    use(connected=True, outcome=RayTaskError("no module named pxt_assets"))
    with pytest.raises(RunError, match="a worker on Ray failed: no module named pxt_assets"):
        RayCluster().start_worker().answer(b"request")


def test_a_cluster_without_a_free_cpu_ends_the_run(use):
    """Rather than waiting for ever."""
    use(connected=True, cpus=0).is_ready = False
    with pytest.raises(
        RunError, match="no worker began on Ray within 300 s: the cluster has 8 CPUs, of which 0 are free"
    ):
        RayCluster().start_worker().answer(b"request")


def test_a_cluster_that_cannot_be_reached_ends_the_run(use):
    """With what Ray says of it."""
    use(connected=False, outcome=ConnectionError("no such host"))
    with pytest.raises(RunError, match='on="ray": no cluster can be reached or started: ConnectionError: no'):
        RayCluster()


def test_without_ray_the_message_says_how_to_install_it(monkeypatch):
    """It is none of the package's dependencies."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"pip install 'pxt_assets\[ray\]'"):
        RayCluster()
