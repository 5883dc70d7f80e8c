"""The pools of a process, by what makes limits separate."""

import threading
from collections.abc import Callable

from pxt_assets.throttle.pool import Pool
from pxt_assets.throttle.share import Share


class PoolRegistry:
    """The pools of a process, by key: its own, or with `share` its shares in those of a ledger. Thread-safe."""

    def __init__(self, share: Callable[[tuple[str, ...]], Share] | None = None) -> None:
        self._share = share
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, ...], Pool] = {}

    def get(self, key: tuple[str, ...], *, rpm: float | None = None, from_few: bool = False) -> Pool:
        """Return the pool of `key`, the same one each time; its configured rate is now `rpm`.

        A new one begins `from_few` where its server is not known to name limits.

        The key names everything that makes limits separate: a fingerprint of the account, and the kind of
        endpoint and group of models.
        """
        with self._lock:
            if key not in self._pools:
                self._pools[key] = Pool(rpm=rpm, share=self._share and self._share(key), from_few=from_few)
            pool = self._pools[key]
        pool.rpm = rpm
        return pool
