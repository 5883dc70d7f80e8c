"""What is on record of one batch: written before anything is uploaded, and kept until all that it answers is stored."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

State = Literal["waiting", "prepared", "uploaded", "submitted", "ended"]
"""`waiting`: has no room in the queue, and no file. `prepared`: on record, perhaps uploaded. `uploaded`: perhaps submitted.
`submitted`: the batch's id is known. `ended`: nothing more comes of it, what it answered is kept."""
ON_ITS_WAY: frozenset[State] = frozenset({"prepared", "uploaded", "submitted"})

Partition = str | None
"""A partition's key, None for all of an asset without partitions."""


@dataclass(frozen=True)
class BatchView:
    """A batch as the UI and the command line show it."""

    name: str
    id: str | None
    state: str
    """The server's word where it has one, else ours."""
    completed: int
    failed: int
    total: int
    age_s: float
    """Seconds since it was put on record."""
    cost_usd: float | None
    """What it is expected to cost; None where the price is not known."""


@dataclass(frozen=True)
class Poll:
    """What a server said of a batch when it was last asked."""

    at: float = 0.0
    """When that was, in seconds since 1970; 0 for never."""
    status: str = ""
    completed: int = 0
    failed: int = 0
    ended_at: float | None = None
    """When it was first heard that it has ended."""
    awaits_file: bool = False
    """Whether it has not named a file yet that it must have."""

    @property
    def is_ended(self) -> bool:
        """Whether nothing more will come of it, and what came can be read."""
        return self.ended_at is not None and not self.awaits_file


@dataclass(frozen=True)
class BatchRecord:
    """One batch of a column. Times are in seconds since 1970."""

    name: str
    state: State
    endpoint: str
    """`/v1/chat/completions`."""
    model: str
    created_at: float
    requests: int
    tokens: int
    """Estimated tokens that it takes from the queue."""
    cost_usd: float | None = None
    """What it is expected to cost; None where a price is not known."""
    server: str | None = None
    """The name of the server that it was submitted to."""
    partitions: Mapping[str, bool] = field(default_factory=dict)
    """By `partition_name`: whether a partition has what it waited for. See `waiting_partitions`."""
    refreshes: Mapping[str, float] = field(default_factory=dict)
    """By `partition_name`: since when the refresh lasts that waits for it. Its answers are none of before, whatever the clock
    of whoever keeps them says."""
    file_id: str | None = None
    batch_id: str | None = None
    submitted_at: float | None = None
    ended_at: float | None = None
    """When its answers were kept."""
    status: str = ""
    """The server's last word of it."""
    answers: str | None = None
    """The name of the file of its answers."""
    answered: int = 0
    """Requests that have an answer, errors included."""
    failed: int = 0
    """Answers that are errors of their rows."""
    unanswered: Mapping[str, int] = field(default_factory=dict)
    """By reason, how many requests have none."""
    unknown: int = 0
    """Lines of its files that answer no request of it, or cannot be read."""
    counts_as_try: bool = True
    """Whether its unanswered requests were tried: not where the whole batch was turned away."""
    refused: str = ""
    """Why the server refused it as a whole, for what its requests are: somebody has to correct that."""
    submitted_by: str | None = None
    """The id of the run that put it on record."""
    to_delete: tuple[str, ...] = ()
    """Files of the server's that are to be deleted."""
    poll: Poll = field(default=Poll(), compare=False)
    """What was last heard of it, which whoever asked last wrote beside it."""

    @property
    def is_on_its_way(self) -> bool:
        """Whether answers may still come of it."""
        return self.state in ON_ITS_WAY

    @property
    def waiting_partitions(self) -> tuple[Partition, ...]:
        """The partitions that wait for it, in the order in which they asked."""
        return tuple(partition_of(name) for name, is_settled in self.partitions.items() if not is_settled)

    @property
    def latest(self) -> float:
        """The latest time at which its answers were kept or are to be, in seconds since 1970 by whatever host's clock."""
        return max(self.ended_at or 0.0, *self.refreshes.values(), 0.0)

    def is_from_before(self, since: float, partition: str | None) -> bool:
        """Whether its answers were kept before `since`, where a refresh of the partition, by its name, began."""
        return max(self.ended_at or 0.0, self.refreshes.get(partition or "", 0.0)) < since

    def view(self, now: float | None = None) -> BatchView:
        """How it is shown at `now`."""
        has_ended = self.state == "ended"
        return BatchView(
            self.name,
            self.batch_id,
            self.status or self.state if has_ended else self.poll.status or self.state,
            self.answered - self.failed if has_ended else self.poll.completed,
            self.failed if has_ended else self.poll.failed,
            self.requests,
            max(0.0, (time.time() if now is None else now) - self.created_at),
            self.cost_usd,
        )

    def as_json(self) -> bytes:
        """The record as it is kept, without what was heard by polls."""
        kept = {name: value for name, value in asdict(self).items() if name != "poll"}
        return json.dumps(kept, ensure_ascii=False).encode()


def read_record(text: bytes) -> BatchRecord:
    """A record as `as_json` wrote it. Members of later versions are left out. Raises ValueError for what is none."""
    try:
        said = json.loads(text)
        known: dict[str, Any] = {f.name: said[f.name] for f in fields(BatchRecord) if f.name in said}
        known["to_delete"] = tuple(known.get("to_delete", ()))
        known.pop("poll", None)
        return BatchRecord(**known)
    except (TypeError, KeyError, ValueError) as e:
        msg = f"this is no record of a batch: {type(e).__name__}: {e}"
        raise ValueError(msg) from e


def with_poll(record: BatchRecord, poll: Poll) -> BatchRecord:
    """The record with what was last heard of its batch."""
    return replace(record, poll=poll)


def new_name(now: float) -> str:
    """A name for a batch, that no other one has. Names sort by the time in which they were made."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    return f"{stamp}{int(now % 1 * 1000):03d}-{uuid.uuid4().hex[:16]}"


def partition_name(partition: Partition) -> str:
    """A partition as a record names it, in JSON: None has a name of its own."""
    return json.dumps(partition, ensure_ascii=False)


def partition_of(name: str) -> Partition:
    """The partition that a record names so."""
    partition: Partition = json.loads(name)
    return partition
