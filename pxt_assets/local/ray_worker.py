"""Workers on Ray: actors of one CPU each, on whichever machines the cluster has."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

from pxt_assets.errors import RunError
from pxt_assets.local.worker_pool import WorkerEndedError
from pxt_assets.local.worker_server import Functions

_START_SECONDS = 300.0
"""How long an actor may wait for a CPU: a cluster that grows needs minutes for a machine."""


class RayCluster:
    """The cluster that this process is connected to already, or the one that `RAY_ADDRESS` names or `ray start` started
    on this machine; where there is none, Ray starts one here. Raises RunError."""

    def __init__(self) -> None:
        try:
            self._ray = importlib.import_module("ray")
        except ImportError as e:
            msg = f"""on="ray" needs Ray, which cannot be imported ({e}): pip install 'pxt_assets[ray]'"""
            raise RunError(msg) from e
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            try:
                self._ray.init(ignore_reinit_error=True, include_dashboard=False)
            except Exception as e:  # whatever a cluster that cannot be reached makes it raise
                msg = f'on="ray": no cluster can be reached or started: {type(e).__name__}: {e}'
                raise RunError(msg) from e
        self._actor = self._ray.remote(num_cpus=1, max_restarts=0)(Functions)

    def free_cpus(self) -> int:
        """How many CPUs of the cluster nobody uses now; at least one."""
        return max(1, int(self._ray.available_resources().get("CPU", 0)))

    def start_worker(self) -> RayWorker:
        """An actor that answers requests. Raises RunError where the cluster has no CPU for it."""
        return RayWorker(self._ray, self._actor.remote())

    def close(self) -> None:
        """Leaves the cluster, if it was joined for this run."""
        if self._is_ours:
            self._ray.shutdown()


class RayWorker:
    """An actor that answers one request after the other."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray = ray
        self._actor = actor
        self._has_answered = False

    def answer(self, request: bytes) -> bytes:
        """The answer to a request. Raises WorkerEndedError where the actor ends instead."""
        answer = self._actor.answer.remote(request)
        try:
            if not self._has_answered:
                self._await_start(answer)
            found = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as e:
            msg = f"a worker on Ray failed: {e}"
            raise RunError(msg[:4_000]) from e
        except self._ray.exceptions.RayError as e:
            raise WorkerEndedError(f"{type(e).__name__}: {e}"[:2_000]) from e
        self._has_answered = True
        return bytes(found)

    def close(self) -> None:
        """Ends the actor, whatever it does."""
        with suppress(Exception):  # the cluster may have gone
            self._ray.kill(self._actor)

    def _await_start(self, answer: Any) -> None:
        ready, _ = self._ray.wait([answer], timeout=_START_SECONDS)
        if ready:
            return
        total, free = (
            resources().get("CPU", 0)
            for resources in (self._ray.cluster_resources, self._ray.available_resources)
        )
        msg = (
            f"no worker began on Ray within {_START_SECONDS:.0f} s: the cluster has {total:g} CPUs, of which {free:g} are "
            "free, and a worker takes one; allow fewer by @udf(workers=...), or let the step itself take none"
        )
        raise RunError(msg)
