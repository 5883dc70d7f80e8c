"""The workers of one run, by where its functions say that they run. None is started before the first batch comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pxt_assets.local.process_worker import ProcessWorker, usable_cores
from pxt_assets.local.ray_worker import RayCluster
from pxt_assets.local.udf import LocalFunction
from pxt_assets.local.worker_pool import WorkerPool
from pxt_assets.local.worker_server import refuse_in_worker

MakePool = Callable[[int | None], WorkerPool]
"""Makes a pool of that many workers, None for as many as there is room for."""


class WorkerPools:
    """Pools of workers, one for each place and number of workers that functions name; use it in one event loop.

    Raises RunError in a worker, which must not begin a run.
    """

    def __init__(self, make: Mapping[str, MakePool] | None = None) -> None:
        refuse_in_worker()
        self._make = make or {"processes": _processes, "ray": self._on_ray}
        self._pools: dict[tuple[str, int | None], WorkerPool] = {}
        self._ray: RayCluster | None = None

    def of(self, function: object) -> WorkerPool | None:
        """The workers that a function runs on; None for one that runs in this process. Raises RunError."""
        if not isinstance(function, LocalFunction) or function.on is None:
            return None
        place = function.on, function.workers
        if place not in self._pools:
            self._pools[place] = self._make[function.on](function.workers)
        return self._pools[place]

    def close(self) -> None:
        """Ends all workers."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        if self._ray is not None:
            self._ray.close()

    def _on_ray(self, workers: int | None) -> WorkerPool:
        self._ray = self._ray or RayCluster()
        return WorkerPool(self._ray.start_worker, workers or self._ray.free_cpus())


def _processes(workers: int | None) -> WorkerPool:
    count = workers or usable_cores()
    return WorkerPool(lambda: ProcessWorker(count), count)
