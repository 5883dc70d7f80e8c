"""Answers that come later: batches of requests and their files, and responses made in the background.

`line_out.py` writes a line of an input file, `line_in.py` reads one of an output file, `protocols.py` says what those above
this room may ask for, `official_batches.py` does it by the official client. Imports of `api` the requests, the official
client, and what failures mean.
"""

from __future__ import annotations

from pxt_assets.api.batches.account_queue import AccountQueue
from pxt_assets.api.batches.calls import NotFoundError, RefusedError
from pxt_assets.api.batches.line_in import LineAnswer, failure_of_line, parse_line, read_line
from pxt_assets.api.batches.line_out import MAX_LINE_BYTES, asked_alone, batch_endpoint, request_line
from pxt_assets.api.batches.protocols import (
    BackgroundApi,
    BackgroundState,
    BatchApi,
    QueueFullError,
    UnknownBatchError,
    UnknownFileError,
    UnknownResponseError,
)
from pxt_assets.api.batches.queue_limit import TOKEN_LIMIT_CODE, read_queue_limit
from pxt_assets.api.batches.state import BATCH_NAME, BatchError, BatchState

__all__ = [
    "BATCH_NAME",
    "MAX_LINE_BYTES",
    "TOKEN_LIMIT_CODE",
    "AccountQueue",
    "BackgroundApi",
    "BackgroundState",
    "BatchApi",
    "BatchError",
    "BatchState",
    "LineAnswer",
    "NotFoundError",
    "QueueFullError",
    "RefusedError",
    "UnknownBatchError",
    "UnknownFileError",
    "UnknownResponseError",
    "asked_alone",
    "batch_endpoint",
    "failure_of_line",
    "parse_line",
    "read_line",
    "read_queue_limit",
    "request_line",
]
