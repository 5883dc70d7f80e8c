"""Responses in the background: how far one is, is a function of the clock."""

import json
import random
from typing import Any

from pxt_assets.simulator.batches.storage import Storage
from pxt_assets.simulator.endpoint.errors import SimulatedError, bad_request

_BEGUN = 0.1
"""Share of its time for which a response is queued."""


class BackgroundResponses:
    """The responses in the background of all owners."""

    def __init__(self, storage: Storage, *, seconds: float, failure_rate: float, seed: int) -> None:
        """A response takes `seconds`; `failure_rate` is the share of those that fail."""
        self._storage = storage
        self._seconds = seconds
        self._failure_rate = failure_rate
        self._seed = seed

    def create(self, owner: str, id: str, final: dict[str, Any]) -> dict[str, Any]:
        """Keep a response whose answer is `final`, and describe it as it is now, as all that follows."""
        now = self._storage.now()
        cursor = self._storage.connection.execute(
            "INSERT INTO responses (simulator, owner, id, body, created) VALUES (?, ?, ?, ?, ?)",
            (self._storage.simulator, owner, id, json.dumps(final), now),
        )
        return self._describe(cursor.lastrowid or 0, final, now, None)

    def retrieve(self, owner: str, id: str) -> dict[str, Any]:
        """A response as it is now. Raises a 404 for one that is not there."""
        found = self._storage.connection.execute(
            "SELECT seq, body, created, cancelled FROM responses WHERE simulator = ? AND owner = ? AND id = ?",
            (self._storage.simulator, owner, id),
        ).fetchone()
        if found is None:
            raise SimulatedError(404, f"Response with id '{id}' not found.")
        seq, body, created, cancelled = found
        return self._describe(seq, json.loads(body), created, cancelled)

    def cancel(self, owner: str, id: str) -> dict[str, Any]:
        """End a response. Raises a 400 for one that is over, a 404 for one that is not there."""
        status = self.retrieve(owner, id)["status"]
        if status not in ("queued", "in_progress", "cancelled"):
            article = "an" if status == "incomplete" else "a"
            raise bad_request(f"Cannot cancel {article} {status} response.", param="response_id")
        self._storage.connection.execute(
            "UPDATE responses SET cancelled = ? WHERE id = ? AND cancelled IS NULL", (self._storage.now(), id)
        )
        return self.retrieve(owner, id)

    def delete(self, owner: str, id: str) -> dict[str, Any]:
        """Delete a response. Raises a 404 for one that is not there."""
        self.retrieve(owner, id)
        self._storage.connection.execute("DELETE FROM responses WHERE id = ?", (id,))
        return {"id": id, "object": "response", "deleted": True}

    def _describe(
        self, seq: int, final: dict[str, Any], created: float, cancelled: float | None
    ) -> dict[str, Any]:
        now, ends = self._storage.now(), created + self._seconds
        unanswered = {
            **final,
            "created_at": int(created),
            "completed_at": None,
            "incomplete_details": None,
            "error": None,
            "output": [],
            "usage": None,
        }
        if cancelled is not None:
            return {**unanswered, "status": "cancelled"}
        if now < ends:
            begun = now >= created + _BEGUN * self._seconds
            return {**unanswered, "status": "in_progress" if begun else "queued"}
        if final["status"] == "failed":
            return {**unanswered, "status": "failed", "error": final["error"]}
        if random.Random(f"background {self._seed} {seq}").random() < self._failure_rate:  # noqa: S311
            error = {
                "code": "server_error",
                "message": "The model failed to generate a response. (A fault of the simulator.)",
            }
            return {**unanswered, "status": "failed", "error": error}
        completed = None if final["completed_at"] is None else int(ends)
        return {**final, "created_at": int(created), "completed_at": completed}
