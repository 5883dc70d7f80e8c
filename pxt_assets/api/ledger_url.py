"""Where the ledger is, which holds the rate limits that processes share, and its pools."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from pxt_assets.errors import RunError
from pxt_assets.throttle import BatchQueue, PoolRegistry, batch_queues, pools

MEMORY = "memory"
"""The ledger of a process that shares its limits with no other."""
_FILE = "pxt_assets_ledger.sqlite"
_log = logging.getLogger("pxt_assets")


def shared_pools(ledger: str | None, default_url: Callable[[], str]) -> tuple[PoolRegistry, str | None]:
    """The pools of limits of the ledger that is named, or of the one at the default URL, and its URL.

    They are those of this process alone, without a URL, for "memory", and where the default one cannot be written.
    Raises RunError for a ledger that cannot be opened.
    """
    from pxt_assets.throttle.ledger import ledger_pools

    if ledger == MEMORY:
        return pools, None
    try:
        url = ledger or default_url()
    except OSError as e:
        _log.warning("Rate limits are not shared with other processes: %s", e)
        return pools, None
    try:
        return ledger_pools(url), url
    except ValueError as e:
        msg = f"ledger of the OpenAIResource: {e}"
        raise RunError(msg) from e


def queues_at(url: str | None) -> BatchQueue:
    """The queues of batches that the ledger at a URL keeps; without one, those of this process alone."""
    from pxt_assets.throttle.ledger import open_ledger

    return batch_queues if url is None else open_ledger(url).batch_queue()


def default_ledger_url(storage: Path | None) -> str:
    """The URL of a SQLite file that all processes of this host find.

    It lies in `storage`, the storage directory of the Dagster instance; without one, in the user's own folder of the
    system's temporary directory. Raises OSError where neither can be written.
    """
    folder = _temporary_folder() if storage is None else storage
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / _FILE}"


def _temporary_folder() -> Path:
    """The user's own folder in the temporary directory; others may write there, so nobody else's is used."""
    user = os.getuid() if hasattr(os, "getuid") else 0  # elsewhere the directory is the user's own already
    folder = Path(tempfile.gettempdir()) / f"pxt_assets-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user:
        msg = f"{folder} belongs to somebody else: give ledger of the OpenAIResource a database URL, or 'memory'"
        raise PermissionError(msg)
    return folder
