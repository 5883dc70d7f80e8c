"""The state of a batch, read of whatever a server says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pxt_assets.api.failure import name_or_none, redact

BATCH_NAME = "pxt_batch"
"""The key of a batch's `metadata` at which its name stands."""
_ENDED = frozenset({"completed", "failed", "expired", "cancelled", "canceled"})
_ON_ITS_WAY = frozenset({"validating", "in_progress", "finalizing", "cancelling", "canceling"})


@dataclass(frozen=True, slots=True)
class BatchError:
    """Why a batch failed as a whole."""

    code: str | None
    message: str
    line: int | None = None
    """The line of the input file that it speaks of, from 1."""


@dataclass(frozen=True, slots=True)
class BatchState:
    """A batch as the server describes it. Times are of the server's clock, in seconds since 1970."""

    id: str
    name: str | None
    """Its name in `metadata`; None for a batch that somebody else made, or where the server keeps no metadata."""
    status: str
    """`validating`, `in_progress`, `finalizing`, `completed`, `failed`, `expired`, `cancelling`, `cancelled`; or a
    server's own word."""
    endpoint: str
    """`/v1/chat/completions`, or the server's word for it."""
    model: str | None = None
    created_at: float | None = None
    expires_at: float | None = None
    total: int | None = None
    """Requests; None where the server does not count them."""
    completed: int | None = None
    failed: int | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: tuple[BatchError, ...] = ()
    has_ended_at: bool = False
    """Whether it says when it ended."""

    @property
    def is_ended(self) -> bool:
        """Whether nothing more will come of it.

        A word that nobody knows counts as an end where a time of an end stands, or a file of results.
        """
        has_results = self.output_file_id is not None or self.error_file_id is not None
        return self.status in _ENDED or (
            self.status not in _ON_ITS_WAY and (self.has_ended_at or has_results)
        )

    @property
    def is_cancelling(self) -> bool:
        """Whether it was cancelled and has not ended yet."""
        return self.status in ("cancelling", "canceling")


def state_of(said: object, secrets: tuple[str, ...] = ()) -> BatchState:
    """The state in a server's description of a batch; `secrets` are replaced in its texts.

    Raises ValueError for what is no batch.
    """
    if not isinstance(said, Mapping) or not _text(said.get("id")) or not _text(said.get("status")):
        msg = "this is no batch: it has no id and no status"
        raise ValueError(msg)
    counts = said.get("request_counts")
    counts = counts if isinstance(counts, Mapping) else {}
    metadata = said.get("metadata")
    name = metadata.get(BATCH_NAME) if isinstance(metadata, Mapping) else None
    ends = ("completed_at", "failed_at", "expired_at", "cancelled_at")
    return BatchState(
        id=str(said["id"]),
        name=_text(name),
        status=(name_or_none(said["status"], secrets) or "").lower(),
        endpoint=name_or_none(said.get("endpoint"), secrets) or "",
        model=name_or_none(said.get("model"), secrets),
        created_at=_number(said.get("created_at")),
        expires_at=_number(said.get("expires_at")),
        total=_count(counts.get("total")),
        completed=_count(counts.get("completed")),
        failed=_count(counts.get("failed")),
        input_file_id=_text(said.get("input_file_id")),
        output_file_id=_text(said.get("output_file_id")),
        error_file_id=_text(said.get("error_file_id")),
        errors=_errors(said.get("errors"), secrets),
        has_ended_at=any(_number(said.get(end)) for end in ends),
    )


def _errors(said: Any, secrets: tuple[str, ...]) -> tuple[BatchError, ...]:
    data = said.get("data", [said]) if isinstance(said, Mapping) else said
    found = data if isinstance(data, list) else []
    return tuple(_error(one, secrets) for one in found if one)


def _error(said: Any, secrets: tuple[str, ...]) -> BatchError:
    if not isinstance(said, Mapping):
        return BatchError(None, redact(str(said), secrets))
    message = said.get("message") or said.get("code") or "no reason is given"
    return BatchError(
        name_or_none(said.get("code"), secrets), redact(str(message), secrets), _count(said.get("line"))
    )


def _text(said: object) -> str | None:
    """A text that is not empty: Azure gives empty ones for what is not there."""
    return said if isinstance(said, str) and said else None


def _number(said: object) -> float | None:
    return float(said) if isinstance(said, int | float) and not isinstance(said, bool) and said > 0 else None


def _count(said: object) -> int | None:
    return said if isinstance(said, int) and not isinstance(said, bool) and said >= 0 else None
