"""What may be asked for that is answered later: of batches and their files, and of responses made in the background."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pxt_assets.api.batches.line_in import LineAnswer
from pxt_assets.api.batches.state import BatchState
from pxt_assets.errors import RunError


class UnknownBatchError(RunError):
    """The server knows no batch of this id: it is gone, or another project's or key's."""


class UnknownFileError(RunError):
    """The server knows no file of this id: it is gone, or another project's or key's."""


class UnknownResponseError(RunError):
    """The server knows no response of this id: it has expired, or is another project's or key's."""


class QueueFullError(RunError):
    """The queue has no room for the tokens of a batch; the server's words say how many it takes."""


class BatchApi(Protocol):
    """Batches of one account. All calls retry faults themselves.

    They raise FatalApiError where every call would fail (key, billing, access), RunError where the server cannot be
    reached, or refuses this call.
    """

    @property
    def is_azure(self) -> bool:
        """Whether lines must name endpoints as Azure does."""

    async def upload(self, path: Path, file_name: str) -> str:
        """Uploads a file of lines as `file_name`; its id."""

    async def create(self, file_id: str, endpoint: str, name: str) -> BatchState:
        """Creates the batch `name` of an uploaded file, at an endpoint such as `/v1/chat/completions`.

        Where the answer is lost, the batch is looked for by its name, and taken over; of two with one name the later
        one is cancelled.
        """

    async def retrieve(self, batch_id: str) -> BatchState:
        """The present state. Raises UnknownBatchError."""

    async def find(self, name: str, since: float, file_id: str | None = None) -> BatchState | None:
        """The batch of that name, or without any but of that input file, created at `since` or later; None where there is none.

        `since` is in seconds since 1970.
        Clocks of servers may be off by some minutes. Of several, the first one; the others are cancelled.
        """

    async def list_batches(self, since: float) -> list[BatchState]:
        """All batches created at `since` or later, the newest first; others' too, which have no name."""

    async def cancel(self, batch_id: str) -> BatchState:
        """Cancels a batch, or finds it ended. It takes up to ten minutes. Raises UnknownBatchError."""

    def lines(self, file_id: str) -> AsyncIterator[list[bytes]]:
        """The lines of a file, whole ones, in groups, without line breaks and blank lines. Raises UnknownFileError."""

    async def delete_file(self, file_id: str) -> None:
        """Deletes a file; one that is gone is fine."""

    async def find_files(self, file_name: str, since: float = 0.0) -> list[str]:
        """The ids of the files of that name, uploaded at `since` or later, the oldest first."""


@dataclass(frozen=True, slots=True)
class BackgroundState:
    """A response that is made in the background."""

    id: str
    status: str
    """`queued`, `in_progress`, `completed`, `failed`, `cancelled`, `incomplete`; or a server's own word."""
    answer: LineAnswer
    """What an answer of the API looks like, whose body is the response; its `custom_id` is the response's id."""

    @property
    def is_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status not in ("queued", "in_progress")


class BackgroundApi(Protocol):
    """Responses made in the background. Calls retry faults, and raise, as those of a BatchApi."""

    async def fetch(self, response_id: str) -> BackgroundState:
        """The present state, with the answer where it has ended. Raises UnknownResponseError."""

    async def cancel(self, response_id: str) -> BackgroundState:
        """Cancels a response, or finds it ended. Raises UnknownResponseError."""

    async def delete(self, response_id: str) -> None:
        """Deletes a response; one that is gone is fine."""
