"""A commit that an interrupt breaks off, and that holds no process which hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from pxt_assets.compute.storing.assemble import Assembly
from pxt_assets.errors import RunError
from pxt_assets.local.threads import DaemonThreadPool

_GRACE_SECONDS = 2.0
"""How long an interrupted run waits for its commit."""


async def run_interruptibly(commit: Callable[[threading.Event], Assembly]) -> Assembly:
    """Runs a commit off the event loop, with an event that is set when the run is interrupted.

    The commit then has _GRACE_SECONDS to break off before the claim on the partition is given up. A commit that hangs,
    in a disk or an upload, does not hold the process. Raises RunError where the storage fails, PermissionError where it refuses.
    """
    interrupted = threading.Event()
    threads = DaemonThreadPool(1)
    committing = asyncio.wrap_future(threads.submit(commit, interrupted))
    try:
        return await asyncio.shield(committing)
    except PermissionError:  # who knows the store says what is to be granted
        raise
    except OSError as e:
        msg = (
            f"cannot store the column: {type(e).__name__}: {e}. What was stored before is as it was, and what is finished is "
            "kept: materialize again when the storage has room and lets this process write"
        )
        raise RunError(msg) from e
    except asyncio.CancelledError:
        interrupted.set()
        await asyncio.wait([committing], timeout=_GRACE_SECONDS)
        raise
    finally:
        if not committing.cancel():
            committing.exception()  # is raised already, or comes of the interrupt
        threads.shutdown(wait=False)
